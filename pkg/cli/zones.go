package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/environment"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/hint"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/values"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/zone"
)

// zoneVariable names the zone meant where no flag does; `zone env` exports it.
const zoneVariable = "APORETO_ZONE"

// zoneFlags choose zones: --zone NAME, repeatable, or --all-zones, or else APORETO_ZONE.
type zoneFlags struct {
	f     *Factory
	names []string
	all   bool
}

func (z *zoneFlags) add(f *Factory, cmd *cobra.Command) {
	z.f = f
	cmd.Flags().StringArrayVar(&z.names, "zone", nil, "a zone's `name`; may be given several times (default: $"+zoneVariable+")")
	cmd.Flags().BoolVar(&z.all, "all-zones", false, "every zone of the environment")
	_ = cmd.RegisterFlagCompletionFunc("zone", f.completeZones)
}

// selected returns the chosen zones, each once, in the order of the environment; none when nothing was said.
func (z *zoneFlags) selected(env *environment.Environment) ([]zone.Zone, error) {
	names := z.names
	if z.all && len(names) > 0 {
		return nil, usagef("--zone and --all-zones exclude each other")
	}
	if z.all {
		if len(env.Zones) == 0 {
			return nil, noZones()
		}
		return env.Zones, nil
	}
	if len(names) == 0 && z.f.Getenv(zoneVariable) != "" {
		names = []string{z.f.Getenv(zoneVariable)}
	}
	chosen := map[string]bool{}
	for _, name := range names {
		found, err := findZone(env, name)
		if err != nil {
			return nil, err
		}
		chosen[found.Name] = true
	}
	var zones []zone.Zone
	for _, one := range env.Zones {
		if chosen[one.Name] {
			zones = append(zones, one)
		}
	}
	return zones, nil
}

// need is selected for commands that must have a zone: when none was chosen it fails with ExitNothing.
func (z *zoneFlags) need(env *environment.Environment) ([]zone.Zone, error) {
	zones, err := z.selected(env)
	if err == nil && len(zones) == 0 {
		if len(env.Zones) == 0 {
			return nil, noZones()
		}
		return nil, hint.Wrap(fmt.Errorf("no zone chosen: %w", errNothing), "--zone NAME or --all-zones; the zones are %s", strings.Join(zone.Names(env.Zones), ", "))
	}
	return zones, err
}

// one is selected for commands that take at most one zone; nil when none was chosen.
func (z *zoneFlags) one(env *environment.Environment) (*zone.Zone, error) {
	zones, err := z.selected(env)
	switch {
	case err != nil:
		return nil, err
	case len(zones) > 1:
		return nil, usagef("one zone at a time: --zone NAME once")
	case len(zones) == 0:
		return nil, nil
	}
	return &zones[0], nil
}

func noZones() error {
	return hint.Wrap(fmt.Errorf("the environment has no zones: %w", errNothing), "kubectl aporeto zone add NAME --context CONTEXT --namespace NAMESPACE")
}

func findZone(env *environment.Environment, name string) (zone.Zone, error) {
	found, ok := zone.Find(env.Zones, name)
	if ok {
		return found, nil
	}
	if len(env.Zones) == 0 {
		return zone.Zone{}, noZones()
	}
	names := zone.Names(env.Zones)
	err := fmt.Errorf("no zone is named %q", name)
	if near := values.Like(name, names); near != "" {
		return zone.Zone{}, hint.Wrap(err, "the nearest is %s, of: %s", near, strings.Join(names, ", "))
	}
	return zone.Zone{}, hint.Wrap(err, "the zones are %s", strings.Join(names, ", "))
}

func (f *Factory) completeZones(_ *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	_, env, err := f.Load()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	return zone.Names(env.Zones), cobra.ShellCompDirectiveNoFileComp
}
