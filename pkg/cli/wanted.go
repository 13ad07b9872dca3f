package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/aporeto-inc/kubectl-aporeto/charts"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/envdir"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/environment"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/hint"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/pki"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/plan"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/release"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/rollout"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/values"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/zone"
)

// valueFlags are the values of one call: -f and --set, stronger than every file of the environment.
type valueFlags struct {
	files []string
	sets  []string
}

func (v *valueFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringArrayVarP(&v.files, "values", "f", nil, "a values `file` for this call only; may be given several times, the last is the strongest")
	cmd.Flags().StringArrayVar(&v.sets, "set", nil, "one `key=value` for this call only, the value taken as it stands; may be given several times")
}

// layers returns the flags' values, weakest first.
func (v *valueFlags) layers(f *Factory) ([]values.Layer, error) {
	var layers []values.Layer
	for _, name := range v.files {
		path := name
		if !filepath.IsAbs(path) {
			path = filepath.Join(f.WorkDir, path)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, usagef("-f: %w", err)
		}
		layer, err := values.ParseLayer(name, data)
		if err != nil {
			return nil, err
		}
		layers = append(layers, layer)
	}
	for _, set := range v.sets {
		key, literal, ok := strings.Cut(set, "=")
		if !ok {
			return nil, hint.Wrap(usagef("--set %q has no value", set), "--set gateway.replicas=3")
		}
		path, err := values.ParsePath(key)
		if err != nil {
			return nil, usagef("--set %q: %w", set, err)
		}
		layer, err := values.SetLayer("--set "+key, path, values.Infer(literal))
		if err != nil {
			return nil, usagef("--set %q: %w", set, err)
		}
		layers = append(layers, layer)
	}
	return layers, nil
}

// wishes reads what zones are to be: the environment's files, the facts of each zone, the values of one call.
type wishes struct {
	dir   *envdir.Dir
	env   *environment.Environment
	extra []values.Layer // of one call
}

// of returns what each of zones is to be, and all problems of all of them in one error.
func (w *wishes) of(zones []zone.Zone) ([]plan.Wanted, error) {
	schemas, err := chartSchemas()
	if err != nil {
		return nil, err
	}
	defaults, err := chartDefaults()
	if err != nil {
		return nil, err
	}
	trust, err := w.trust()
	if err != nil {
		return nil, err
	}
	wanted := make([]plan.Wanted, len(zones))
	var failures zone.Failures
	for i, z := range zones {
		files, err := w.dir.ValueLayers(&z)
		if err != nil {
			failures = append(failures, zone.Failure{Zone: z, Err: err})
			continue
		}
		layers := append([]values.Layer{trust}, files...)
		layers = append(layers, w.facts(z))
		layers = append(layers, w.extra...)
		if err := schemas.Validate(values.Merge(append(defaults, layers...)...)); err != nil {
			failures = append(failures, zone.Failure{Zone: z, Err: err})
		}
		wanted[i].Zone = z
		wanted[i].ControlPlane, wanted[i].AutoMaintenance = values.Merge(layers...).Charts()
	}
	return wanted, valueProblems(failures, len(zones))
}

func (w *wishes) facts(z zone.Zone) values.Layer {
	return values.Facts{Environment: w.env.ID, Zone: z.Name, Zones: len(w.env.Zones), Generation: w.env.CertificateGeneration}.Layer()
}

// trust is the weakest layer: where the environment signs the public certificates itself, the auto-maintenance job trusts its CA without
// being told. Where a zone has a certificate of the user's own, the user says whom to trust.
func (w *wishes) trust() (values.Layer, error) {
	name := environment.CertsDir + "/" + pki.PublicChain + ".pem"
	layer := values.Layer{Name: name, Values: map[string]any{}}
	chain, err := w.dir.ReadOptional(name)
	if err != nil || chain == nil {
		return layer, err
	}
	for _, z := range w.env.Zones {
		own, err := w.dir.ReadOptional(environment.CertsDir + "/public/" + zone.Key(z.Name) + "/tls.crt")
		if err != nil || own != nil {
			return layer, err
		}
	}
	layer.Values = map[string]any{values.AutoMaintenance: map[string]any{"caBundle": string(chain)}}
	return layer, nil
}

// valueProblems makes one error of the zones' problems. What is wrong in the files that all zones share is said once.
func valueProblems(failures zone.Failures, zones int) error {
	if len(failures) == 0 {
		return nil
	}
	lines := make([]string, 0, len(failures))
	seen := map[string]bool{}
	for _, failure := range failures {
		text := failure.Err.Error()
		if seen[text] {
			continue
		}
		seen[text] = true
		if zones > 1 && len(failures) < zones {
			text = "zone " + failure.Zone.Name + ": " + text
		}
		lines = append(lines, text)
	}
	return hint.Wrap(fmt.Errorf("%s", strings.Join(lines, "\n")), "%s", hint.Of(failures[0].Err))
}

// loadCharts returns the charts that this program carries.
func loadCharts() (rollout.Charts, error) {
	controlPlane, err := release.LoadChart(charts.FS, charts.ControlPlane)
	if err != nil {
		return rollout.Charts{}, err
	}
	autoMaintenance, err := release.LoadChart(charts.FS, charts.AutoMaintenance)
	return rollout.Charts{ControlPlane: controlPlane, AutoMaintenance: autoMaintenance}, err
}
