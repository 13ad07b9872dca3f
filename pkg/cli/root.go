// Package cli is the command tree of kubectl aporeto: one command, one file (options struct, newXCmd, runX).
//
// A command parses, validates, makes one call into a use case, and prints. stdout is the result; progress, warnings, errors and hints
// go to stderr. Nothing in here exits: Main returns the exit code.
package cli

import (
	"context"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
)

// Main runs the command line args (without the program's name) and returns the exit code.
func Main(ctx context.Context, f *Factory, args []string) int {
	cmd := newRootCmd(f)
	cmd.SetArgs(args)
	err := cmd.ExecuteContext(ctx)
	if err == nil {
		return ExitOK
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	f.printError(err)
	return ExitCode(err)
}

func newRootCmd(f *Factory) *cobra.Command {
	f.kube = genericclioptions.NewConfigFlags(true)
	cmd := &cobra.Command{
		Use:           "kubectl-aporeto",
		Annotations:   map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl aporeto"},
		Short:         "Run one control plane in several Kubernetes clusters, one of them active",
		SilenceErrors: true,
		SilenceUsage:  true,
		Version:       f.Version,
	}
	cmd.SetIn(f.IO.In)
	cmd.SetOut(f.IO.Out)
	cmd.SetErr(f.IO.ErrOut)
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usagef("%w", err) })
	cmd.PersistentFlags().StringVar(&f.envFlag, "env", "", "the environment `directory` (default: $APORETO_ENV, else found from the working directory upwards)")
	cmd.AddCommand(commands(f)...)
	return cmd
}
