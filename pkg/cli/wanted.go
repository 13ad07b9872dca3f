package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
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
func (v *valueFlags) layers(f *Factory, schemas *values.Schemas) ([]values.Layer, error) {
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
		layer, err := setLayer(schemas, set)
		if err != nil {
			return nil, err
		}
		layers = append(layers, layer)
	}
	return layers, nil
}

// setLayer reads one key=value as value set does.
func setLayer(schemas *values.Schemas, set string) (values.Layer, error) {
	key, word, ok := strings.Cut(set, "=")
	if !ok {
		return values.Layer{}, hint.Wrap(usagef("--set %q has no value", set), "--set gateway.replicas=3")
	}
	path, err := values.ParsePath(key)
	if err != nil {
		return values.Layer{}, usagef("--set %q: %w", set, err)
	}
	if err := values.CheckOwner(path); err != nil { // a zone that took itself for another's, or for one of another environment, would hold another lease
		return values.Layer{}, usagef("--set: %w", err)
	}
	value, err := schemas.Literal(path, word)
	if err != nil {
		return values.Layer{}, usagef("--set %q: %w", set, err)
	}
	doc, _, err := values.Set("--set", nil, path, value)
	if err != nil {
		return values.Layer{}, usagef("--set %q: %w", set, err)
	}
	return values.ParseLayer("--set "+key, doc)
}

// wishes reads what zones are to be: the environment's files, the facts of each zone, the values of one call.
type wishes struct {
	f       *Factory
	dir     *envdir.Dir
	env     *environment.Environment
	schemas *values.Schemas
	extra   []values.Layer // of one call
}

// wishes loads the environment and the flags of one call.
func (f *Factory) wishes(flags *valueFlags) (*wishes, error) {
	dir, env, err := f.Load()
	if err != nil {
		return nil, err
	}
	schemas, err := f.schemas()
	if err != nil {
		return nil, err
	}
	extra, err := flags.layers(f, schemas)
	return &wishes{f: f, dir: dir, env: env, schemas: schemas, extra: extra}, err
}

// of returns what each of zones is to be, and all problems of all of them in one error.
func (w *wishes) of(zones []zone.Zone) ([]plan.Wanted, error) {
	known, err := w.known()
	if err != nil {
		return nil, err
	}
	wanted := make([]plan.Wanted, len(zones))
	var failures zone.Failures
	for i, z := range zones {
		if wanted[i], err = w.one(z, known); err != nil {
			failures = append(failures, zone.Failure{Zone: z, Err: err})
		}
	}
	return wanted, valueProblems(failures, len(zones))
}

// one returns what z is to be. The charts' defaults are not in it: Helm lays them under it by itself, and a release then stores only
// what was really set.
func (w *wishes) one(z zone.Zone, known []values.Layer) (plan.Wanted, error) {
	whole, err := w.f.tree(w.dir, w.env, &z, w.extra...)
	if err != nil {
		return plan.Wanted{}, err
	}
	if err := w.schemas.Validate(whole); err != nil {
		return plan.Wanted{}, err
	}
	files, err := w.dir.ValueLayers(&z)
	if err != nil {
		return plan.Wanted{}, err
	}
	if len(w.env.Zones) == 1 {
		everything, _ := whole.Charts()
		known = append(slices.Clone(known), shardHosts(plan.Wanted{Zone: z, ControlPlane: everything}))
	}
	set := values.Merge(slices.Concat(known, files, w.extra, []values.Layer{w.facts(z)})...)
	wanted := plan.Wanted{Zone: z}
	wanted.ControlPlane, wanted.AutoMaintenance = set.Charts()
	return wanted, nil
}

func (w *wishes) facts(z zone.Zone) values.Layer {
	return values.Facts{Environment: w.env.ID, Zone: z.Name, Zones: len(w.env.Zones), Generation: w.env.CertificateGeneration}.Layer()
}

// known are the weakest layers: what the environment as a whole suggests.
func (w *wishes) known() ([]values.Layer, error) {
	trust, err := w.trust()
	if err != nil {
		return nil, err
	}
	urls := map[string]any{}
	for _, z := range w.env.Zones {
		tree, err := w.f.tree(w.dir, w.env, &z, w.extra...)
		if err != nil {
			return nil, err
		}
		if api, ok := tree.Lookup(values.Path{values.Global, "public", "api"}); ok && api != "" {
			urls[zone.Key(z.Name)] = api
		}
	}
	if len(urls) == 0 {
		return []values.Layer{trust}, nil
	}
	addresses := values.Layer{Name: "global.public.api of every zone", Values: map[string]any{values.Global: map[string]any{"zoneURLs": urls}}}
	return []values.Layer{trust, addresses}, nil
}

// trust is a layer: where the environment signs the public certificates itself, the auto-maintenance job trusts its CA without
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
