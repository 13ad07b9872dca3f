package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/environment"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/failover"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/hint"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/zone"
)

type drillOptions struct {
	f      *Factory
	print  printFlags
	to     string
	yes    bool
	path   string
	stay   time.Duration
	report string
}

// drillEvery is how often both zones are asked.
const drillEvery = 10 * time.Millisecond

func newDrillCmd(f *Factory) *cobra.Command {
	o := &drillOptions{f: f}
	cmd := &cobra.Command{
		Use:   "drill",
		Short: "Fail over and back, and measure what a client sees",
		Long: `Fail over to another zone and back, planned, and measure what a client sees: the public address (global.public.api) of both zones is asked
every 10 ms all the while. It refuses to begin unless all is well, and comes back also when it is interrupted. What it measured is printed
and written to two files, .json and .txt.

Clients feel it: each way has a gap of the time that requests under way take, and about a tenth of a second.`,
		Example: `  kubectl aporeto drill --to passive --yes --report drill-2026-11`,
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context()) },
	}
	o.print.add(cmd, formatJSON, formatYAML)
	cmd.Flags().StringVar(&o.to, "to", "", "the `zone` to fail over to; may be left out where there are two")
	cmd.Flags().BoolVarP(&o.yes, "yes", "y", false, "do not ask")
	cmd.Flags().StringVar(&o.path, "path", failover.ActivePath, "the `path` that is asked: 2xx means open, 423 closed")
	cmd.Flags().DurationVar(&o.stay, "stay", 10*time.Second, "how long to stay in the other zone")
	cmd.Flags().StringVar(&o.report, "report", "", "the report's `file`, without .json and .txt (default: drill-TIME)")
	_ = cmd.RegisterFlagCompletionFunc("to", f.completeZones)
	return cmd
}

func (o *drillOptions) run(ctx context.Context) error {
	switch {
	case o.print.check() != nil:
		return o.print.check()
	case !strings.HasPrefix(o.path, "/"):
		return hint.Wrap(usagef("--path must begin with /"), "kubectl aporeto drill --path /healthz/active")
	case o.stay < 0:
		return hint.Wrap(usagef("--stay must not be negative"), "kubectl aporeto drill --stay 10s")
	}
	if err := o.f.askable(o.yes); err != nil {
		return err
	}
	op, err := o.f.operation(ctx)
	if err != nil {
		return err
	}
	defer op.close(ctx)
	if err := op.needDatabase(); err != nil {
		return err
	}
	st := op.status(ctx)
	if err := healthy(st); err != nil {
		return err
	}
	home := st.Lease.Holder
	away, err := o.away(op, home)
	if err != nil {
		return err
	}
	gates, err := o.gates(ctx, op, home, away)
	if err != nil {
		return err
	}
	started := o.f.Now()
	base := o.base(started)
	if err := writable(base); err != nil {
		return err
	}
	if err := o.f.confirm(ctx, o.yes, fmt.Sprintf("Zone %s stops serving, zone %s takes over, and after %s the other way round. Go on?", home, away, o.stay)); err != nil {
		return err
	}
	watch := failover.NewWatch(ctx, drillEvery, gates)
	defer watch.Stop()
	report := &failover.DrillReport{
		APIVersion: environment.APIVersion, Kind: "DrillReport", Environment: op.env.ID, By: o.f.who(), Started: started,
		Home: home, Away: away, Path: o.path, EverySecs: drillEvery.Seconds(), Legs: []failover.Leg{},
	}
	drill := &failover.Drill{
		Switch: func(to string) *failover.Switch { return op.newSwitch(to, "drill", o.f.say) },
		Watch:  watch, Home: zone.Key(home), Away: zone.Key(away), Stay: o.stay, Say: o.f.say,
	}
	began := time.Now()
	err = drill.Run(ctx, report)
	report.Seconds = time.Since(began).Seconds()
	if writeErr := o.write(report, base); err == nil {
		err = writeErr
	}
	return err
}

// healthy refuses a drill where a failover would not go well anyway.
func healthy(st failover.Status) error {
	if st.Healthy() {
		return nil
	}
	var lines []string
	for _, f := range st.Findings {
		if f.Level != failover.Note {
			lines = append(lines, f.Text)
		}
	}
	return hint.Wrap(fmt.Errorf("not everything is well, so this is no time for a drill:\n%s", strings.Join(lines, "\n")), "kubectl aporeto maintenance status")
}

func (o *drillOptions) away(op *operation, home string) (string, error) {
	if o.to == "" && len(op.env.Zones) == 2 {
		for _, z := range op.env.Zones {
			if z.Name != home {
				return z.Name, nil
			}
		}
	}
	if o.to == "" {
		return "", hint.Wrap(usagef("--to is missing: there are %d zones", len(op.env.Zones)), "kubectl aporeto drill --to ZONE")
	}
	z, err := findZone(op.env, o.to)
	if err == nil && z.Name == home {
		err = hint.Wrap(usagef("zone %s serves now: --to names the zone to go to", home), "kubectl aporeto drill --to ZONE; kubectl aporeto zone list")
	}
	return z.Name, err
}

// gates are both zones' public addresses, each of which must answer as it should before anything is moved.
func (o *drillOptions) gates(ctx context.Context, op *operation, home, away string) (map[string]failover.Gate, error) {
	gates := map[string]failover.Gate{}
	for _, name := range []string{home, away} {
		gate := op.directGate(name, o.path)
		if gate == nil {
			return nil, hint.New(fmt.Sprintf("the public address of zone %s is not known", name), fmt.Sprintf("kubectl aporeto value set global.public.api https://ZONE-ADDRESS --zone %s", name))
		}
		open, err := gate(ctx)
		if err != nil {
			return nil, hint.Wrap(fmt.Errorf("ask the public address of zone %s: %w", name, err), "clients must reach it, and so must this machine, or nothing can be measured")
		}
		if open != (name == home) {
			return nil, hint.Wrap(fmt.Errorf("zone %s answers %s as if it were %s", name, o.path, map[bool]string{true: "open", false: "closed"}[open]), "--path must be one that the gateway refuses while it is closed")
		}
		gates[zone.Key(name)] = gate
	}
	return gates, nil
}

// base is the report's file without .json and .txt.
func (o *drillOptions) base(started time.Time) string {
	base := o.report
	if base == "" {
		base = "drill-" + started.UTC().Format("20060102T150405Z")
	}
	if !filepath.IsAbs(base) {
		base = filepath.Join(o.f.WorkDir, base)
	}
	return base
}

// writable refuses a report that could not be written, before anything is moved for it.
func writable(base string) error {
	file, err := os.CreateTemp(filepath.Dir(base), "."+filepath.Base(base)+"-*")
	if err != nil {
		return hint.Wrap(fmt.Errorf("the report could not be written: %w", err), "name a file in a folder that is there and writable: --report FILE")
	}
	file.Close()
	if err := os.Remove(file.Name()); err != nil {
		return fmt.Errorf("try to write the report: %w", err)
	}
	return nil
}

// write prints the report and writes its two files.
func (o *drillOptions) write(report *failover.DrillReport, base string) error {
	data, err := json.MarshalIndent(report, "", "    ")
	if err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	for name, content := range map[string][]byte{base + ".json": append(data, '\n'), base + ".txt": []byte(report.Text())} {
		if err := os.WriteFile(name, content, 0o644); err != nil {
			return fmt.Errorf("write report: %w", err)
		}
	}
	o.f.say(fmt.Sprintf("report: %s.json, %s.txt", base, base))
	if done, err := o.print.object(o.f.IO.Out, report); done {
		return err
	}
	_, err = fmt.Fprint(o.f.IO.Out, report.Text())
	return err
}
