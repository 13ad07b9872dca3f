package cli

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/envdir"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/environment"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/hint"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/zone"
)

func newZoneEnvCmd(f *Factory) *cobra.Command {
	var shell string
	shells := []string{"sh", "bash", "zsh", "fish"}
	cmd := &cobra.Command{
		Use:   "env NAME",
		Short: "Print what makes a shell work in one zone",
		Long: `Print commands for a shell, after which kubectl and kubectl aporeto mean this zone: ` + zoneVariable + `, ` + envdir.Variable + `, and a KUBECONFIG whose
current context is the zone's, with its namespace. Clusters and credentials stay in your own kubeconfig files.`,
		Example: `  . <(kubectl aporeto zone env passive)
  kubectl get pods
  kubectl aporeto zone env passive --shell fish | source`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: f.completeZones,
		RunE: func(_ *cobra.Command, args []string) error {
			if !slices.Contains(shells, shell) {
				return hint.Wrap(usagef("unknown shell %q", shell), "--shell %s", strings.Join(shells, "|"))
			}
			return runZoneEnv(f, args[0], shell)
		},
	}
	preset := filepath.Base(f.Getenv("SHELL"))
	if !slices.Contains(shells, preset) {
		preset = shells[0]
	}
	cmd.Flags().StringVar(&shell, "shell", preset, "`shell`: "+strings.Join(shells, "|"))
	cmd.Flags().Lookup("shell").DefValue = "" // of $SHELL, so it is not the same for everybody
	_ = cmd.RegisterFlagCompletionFunc("shell", cobra.FixedCompletions(shells, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func runZoneEnv(f *Factory, name, shell string) error {
	dir, env, err := f.Load()
	if err != nil {
		return err
	}
	z, err := findZone(env, name)
	if err != nil {
		return err
	}
	files, err := f.kubeconfigFiles(z)
	if err != nil {
		return err
	}
	overlay, err := f.writeOverlay(env, z, files)
	if err != nil {
		return err
	}
	printEnv(f.IO.Out, shell, [][2]string{
		{envdir.Variable, dir.Path},
		{zoneVariable, z.Name},
		{"KUBECONFIG", strings.Join(append([]string{overlay}, files...), string(filepath.ListSeparator))},
	})
	return nil
}

// printEnv writes assignments in the shell's language, each value as one quoted word.
func printEnv(w io.Writer, shell string, vars [][2]string) {
	for _, v := range vars {
		if shell == "fish" {
			fmt.Fprintf(w, "set -gx %s '%s'\n", v[0], strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(v[1]))
			continue
		}
		fmt.Fprintf(w, "export %s='%s'\n", v[0], strings.ReplaceAll(v[1], `'`, `'\''`))
	}
}

// overlays is the folder of the kubeconfig files that `zone env` makes.
func (f *Factory) overlays() (string, error) {
	base, err := f.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("find the user's configuration directory: %w", err)
	}
	return filepath.Join(base, "kubectl-aporeto", "zones"), nil
}

// kubeconfigFiles returns the absolute paths of the files kubectl would read for z, without overlays of a shell that was in a zone
// already.
func (f *Factory) kubeconfigFiles(z zone.Zone) ([]string, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = f.Kubeconfig()
	if z.Kubeconfig != "" {
		rules.ExplicitPath = z.Kubeconfig
	}
	folder, err := f.overlays()
	if err != nil {
		return nil, err
	}
	var files []string
	for _, file := range rules.GetLoadingPrecedence() {
		if file == "" || filepath.Dir(file) == folder {
			continue
		}
		if !filepath.IsAbs(file) {
			file = filepath.Join(f.WorkDir, file)
		}
		files = append(files, file)
	}
	return files, nil
}

// writeOverlay makes the kubeconfig that, put before files, makes z's context with z's namespace the current one. It names cluster and
// user and holds neither.
func (f *Factory) writeOverlay(env *environment.Environment, z zone.Zone, files []string) (string, error) {
	config, err := (&clientcmd.ClientConfigLoadingRules{Precedence: files}).Load()
	if err != nil {
		return "", fmt.Errorf("load kubeconfig: %w", err)
	}
	if err := knownContext(config, z.Context); err != nil {
		return "", err
	}
	current := "aporeto-" + zone.Key(z.Name)
	overlay := clientcmdapi.NewConfig()
	overlay.CurrentContext = current
	overlay.Contexts[current] = &clientcmdapi.Context{
		Cluster: config.Contexts[z.Context].Cluster, AuthInfo: config.Contexts[z.Context].AuthInfo, Namespace: z.Namespace,
	}
	data, err := clientcmd.Write(*overlay)
	if err != nil {
		return "", fmt.Errorf("write kubeconfig: %w", err)
	}
	folder, err := f.overlays()
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return "", fmt.Errorf("write kubeconfig: %w", err)
	}
	path := filepath.Join(folder, env.ID+"-"+zone.Key(z.Name)+".kubeconfig")
	if err := renameio.WriteFile(path, data, 0o600); err != nil {
		return "", fmt.Errorf("write kubeconfig: %w", err)
	}
	return path, nil
}
