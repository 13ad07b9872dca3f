package cli

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/envdir"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/environment"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/hint"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/plan"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/rollout"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/values"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/zone"
)

type deployOptions struct {
	f      *Factory
	zones  zoneFlags
	values valueFlags
	print  printFlags

	endpoint   string
	withoutJob bool
	privileged bool
	timeout    time.Duration

	deleteVolumes, yes bool
}

func newDeployCmd(f *Factory) *cobra.Command {
	o := &deployOptions{f: f}
	cmd := &cobra.Command{
		Use:   "deploy --zone NAME... | --all-zones",
		Short: "Bring zones to what the environment says",
		Long: `Bring zones to what the environment says.

First what all zones share, once: the certificates of the environment, and what mongo bootstrap makes in MongoDB. Then every zone at the same
time: namespace, deploy lock, Secrets, the release control-plane, the release auto-maintenance, and the wait until all pods are ready.
A zone that fails does not stop the others. What is as it should be is not touched: a second run changes nothing and says so, while an
object that was deleted or edited by hand is put back.

With two or more zones each needs the auto-maintenance job, which watches the global record: --auto-maintenance URL writes its
address into conf.d/values.yaml, once. Exit code 4 means that of several zones some failed.`,
		Example: `  kubectl aporeto deploy --all-zones --auto-maintenance https://api.example.com
  kubectl aporeto deploy --zone passive --timeout 10m -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context()) },
	}
	o.zones.add(f, cmd)
	o.values.add(cmd)
	o.print.add(cmd, formatJSON, formatYAML)
	cmd.Flags().StringVar(&o.endpoint, "auto-maintenance", "", "the `URL` of the global record; written to conf.d/values.yaml as auto-maintenance.endpoint")
	cmd.Flags().BoolVar(&o.withoutJob, "no-auto-maintenance", false, "install no auto-maintenance job, and remove one that is there")
	cmd.Flags().BoolVar(&o.privileged, "allow-privileged", false, privilegedUsage)
	cmd.Flags().BoolVar(&o.deleteVolumes, "delete-database-volumes", false, "delete the volumes of an in-cluster MongoDB (mongodb-shard) that is disabled; else they are kept")
	cmd.Flags().BoolVar(&o.yes, "yes", false, "do not ask before volumes are deleted")
	cmd.Flags().DurationVar(&o.timeout, "timeout", 5*time.Minute, "how long to wait for the pods of one release")
	return cmd
}

func (o *deployOptions) run(ctx context.Context) error {
	if err := o.print.check(); err != nil {
		return err
	}
	if o.endpoint != "" && o.withoutJob {
		return usagef("--auto-maintenance and --no-auto-maintenance exclude each other")
	}
	if o.timeout <= 0 {
		return usagef("--timeout must be longer than nothing")
	}
	if o.deleteVolumes {
		if err := o.f.askable(o.yes); err != nil {
			return err
		}
	}
	want, err := o.f.wishes(&o.values)
	if err != nil {
		return err
	}
	zones, err := o.zones.need(want.env)
	if err != nil {
		return err
	}
	if o.deleteVolumes {
		if err := o.f.confirm(ctx, o.yes, "Delete the volumes of in-cluster MongoDB servers in every chosen zone where mongodb-shard is disabled, with all that is in them?"); err != nil {
			return err
		}
	}
	if o.endpoint != "" {
		if err := o.f.writeEndpoint(ctx, want.dir, o.endpoint); err != nil {
			return err
		}
	}
	deployment, err := o.deployment(want, zones)
	if err != nil {
		return err
	}
	records, err := deployment.Run(ctx)
	if err != nil {
		return err
	}
	if err := o.report(records); err != nil {
		return err
	}
	return deployError(zones, records)
}

func (o *deployOptions) deployment(want *wishes, zones []zone.Zone) (*rollout.Deployment, error) {
	charts, err := loadCharts()
	if err != nil {
		return nil, err
	}
	progress := newProgress(o.f.IO.ErrOut, zones)
	shared := &shared{f: o.f, want: want, progress: progress, privileged: o.privileged}
	return &rollout.Deployment{
		Environment: want.env.ID, All: want.env.Zones, Zones: zones, Charts: charts,
		Timeout: o.timeout, Holder: o.f.holder(), WithoutJob: o.withoutJob,
		Connect:  func(z zone.Zone) (*rollout.Target, error) { return rollout.Connect(z, o.f.Kubeconfig()) },
		Progress: progress,
		Values: func() ([]plan.Wanted, error) {
			wanted, err := want.of(zones)
			if err == nil {
				_, err = servicesOf(wanted, o.privileged)
			}
			return wanted, err
		},
		Record: func(ctx context.Context, z zone.Zone, uid string) error {
			_, err := want.dir.Update(ctx, environment.File, 0o644, func(data []byte) ([]byte, error) {
				return environment.SetClusterUID(data, z.Name, uid)
			})
			return err
		},
		Shared: shared.ensure, Database: shared.inCluster, DeleteVolumes: o.deleteVolumes,
		Issue: func(z zone.Zone, s plan.Secret, have map[string][]byte) (map[string][]byte, error) {
			data, why, err := issue(shared.certificates, z, s, have)
			if err == nil && why != "" && have != nil {
				progress.Note(z, fmt.Sprintf("Secret %s: certificate issued anew (%s)", s.Name, why))
			}
			return data, err
		},
	}, nil
}

// report prints what was done on stdout.
func (o *deployOptions) report(records []rollout.Record) error {
	if done, err := o.print.object(o.f.IO.Out, newList("DeployReport", records)); done || err != nil {
		return err
	}
	rows := make([][]string, len(records))
	for i := range records {
		r := &records[i]
		what := r.Summary()
		switch {
		case r.Result == rollout.Unchanged:
			what = "nothing to change"
		case what == "":
			what = "-"
		}
		rows[i] = []string{r.Zone, string(r.Result), fmt.Sprintf("%.1fs", r.Seconds), what}
	}
	return table(o.f.IO.Out, []string{"ZONE", "RESULT", "TIME", "CHANGES"}, rows)
}

// deployError is the error of a run whose records were printed. A single zone's failure is an ordinary error.
func deployError(zones []zone.Zone, records []rollout.Record) error {
	failed := rollout.Failures(zones, records)
	switch {
	case failed == nil:
		return nil
	case len(zones) == 1:
		return fmt.Errorf("zone %s: %w", zones[0].Name, failed[0].Err)
	}
	return failed
}

// writeEndpoint makes address the auto-maintenance endpoint of every zone.
func (f *Factory) writeEndpoint(ctx context.Context, dir *envdir.Dir, address string) error {
	path := values.Path{values.AutoMaintenance, "endpoint"}
	if err := f.checkEndpoint(path, address); err != nil {
		return err
	}
	file := envdir.ValuesName(nil)
	changed, err := dir.Update(ctx, file, 0o644, func(data []byte) ([]byte, error) {
		if data == nil {
			data = environment.NewValues("")
		}
		data, _, err := values.Set(file, data, path, address)
		return data, err
	})
	if err != nil {
		return err
	}
	if changed {
		fmt.Fprintf(f.IO.ErrOut, "%s: %s set to %s\n", file, path, address)
	}
	return nil
}

func (f *Factory) checkEndpoint(path values.Path, address string) error {
	schemas, err := f.schemas()
	if err != nil {
		return err
	}
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" || u.Host == "" || schemas.Check(path, address) != nil {
		return hint.Wrap(usagef("the address of the global record must be like https://api.example.com, not %q", address),
			"the record's name alone, with a port where it is not 443: https://HOST[:PORT]")
	}
	return nil
}

// holder names this process to people who meet its deploy lock.
func (f *Factory) holder() string {
	return fmt.Sprintf("%s pid %d %s", f.who(), os.Getpid(), strings.SplitN(uuid.NewString(), "-", 2)[0])
}
