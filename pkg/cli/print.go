package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/environment"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/hint"
)

// Forms of output beside the default one.
const (
	formatJSON = "json"
	formatYAML = "yaml"
	formatWide = "wide"
	formatName = "name"
)

// printFlags is the flag -o of a reading command.
type printFlags struct {
	format  string
	allowed []string
}

// add gives cmd the flag -o with the formats that make sense for it.
func (p *printFlags) add(cmd *cobra.Command, formats ...string) {
	p.allowed = formats
	cmd.Flags().StringVarP(&p.format, "output", "o", "", "`format`: "+strings.Join(formats, "|"))
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(formats, cobra.ShellCompDirectiveNoFileComp))
}

// check refuses an unknown format, before anything is done.
func (p *printFlags) check() error {
	if p.format == "" || slices.Contains(p.allowed, p.format) {
		return nil
	}
	return hint.Wrap(usagef("unknown output format %q", p.format), "-o %s", strings.Join(p.allowed, "|"))
}

// object writes v as JSON or YAML where that was asked for, and tells whether it did.
func (p *printFlags) object(w io.Writer, v any) (bool, error) {
	switch p.format {
	case formatJSON:
		data, err := json.MarshalIndent(v, "", "    ")
		if err != nil {
			return true, fmt.Errorf("print JSON: %w", err)
		}
		_, err = fmt.Fprintf(w, "%s\n", data)
		return true, err
	case formatYAML:
		data, err := yaml.Marshal(v)
		if err != nil {
			return true, fmt.Errorf("print YAML: %w", err)
		}
		_, err = w.Write(data)
		return true, err
	}
	return false, nil
}

// list is how every list prints as JSON or YAML.
type list[T any] struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Items      []T    `json:"items"`
}

// newList returns items as a list of the given kind, such as ZoneList.
func newList[T any](kind string, items []T) list[T] {
	if items == nil {
		items = []T{} // [] in JSON, not null
	}
	return list[T]{APIVersion: environment.APIVersion, Kind: kind, Items: items}
}

// table writes rows below header in columns, as kubectl does.
func table(w io.Writer, header []string, rows [][]string) error {
	tw := tabwriter.NewWriter(w, 0, 8, 3, ' ', 0)
	for _, row := range append([][]string{header}, rows...) {
		if _, err := fmt.Fprintln(tw, strings.TrimRight(strings.Join(row, "\t"), "\t")); err != nil {
			return err
		}
	}
	return tw.Flush()
}
