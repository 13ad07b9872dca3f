package cli

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/envdir"
)

func newInitCmd(f *Factory) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "init [DIR]",
		Short: "Make an environment directory",
		Long: `Make an environment directory: aporeto.yaml with a new identity, conf.d for the values, certs for the certificates.

Keep the directory in git: private keys and passphrases in it are encrypted. An environment that is there already is never touched.
Commands find it from the working directory upwards, or by --env, or by APORETO_ENV.`,
		Example: `  kubectl aporeto init production && cd production`,
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 && f.envFlag != "" {
				return usagef("DIR and --env say the same thing; give one")
			}
			return runInit(cmd.Context(), f, strings.Join(args, "")+f.envFlag)
		},
	}
	return cmd
}

// runInit makes the environment in dir, "" being the working directory.
func runInit(ctx context.Context, f *Factory, dir string) error {
	path := dir
	if !filepath.IsAbs(path) {
		path = filepath.Join(f.WorkDir, path)
	}
	id, err := uuid.NewRandom()
	if err != nil {
		return fmt.Errorf("make an identity: %w", err)
	}
	env, made, err := envdir.Create(ctx, path, id.String())
	if err != nil {
		return err
	}
	fmt.Fprintf(f.IO.Out, "environment %s made in %s\n", id, env.Path)
	for _, name := range made {
		fmt.Fprintf(f.IO.Out, "  %s\n", name)
	}
	next := "kubectl aporeto zone add NAME --context CONTEXT --namespace NAMESPACE"
	if env.Path != filepath.Clean(f.WorkDir) {
		next += " --env " + dir
	}
	f.printHint(next)
	return nil
}
