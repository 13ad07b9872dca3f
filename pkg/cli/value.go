package cli

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/aporeto-inc/kubectl-aporeto/charts"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/envdir"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/environment"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/plan"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/values"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/zone"
)

const valueHelp = `Values are what the charts are installed with. Weakest first: the charts' defaults, conf.d/values.yaml (every zone),
conf.d/<ZONE>/values.yaml (one zone), --set and -f of one call, the facts that the plugin knows (which zone this is, say).

KEY is a path such as gateway.replicas, services.NAME.routes[0].host, or one with \. for a dot within a name. SCOPE is put before it:
a service's name, gateway, mongodb-shard, auto-maintenance, global, or control-plane for the root.`

func newValueCmd(f *Factory) *cobra.Command {
	return newGroup("value", "Set and get the charts' values, for every zone or for one", valueHelp,
		newValueSetCmd(f), newValueGetCmd(f), newValueUnsetCmd(f), newValueListCmd(f))
}

// Schemas returns the schemas of the charts in the binary.
func (f *Factory) schemas() (*values.Schemas, error) {
	cp, err := charts.FS.ReadFile(charts.ControlPlane + "/values.schema.json")
	if err != nil {
		return nil, fmt.Errorf("schema of chart %s: %w", charts.ControlPlane, err)
	}
	am, err := charts.FS.ReadFile(charts.AutoMaintenance + "/values.schema.json")
	if err != nil {
		return nil, fmt.Errorf("schema of chart %s: %w", charts.AutoMaintenance, err)
	}
	return values.ParseSchemas(cp, am)
}

// tree returns the values that hold in z (every layer, the facts and over included), or with z nil those that hold in every zone.
func (f *Factory) tree(dir *envdir.Dir, env *environment.Environment, z *zone.Zone, over ...values.Layer) (*values.Tree, error) {
	cp, err := charts.FS.ReadFile(charts.ControlPlane + "/values.yaml")
	if err != nil {
		return nil, fmt.Errorf("defaults of chart %s: %w", charts.ControlPlane, err)
	}
	am, err := charts.FS.ReadFile(charts.AutoMaintenance + "/values.yaml")
	if err != nil {
		return nil, fmt.Errorf("defaults of chart %s: %w", charts.AutoMaintenance, err)
	}
	layers, err := values.ChartDefaults(cp, am)
	if err != nil {
		return nil, err
	}
	files, err := dir.ValueLayers(z)
	if err != nil {
		return nil, err
	}
	facts := values.Facts{Environment: env.ID, Zones: len(env.Zones), Generation: env.CertificateGeneration}
	if z != nil {
		facts.Zone = z.Name
	}
	tree := values.Merge(slices.Concat(layers, files, over, []values.Layer{facts.Layer()})...)
	if z == nil || len(env.Zones) != 1 { // of two zones none may have a database of its own
		return tree, nil
	}
	controlPlane, _ := tree.Charts()
	found := shardHosts(plan.Wanted{Zone: *z, ControlPlane: controlPlane})
	if len(found.Values) == 0 {
		return tree, nil
	}
	return values.Merge(slices.Concat(layers, []values.Layer{found}, files, over, []values.Layer{facts.Layer()})...), nil
}

// overrideWord is what scripts of the old tool end a line with. Setting always replaces here, so it is read and means nothing.
const overrideWord = "override"

// keyArgs takes KEY and the words after it (after VALUE, for set) apart: an optional SCOPE and an optional override, in any order.
func scopeOf(words []string) (string, error) {
	scope := ""
	for _, w := range words {
		switch {
		case w == overrideWord:
		case scope != "":
			return "", usagef("two scopes: %q and %q", scope, w)
		default:
			scope = w
		}
	}
	return scope, nil
}

// targets returns the zones whose files an edit is for; one nil means the file of every zone.
func (z *zoneFlags) targets(env *environment.Environment) ([]*zone.Zone, error) {
	zones, err := z.selected(env)
	if err != nil {
		return nil, err
	}
	if len(zones) == 0 {
		return []*zone.Zone{nil}, nil
	}
	var targets []*zone.Zone
	for _, one := range zones {
		targets = append(targets, &one)
	}
	return targets, nil
}

// show prints a value on one line, as the files could hold it.
func show(v any) string {
	switch v := v.(type) {
	case nil:
		return "(not set)"
	case string:
		if v == "" || strings.ContainsAny(v, "\n\t") {
			return fmt.Sprintf("%q", v)
		}
		return v
	case map[string]any, []any:
		if data, err := json.Marshal(v); err == nil {
			return string(data)
		}
	}
	return fmt.Sprint(v)
}

// bare prints a value as scripts want it: a scalar without quotes, maps and lists as YAML.
func bare(v any) (string, error) {
	switch v.(type) {
	case map[string]any, []any:
		data, err := yaml.Marshal(v)
		return string(data), err
	}
	return fmt.Sprintln(v), nil
}
