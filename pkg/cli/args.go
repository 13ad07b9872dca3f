package cli

import (
	"errors"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/hint"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/values"
)

// newGroup returns a command that only holds others.
func newGroup(use, short, long string, subs ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Long: long, Args: cobra.ArbitraryArgs, RunE: runGroup}
	cmd.AddCommand(subs...)
	return cmd
}

func runGroup(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return cmd.Help()
	}
	var names []string
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() {
			names = append(names, sub.Name())
		}
	}
	err := usagef("unknown command %q for %q", args[0], cmd.CommandPath())
	if near := values.Like(args[0], names); near != "" {
		return hint.Wrap(err, "the nearest is: %s %s", cmd.CommandPath(), near)
	}
	return hint.Wrap(err, "%s has %s", cmd.CommandPath(), strings.Join(names, ", "))
}

// usageErrors makes every mistake in the number of arguments below cmd a usage error with a hint.
func usageErrors(cmd *cobra.Command) {
	if check := cmd.Args; check != nil {
		cmd.Args = func(c *cobra.Command, args []string) error {
			if err := check(c, args); err != nil {
				return hint.Wrap(usagef("%w", err), "%s", c.UseLine())
			}
			return nil
		}
	}
	for _, sub := range cmd.Commands() {
		usageErrors(sub)
	}
}

// flagError makes a mistake in a flag a usage error. For a flag of kubectl that says where a request goes, the hint says that here a zone
// says that.
func flagError(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) && slices.Contains([]string{"context", "cluster", "server", "s", "user", "namespace", "n"}, unknown.GetSpecifiedName()) {
		choose := ""
		if cmd.Flags().Lookup("zone") != nil {
			choose = ": choose it with --zone NAME"
		}
		return hint.Wrap(usagef("%w", err), "the zone says where%s; kubectl aporeto zone list -o wide shows each one's context and namespace", choose)
	}
	return hint.Wrap(usagef("%w", err), "%s --help", cmd.CommandPath())
}
