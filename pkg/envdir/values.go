package envdir

import (
	"path"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/environment"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/hint"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/values"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/zone"
)

// ValuesName returns the name, relative to the directory, of the values file of every zone (z nil) or of one zone.
func ValuesName(z *zone.Zone) string {
	if z == nil {
		return path.Join(environment.ValuesDir, environment.ValuesFile)
	}
	return zoneValues(z.Name)
}

func zoneValues(name string) string {
	return path.Join(environment.ValuesDir, zone.Dir(name), environment.ValuesFile)
}

// ValueLayers reads the values files that hold for z, weakest first: that of every zone, then z's own. With z nil it is the first
// alone. A file that is not there is an empty layer.
func (d *Dir) ValueLayers(z *zone.Zone) ([]values.Layer, error) {
	names := []string{ValuesName(nil)}
	if z != nil {
		names = append(names, ValuesName(z))
	}
	var layers []values.Layer
	for _, name := range names {
		data, err := d.ReadOptional(name)
		if err != nil {
			return nil, err
		}
		layer, err := values.ParseLayer(name, data)
		if err != nil {
			return nil, hint.Wrap(err, "correct that line; what changed: git -C %s diff %s", hint.Quote(d.Path), hint.Quote(name))
		}
		layers = append(layers, layer)
	}
	return layers, nil
}
