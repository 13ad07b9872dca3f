package cli

import (
	"os"
	"os/user"
	"strconv"
	"strings"
	"time"

	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/envdir"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/environment"
)

// Factory carries everything a command takes from the process: streams, clock, environment variables, and the flags that every
// command shares. main builds one; tests build their own.
type Factory struct {
	IO     genericiooptions.IOStreams
	Now    func() time.Time
	Getenv func(string) string
	// WorkDir is where the search for the environment directory starts.
	WorkDir string
	// UserConfigDir is where a user's own age identity lives (os.UserConfigDir in main).
	UserConfigDir func() (string, error)
	Version       string
	// Exec turns the process into another program and does not return, but with an error.
	Exec func(path string, argv []string) error

	kube    *genericclioptions.ConfigFlags
	envFlag string
}

// Environment finds the environment directory: --env, then APORETO_ENV, then from WorkDir upwards.
func (f *Factory) Environment() (*envdir.Dir, error) {
	return envdir.Find(f.WorkDir, f.envFlag, f.Getenv(envdir.Variable))
}

// Load finds the environment directory and reads its aporeto.yaml.
func (f *Factory) Load() (*envdir.Dir, *environment.Environment, error) {
	dir, err := f.Environment()
	if err != nil {
		return nil, nil, err
	}
	env, err := dir.Load()
	return dir, env, err
}

// Kubeconfig returns the flag --kubeconfig, "" when it was not given.
func (f *Factory) Kubeconfig() string { return *f.kube.KubeConfig }

// who names the user to other people: in the journal, and at the deploy lock. Where no login set USER (cron, a container) it is whoever the
// process runs as.
func (f *Factory) who() string {
	who := f.Getenv("USER")
	if who == "" {
		who = "uid-" + strconv.Itoa(os.Getuid())
		if account, err := user.Current(); err == nil && account.Username != "" {
			who = account.Username
		}
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown-host"
	}
	return who + "@" + strings.SplitN(host, ".", 2)[0]
}
