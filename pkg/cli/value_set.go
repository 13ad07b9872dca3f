package cli

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/envdir"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/environment"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/hint"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongo"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/values"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/zone"
)

func newValueSetCmd(f *Factory) *cobra.Command {
	var zones zoneFlags
	cmd := &cobra.Command{
		Use:   "set KEY VALUE [SCOPE] [override]",
		Short: "Set one value",
		Long: valueHelp + `

One call sets one key, in conf.d/values.yaml, or with --zone in that zone's file. VALUE is taken as it stands: commas and braces mean
nothing. true, false, null and integers get their type, as with helm --set, unless the charts want text there; null deletes a default.
A key or a type that the charts do not know is refused.

Setting always replaces. The word override, with which scripts of the old tool end a line, is accepted and changes nothing.`,
		Example: `  kubectl aporeto value set global.database.mongo.host mongo1:27017,mongo2:27017
  kubectl aporeto value set enabled false mongodb-shard
  kubectl aporeto value set global.public.api https://passive-api.example.com --zone passive`,
		Args: cobra.RangeArgs(2, 4),
		RunE: func(cmd *cobra.Command, args []string) error {
			scope, err := scopeOf(args[2:])
			if err != nil {
				return err
			}
			return runValueSet(cmd.Context(), f, &zones, args[0], args[1], scope)
		},
	}
	zones.add(f, cmd)
	return cmd
}

func runValueSet(ctx context.Context, f *Factory, zones *zoneFlags, key, word, scope string) error {
	dir, env, err := f.Load()
	if err != nil {
		return err
	}
	targets, err := zones.targets(env)
	if err != nil {
		return err
	}
	schemas, err := f.schemas()
	if err != nil {
		return err
	}
	for _, z := range targets {
		file := envdir.ValuesName(z)
		tree, err := f.tree(dir, env, z)
		if err != nil {
			return err
		}
		path, err := tree.Resolve(key, scope)
		if err != nil {
			return err
		}
		if err := values.CheckOwner(path); err != nil {
			return err
		}
		value, err := schemas.Literal(path, word)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		if host, is := value.(string); is && host != "" && path.String() == "global.database.mongo.host" {
			if err := mongo.CheckHosts(host); err != nil {
				return hint.Wrap(usagef("%s: %w", path, err), "the routers as HOST:PORT, separated by commas, IPv6 addresses in brackets: kubectl aporeto value set %s HOST1:27017,HOST2:27017", path)
			}
		}
		var old any
		changed, err := dir.Update(ctx, file, 0o644, func(data []byte) (out []byte, err error) {
			if data == nil {
				data = environment.NewValues(zoneName(z))
			}
			out, old, err = values.Set(file, data, path, value)
			return out, err
		})
		if err != nil {
			return err
		}
		f.reportSet(file, path, old, value, changed)
		if z == nil {
			f.warnHidden(dir, env, path, value)
		}
	}
	return nil
}

func (f *Factory) reportSet(file string, path values.Path, old, value any, changed bool) {
	fresh := show(value)
	if value == nil {
		fresh = "null (the chart's default is deleted)"
	}
	if !changed {
		fmt.Fprintf(f.IO.Out, "%s: %s: %s, unchanged\n", file, path, fresh)
		return
	}
	fmt.Fprintf(f.IO.Out, "%s: %s: %s → %s\n", file, path, show(old), fresh)
}

// warnHidden says which zones' own files are stronger than what was just set for every zone.
func (f *Factory) warnHidden(dir *envdir.Dir, env *environment.Environment, path values.Path, value any) {
	for _, z := range env.Zones {
		layers, err := dir.ValueLayers(&z)
		if err != nil {
			continue // the next command that reads this zone reports it
		}
		if own, ok := values.Merge(layers[1]).Lookup(path); ok && show(own) != show(value) {
			fmt.Fprintf(f.IO.ErrOut, "zone %s keeps %s, from %s\n", z.Name, show(own), layers[1].Name)
		}
	}
}

func zoneName(z *zone.Zone) string {
	if z == nil {
		return ""
	}
	return z.Name
}

func newValueUnsetCmd(f *Factory) *cobra.Command {
	var zones zoneFlags
	cmd := &cobra.Command{
		Use:   "unset KEY [SCOPE]",
		Short: "Take one value out of the environment's or a zone's file, so that the weaker layer holds again",
		Long:  valueHelp,
		Example: `  kubectl aporeto value unset gateway.replicas
  kubectl aporeto value unset replicas gateway --zone passive`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			scope, err := scopeOf(args[1:])
			if err != nil {
				return err
			}
			return runValueUnset(cmd.Context(), f, &zones, args[0], scope)
		},
	}
	zones.add(f, cmd)
	return cmd
}

func runValueUnset(ctx context.Context, f *Factory, zones *zoneFlags, key, scope string) error {
	dir, env, err := f.Load()
	if err != nil {
		return err
	}
	targets, err := zones.targets(env)
	if err != nil {
		return err
	}
	for _, z := range targets {
		file := envdir.ValuesName(z)
		tree, err := f.tree(dir, env, z)
		if err != nil {
			return err
		}
		path, err := tree.Resolve(key, scope)
		if err != nil {
			return err
		}
		var old any
		changed, err := dir.Update(ctx, file, 0o644, func(data []byte) (out []byte, err error) {
			out, old, _, err = values.Unset(file, data, path)
			if data == nil {
				out = nil
			}
			return out, err
		})
		if err != nil {
			return err
		}
		if !changed {
			if err := f.notThere(tree, path); err != nil {
				return err
			}
			fmt.Fprintf(f.IO.Out, "%s: %s: not set here, unchanged\n", file, path)
			continue
		}
		after, err := f.tree(dir, env, z)
		if err != nil {
			return err
		}
		now, _ := after.Lookup(path)
		fmt.Fprintf(f.IO.Out, "%s: %s: %s → %s\n", file, path, show(old), show(now))
	}
	return nil
}

// notThere returns an error when path is no key at all, rather than one this file does not set.
func (f *Factory) notThere(tree *values.Tree, path values.Path) error {
	schemas, err := f.schemas()
	if err != nil {
		return err
	}
	if _, known := tree.Lookup(path); known {
		return nil
	}
	return schemas.Check(path, nil)
}

// missing is the error for a key that holds nothing, with the nearest one that does.
func missing(tree *values.Tree, path values.Path) error {
	var known []string
	for _, e := range tree.List(nil) {
		known = append(known, e.Key)
	}
	err := fmt.Errorf("key %s is not set", path)
	if len(known) == 0 {
		return err
	}
	slices.Sort(known)
	return hint.Wrap(err, "the nearest key that is set is %s; kubectl aporeto value list shows all", values.Nearest(path.String(), known))
}
