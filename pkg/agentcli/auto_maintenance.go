package agentcli

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/maintenance"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/mirror"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/probe"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/zone"
)

// Time limits of the job: one operation on its record, and saying goodbye to the database.
const (
	recordTime = 3 * time.Second
	closeTime  = time.Second
)

type autoMaintenanceOptions struct {
	env      *Env
	identity identityFlags
	mongo    mongoFlags
	probe    probe.Options
	caBundle string
	config   maintenance.Config
	mirror   bool
}

func newAutoMaintenanceCmd(env *Env) *cobra.Command {
	o := &autoMaintenanceOptions{env: env}
	cmd := &cobra.Command{
		Use:   "auto-maintenance",
		Short: "Watch which zone the global endpoint leads to, and write this zone's intent",
		Long: `Asks the global endpoint every interval, for the length of the window, which zone answers there, and keeps the intent in this zone's
record in MongoDB. The gateways decide by these records, and by the lease, who serves. The command ends well when its window is over,
also if nobody answered: then nothing changes. It fails when MongoDB could not be written at all.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.complete(); err != nil {
				return err
			}
			return o.run(cmd.Context())
		},
	}
	flags := cmd.Flags()
	o.identity.register(flags)
	flags.StringVar(&o.probe.Endpoint, "endpoint", "", "`URL` of the global record, such as https://api.example.com (required)")
	flags.DurationVar(&o.config.Window, "window", 58*time.Second, "how long to watch; 0 means until asked to end")
	flags.DurationVar(&o.config.Interval, "interval", time.Second, "time between two rounds of probes")
	flags.IntVar(&o.config.Params.Samples, "samples", 5, "how many of the latest rounds count")
	flags.IntVar(&o.config.Params.Threshold, "threshold", 3, "how many of them must agree to change the intent")
	flags.DurationVar(&o.probe.Timeout, "timeout", probe.DefaultTimeout, "time limit of one probe")
	flags.StringVar(&o.caBundle, "ca-bundle", "", "PEM `file` with the CAs that sign the endpoint's certificate (default: the system's)")
	flags.StringArrayVar(&o.probe.Resolvers, "resolver", nil, "DNS server to ask, as `HOST:PORT`, or "+probe.SystemResolver+"; repeatable (default: "+probe.SystemResolver+")")
	flags.BoolVar(&o.mirror, "mirror", false, "show the intent in this namespace's ConfigMap "+mirror.Name+", and its changes as Events")
	o.mongo.register(flags)
	return cmd
}

// complete fills in what follows from the flags and reports every mistake in them at once.
func (o *autoMaintenanceOptions) complete() error {
	problems := o.identity.problems()
	o.config.Zone, o.config.Version = zone.Key(o.identity.zone), o.env.Version
	o.probe.Environment, o.probe.UserAgent = o.identity.environment, "aporeto-agent/"+o.env.Version
	if o.caBundle != "" {
		pem, err := os.ReadFile(o.caBundle)
		o.probe.Roots = x509.NewCertPool()
		if err != nil {
			problems = append(problems, fmt.Errorf("--ca-bundle: %w", err))
		} else if !o.probe.Roots.AppendCertsFromPEM(pem) {
			problems = append(problems, fmt.Errorf("--ca-bundle: no certificate in %s", o.caBundle))
		}
	}
	if o.probe.Timeout <= 0 {
		problems = append(problems, fmt.Errorf("--timeout %s is not positive", o.probe.Timeout))
	}
	check := o.probe
	check.Environment = cmp.Or(check.Environment, "reported above")
	problems = append(problems, check.Validate(), o.config.Validate())
	problems = append(problems, o.mongo.problems()...)
	if err := errors.Join(problems...); err != nil {
		return usagef("%w", err)
	}
	return nil
}

func (o *autoMaintenanceOptions) run(ctx context.Context) error {
	prober, err := probe.New(o.probe)
	if err != nil {
		return err
	}
	client, err := o.mongo.connect(ctx, "aporeto-maintenance-"+o.config.Zone)
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTime)
		defer cancel()
		_ = client.Close(ctx) // the process ends; there is nothing to be done about it
	}()
	log := o.env.logger("auto-maintenance").With("environment", o.identity.environment, "zone", o.config.Zone)
	if o.mirror {
		shown, err := mirror.New(mirror.Config{
			Host: os.Getenv("KUBERNETES_SERVICE_HOST"), Port: os.Getenv("KUBERNETES_SERVICE_PORT"), Folder: mirror.ServiceAccount,
			Pod: os.Getenv("POD_NAME"), UserAgent: o.probe.UserAgent,
		})
		if err != nil {
			log.Warn("mirror", "error", err.Error()) // those who look see nothing; the job does its work
		} else {
			o.config.Mirror = shown
		}
	}
	store := client.IntentStore(o.identity.environment, o.config.Zone, recordTime)
	summary, err := maintenance.Run(ctx, o.config, prober, store, log)
	log.Info("window over", "summary", summary)
	return err
}
