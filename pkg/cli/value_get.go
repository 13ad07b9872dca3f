package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/envdir"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/environment"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/hint"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/values"
)

type valueGetOptions struct {
	f      *Factory
	zones  zoneFlags
	out    printFlags
	origin bool
}

func newValueGetCmd(f *Factory) *cobra.Command {
	o := &valueGetOptions{f: f}
	cmd := &cobra.Command{
		Use:   "get KEY [SCOPE]",
		Short: "Print one value as it holds, the charts' defaults included",
		Long: valueHelp + `

A scalar is printed bare, a map or a list as YAML. The passphrases global.certs.*.pass are answered from the encrypted secrets.`,
		Example: `  kubectl aporeto value get global.database.mongo.host
  kubectl aporeto value get replicas gateway --zone passive --origin`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := o.out.check(); err != nil {
				return err
			}
			scope, err := scopeOf(args[1:])
			if err != nil {
				return err
			}
			return o.run(args[0], scope)
		},
	}
	o.zones.add(f, cmd)
	o.out.add(cmd, formatJSON, formatYAML)
	cmd.Flags().BoolVar(&o.origin, "origin", false, "say which layer the value comes from")
	return cmd
}

// valueItem is one value in JSON and YAML.
type valueItem struct {
	Key    string `json:"key"`
	Value  any    `json:"value"`
	Origin string `json:"origin"`
}

func (o *valueGetOptions) run(key, scope string) error {
	dir, env, err := o.f.Load()
	if err != nil {
		return err
	}
	z, err := o.zones.one(env)
	if err != nil {
		return err
	}
	tree, err := o.f.tree(dir, env, z)
	if err != nil {
		return err
	}
	path, err := tree.Resolve(key, scope)
	if err != nil {
		return err
	}
	if key := path.String(); strings.HasPrefix(key, "global.certs.") {
		return o.secret(dir, env, key)
	}
	value, ok := tree.Lookup(path)
	if !ok {
		return missing(tree, path)
	}
	return o.print(tree, path, value)
}

func (o *valueGetOptions) print(tree *values.Tree, path values.Path, value any) error {
	entries := tree.List(path)
	if o.origin && o.out.format != "" {
		var items []valueItem
		for _, e := range entries {
			items = append(items, valueItem(e))
		}
		_, err := o.out.object(o.f.IO.Out, newList("ValueList", items))
		return err
	}
	if done, err := o.out.object(o.f.IO.Out, value); done {
		return err
	}
	if o.origin {
		return printEntries(o.f, entries)
	}
	text, err := bare(value)
	if err != nil {
		return fmt.Errorf("print %s: %w", path, err)
	}
	_, err = fmt.Fprint(o.f.IO.Out, text)
	return err
}

// secret prints a passphrase of the certificates.
func (o *valueGetOptions) secret(dir *envdir.Dir, env *environment.Environment, key string) error {
	secrets := dir.Secrets(envdir.SecretsOptions{
		Recipients: env.Recipients, Getenv: o.f.Getenv, UserConfigDir: o.f.UserConfigDir,
		Notify: func(text string) { fmt.Fprintln(o.f.IO.ErrOut, text) },
	})
	value, found, err := secrets.Get(key)
	if err != nil {
		return err
	}
	if !found {
		return hint.New(fmt.Sprintf("key %s is not among the encrypted secrets", key), "kubectl aporeto pki init makes the certificates and their passphrases")
	}
	if done, err := o.out.object(o.f.IO.Out, value); done {
		return err
	}
	_, err = fmt.Fprintln(o.f.IO.Out, value)
	return err
}

func printEntries(f *Factory, entries []values.Entry) error {
	var rows [][]string
	for _, e := range entries {
		rows = append(rows, []string{e.Key, show(e.Value), e.Origin})
	}
	return table(f.IO.Out, []string{"KEY", "VALUE", "ORIGIN"}, rows)
}

func newValueListCmd(f *Factory) *cobra.Command {
	var zones zoneFlags
	var out printFlags
	cmd := &cobra.Command{
		Use:     "list [KEY] [SCOPE]",
		Aliases: []string{"ls"},
		Short:   "List the values with the layer each comes from",
		Long:    valueHelp,
		Example: `  kubectl aporeto value list
  kubectl aporeto value list gateway --zone passive`,
		Args: cobra.MaximumNArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := out.check(); err != nil {
				return err
			}
			return runValueList(f, &zones, &out, args)
		},
	}
	zones.add(f, cmd)
	out.add(cmd, formatJSON, formatYAML, formatName)
	return cmd
}

func runValueList(f *Factory, zones *zoneFlags, out *printFlags, args []string) error {
	dir, env, err := f.Load()
	if err != nil {
		return err
	}
	z, err := zones.one(env)
	if err != nil {
		return err
	}
	tree, err := f.tree(dir, env, z)
	if err != nil {
		return err
	}
	var path values.Path
	if len(args) > 0 {
		scope, err := scopeOf(args[1:])
		if err != nil {
			return err
		}
		if path, err = tree.Resolve(args[0], scope); err != nil {
			return err
		}
		if _, ok := tree.Lookup(path); !ok {
			return missing(tree, path)
		}
	}
	var items []valueItem
	for _, e := range tree.List(path) {
		items = append(items, valueItem(e))
	}
	if done, err := out.object(f.IO.Out, newList("ValueList", items)); done {
		return err
	}
	if out.format == formatName {
		for _, i := range items {
			fmt.Fprintln(f.IO.Out, i.Key)
		}
		return nil
	}
	return printEntries(f, tree.List(path))
}
