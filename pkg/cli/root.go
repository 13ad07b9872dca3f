// Package cli is the command tree of kubectl aporeto: one command, one file (options struct, newXCmd, runX).
//
// A command parses, validates, makes one call into a use case, and prints. stdout is the result; progress, warnings, errors and hints
// go to stderr. Nothing in here exits: Main returns the exit code.
package cli

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
)

// Main runs the command line args (without the program's name) and returns the exit code.
func Main(ctx context.Context, f *Factory, args []string) int {
	result := &resultWriter{Writer: f.IO.Out}
	f.IO.Out = result
	cmd := newRootCmd(f) //nolint:contextcheck // ExecuteContextC below gives the commands their context
	cmd.SetArgs(args)
	ran, err := cmd.ExecuteContextC(ctx)
	if err == nil {
		err = result.err
	}
	if err == nil {
		return ExitOK
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	f.printError(usualHint(ran, err))
	return ExitCode(err)
}

// resultWriter is stdout, whose first error it remembers: a result that could not be written, on a full disk say, is not a success, whoever
// wrote it.
type resultWriter struct {
	io.Writer
	err error
}

func (w *resultWriter) Write(p []byte) (int, error) {
	n, err := w.Writer.Write(p)
	if err != nil && w.err == nil {
		w.err = fmt.Errorf("write the result: %w", err)
	}
	return n, err
}

func newRootCmd(f *Factory) *cobra.Command {
	f.kube = genericclioptions.NewConfigFlags(true)
	cmd := newGroup("kubectl-aporeto", "Run one control plane in several Kubernetes clusters, one of them active",
		`Run one control plane in several Kubernetes clusters (zones) over one MongoDB, one of them active.

Flags are written after the word aporeto: kubectl aporeto zone list --env DIR.`,
		commands(f)...)
	cmd.Annotations = map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl aporeto"}
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.Version = f.Version
	cmd.SetIn(f.IO.In)
	cmd.SetOut(f.IO.Out)
	cmd.SetErr(f.IO.ErrOut)
	cmd.SetFlagErrorFunc(flagError)
	cmd.PersistentFlags().StringVar(&f.envFlag, "env", "", "the environment `directory` (default: $APORETO_ENV, else found from the working directory upwards)")
	cmd.PersistentFlags().StringVar(f.kube.KubeConfig, "kubeconfig", "", "the kubeconfig `file` (default: kubectl's rules, $KUBECONFIG and ~/.kube/config)")
	usageErrors(cmd)
	return cmd
}
