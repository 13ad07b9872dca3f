// Command aporeto-agent is what kubectl aporeto runs in the zones: the gateway with its gate, and the auto-maintenance job.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	// The image holds nothing but this program: without these, a global endpoint with a public certificate could not be verified.
	_ "golang.org/x/crypto/x509roots/fallback"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/agentcli"
)

// version is set by the linker of a release.
var version = "v0.0.0-dev"

func main() {
	os.Exit(run())
}

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return agentcli.Main(ctx, &agentcli.Env{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr, Getenv: os.Getenv, Version: version}, os.Args[1:])
}
