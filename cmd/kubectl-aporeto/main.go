// Command kubectl-aporeto is the kubectl plugin: it keeps one control plane in several Kubernetes clusters over one MongoDB.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/klog/v2"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/cli"
)

// version is set by the linker of a release.
var version = "v0.0.0-dev"

func main() {
	os.Exit(run())
}

func run() int {
	asked := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // nohup
		asked = append(asked, syscall.SIGHUP) // a terminal that goes away is a Ctrl-C: a drill comes back first
	}
	klog.SetLogger(logr.Discard()) // client-go's asides about connections that we closed ourselves: errors reach the user as errors
	ctx, stop := signal.NotifyContext(context.Background(), asked...)
	defer stop()
	dir, err := os.Getwd()
	if err != nil {
		dir = "."
	}
	return cli.Main(ctx, &cli.Factory{
		IO:            genericiooptions.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr},
		Now:           time.Now,
		Getenv:        os.Getenv,
		WorkDir:       dir,
		UserConfigDir: os.UserConfigDir,
		Version:       version,
		Exec:          func(path string, argv []string) error { return syscall.Exec(path, argv, os.Environ()) }, //nolint:gosec // the user's own shell
	}, os.Args[1:])
}
