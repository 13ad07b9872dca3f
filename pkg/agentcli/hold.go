package agentcli

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/clock"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/hold"
)

// What a held command's timing is made of: see hold.Timing.
const (
	holdGrace = 2 * time.Second
	holdKill  = 500 * time.Millisecond
	holdStart = 500 * time.Millisecond
)

type holdOptions struct {
	env      *Env
	identity identityFlags
	gateway  string
	install  string
	probes   string
	config   hold.Config
}

func newHoldCmd(env *Env) *cobra.Command {
	o := &holdOptions{env: env}
	cmd := &cobra.Command{
		Use:   "hold -- COMMAND [ARGUMENT...]",
		Short: "Run a command only while this zone is the active one",
		Long: `Asks the zone's gateways for a promise that the zone stays the active one, and runs COMMAND while one holds. Before it is over the
command gets SIGTERM, and after --grace SIGKILL, with all that it started; then it is held until the zone is active again. Signals are
passed on. The exit code is the command's: 128 and the signal's number where a signal ended it, 126 or 127 where it cannot be run.

With --install this program only copies itself to a file, for containers of other images to run.`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.install != "" {
				return o.copy(cmd, args)
			}
			if err := o.complete(args); err != nil {
				return err
			}
			return o.run(cmd.Context())
		},
	}
	flags := cmd.Flags()
	flags.SetInterspersed(false) // what follows COMMAND is its own
	o.identity.register(flags)
	flags.StringVar(&o.gateway, "gateway", "", "status `URL` of the zone's gateways, such as http://aporeto-gateway-status.NAMESPACE.svc:9090 (required)")
	flags.DurationVar(&o.config.Timing.Grace, "grace", holdGrace, "time between SIGTERM and SIGKILL")
	flags.DurationVar(&o.config.Interval, "interval", 500*time.Millisecond, "time between two questions to the gateways")
	flags.StringVar(&o.config.Listen, "probe-listen", "", "`address` that answers the kubelet at /readiness and /liveness (default: none)")
	flags.StringVar(&o.config.Probes.Host, "probe-host", "127.0.0.1", "`host` that the command's own probes ask")
	flags.StringVar(&o.probes, "probes", "", "the command's own probes, as `JSON`: startup, readiness, liveness as Kubernetes has them")
	flags.StringVar(&o.install, "install", "", "copy this program to `file` and end")
	return cmd
}

// copy installs the program.
func (o *holdOptions) copy(cmd *cobra.Command, args []string) error {
	if len(args) > 0 || cmd.Flags().NFlag() > 1 {
		return usagef("--install goes with nothing else")
	}
	return hold.Install(o.install)
}

// complete fills in what follows from the flags and reports every mistake in them at once.
func (o *holdOptions) complete(args []string) error {
	problems := o.identity.problems()
	if len(args) == 0 {
		problems = append(problems, errors.New("no command to hold: give it after --"))
	}
	for _, d := range []struct {
		name  string
		value time.Duration
		least time.Duration
	}{{"grace", o.config.Timing.Grace, 0}, {"interval", o.config.Interval, 50 * time.Millisecond}} {
		if d.value < d.least {
			problems = append(problems, fmt.Errorf("--%s %s is less than %s", d.name, d.value, d.least))
		}
	}
	if o.probes != "" {
		host := o.config.Probes.Host
		var err error
		if o.config.Probes, err = hold.ParseProbes([]byte(o.probes)); err != nil {
			problems = append(problems, fmt.Errorf("--probes: %w", err))
		}
		o.config.Probes.Host = host
	}
	o.config.Clock = clock.System()
	gateways, err := hold.NewGateways(o.gateway, o.identity.environment, o.identity.zone, rand.Text(), o.config.Clock)
	if err != nil {
		problems = append(problems, fmt.Errorf("--gateway: %w", err))
	}
	o.config.Gateways, o.config.Command = gateways, args
	o.config.Timing.Kill, o.config.Timing.Start = holdKill, holdStart
	if err := errors.Join(problems...); err != nil {
		return usagef("%w", err)
	}
	return nil
}

func (o *holdOptions) run(ctx context.Context) error {
	// Every signal that a kubelet or a user sends, but none that the kernel or Go's runtime sends this process about itself.
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGWINCH, syscall.SIGCONT)
	defer signal.Stop(signals)
	o.config.Signals = signals
	o.config.Log = o.env.logger("hold").With("environment", o.identity.environment, "zone", o.identity.zone)
	// SIGTERM ends ctx, but must let the command end in its own time: it comes as a signal.
	code, err := hold.Run(context.WithoutCancel(ctx), o.config)
	if err != nil || code != 0 {
		return &exitError{code: code, err: err}
	}
	return nil
}
