package cli

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/failover"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/hint"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongo"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/probe"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/values"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/zone"
)

type failoverOptions struct {
	f         *Factory
	to        string
	yes       bool
	force     bool
	reason    string
	noWaitDNS bool
	dnsLimit  time.Duration
}

func newFailoverCmd(f *Factory) *cobra.Command {
	o := &failoverOptions{f: f}
	cmd := &cobra.Command{
		Use:   "failover --to ZONE",
		Short: "Order a zone to take over",
		Long: `Order a zone to take over, planned: it must be able to serve; the holder lets what is under way finish and refuses the rest; then the zone
opens. Both are asked all the while, which shows that the one refused before the other answered. At last it says what the global record
must do, and watches until it does.

The order stands against the record until a zone's record changes. A holder that is dead is waited out, as the lease's term says.
Interrupting ends the watching, not the order.`,
		Example: `  kubectl aporeto failover --to passive
  kubectl aporeto failover --to passive --yes --no-wait-dns --reason "region maintenance"`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context()) },
	}
	cmd.Flags().StringVar(&o.to, "to", "", "the `zone` that is to serve")
	cmd.Flags().BoolVarP(&o.yes, "yes", "y", false, "do not ask")
	cmd.Flags().BoolVar(&o.force, "force", false, "go on though the zone could not serve, or cannot be asked")
	cmd.Flags().StringVar(&o.reason, "reason", "", "why, for those who read the journal")
	cmd.Flags().BoolVar(&o.noWaitDNS, "no-wait-dns", false, "do not watch the global record")
	cmd.Flags().DurationVar(&o.dnsLimit, "dns-timeout", 5*time.Minute, "how long to watch the global record")
	_ = cmd.RegisterFlagCompletionFunc("to", f.completeZones)
	return cmd
}

func (o *failoverOptions) run(ctx context.Context) error {
	if o.to == "" {
		return hint.Wrap(usagef("--to is missing"), "kubectl aporeto failover --to ZONE; kubectl aporeto zone list")
	}
	if o.dnsLimit < 0 {
		return hint.Wrap(usagef("--dns-timeout must not be negative"), "kubectl aporeto failover --to %s --no-wait-dns", o.to)
	}
	if err := o.f.askable(o.yes); err != nil {
		return err
	}
	op, err := o.f.operation(ctx)
	if err != nil {
		return err
	}
	defer op.close(ctx)
	to, err := findZone(op.env, o.to)
	if err != nil {
		return err
	}
	if err := op.needDatabase(); err != nil {
		return err
	}
	silent := op.silent(ctx) // beside the look at the gateways: in an emergency one of the zones answers neither
	seen, err := o.look(ctx, op, to)
	if err != nil {
		return err
	}
	already, err := failover.CheckLease(seen.Database.Lease, zone.Key(to.Name), op.zoneName)
	if err != nil {
		return err
	}
	if already && !seen.Database.Lease.Closing {
		fmt.Fprintf(o.f.IO.Out, "zone %s holds the lease already (epoch %d)\n", to.Name, seen.Database.Lease.Epoch)
		return o.awaitRecord(ctx, op, to)
	}
	st := failover.Assess(seen, "")
	if err := failover.CheckTarget(st, to.Name, o.force); err != nil {
		return err
	}
	from, question := op.zoneName(seen.Database.Lease.Holder), "Zone %[1]s stops serving and zone %[2]s takes over. Go on?"
	if seen.Database.Lease.Unheld() {
		from, question = "", "No zone holds the lease. Zone %[2]s takes over, whatever the record says. Go on?"
	}
	if err := o.f.confirm(ctx, o.yes, fmt.Sprintf(question, from, to.Name)); err != nil {
		return err
	}
	if err := o.move(ctx, op, st, silent, from, to.Name); err != nil {
		return err
	}
	return o.awaitRecord(ctx, op, to)
}

// look observes. Where the database did not answer it goes on for a while: when a region dies, so does often its primary, and until another
// one is elected nobody can tell who holds the lease. After that the zone to is given the same time to find its own way back. Only these two
// are asked again: a dead zone would cost its whole waiting time each round.
func (o *failoverOptions) look(ctx context.Context, op *operation, to zone.Zone) (failover.Observation, error) {
	seen := op.observe(ctx)
	if seen.Database != nil {
		return seen, nil
	}
	at := slices.IndexFunc(op.env.Zones, func(z zone.Zone) bool { return zone.Same(z.Name, to.Name) })
	for end, said := time.Now().Add(electionTime), false; ; {
		late := time.Now().After(end)
		switch {
		case ctx.Err() != nil:
			return seen, ctx.Err()
		case seen.Database != nil && (late || failover.CheckTarget(failover.Assess(seen, ""), to.Name, o.force) == nil):
			return seen, nil
		case seen.Database == nil && (late || !mongo.Passing(seen.DatabaseErr)):
			return seen, hint.Wrap(fmt.Errorf("read the lease: %w", seen.DatabaseErr), "kubectl aporeto mongo status shows who answers; kubectl aporeto maintenance status")
		case !said:
			o.f.say(fmt.Sprintf("the database does not answer, perhaps it elects a primary; trying again for %s: %v", electionTime, seen.DatabaseErr))
			said = true
		}
		select {
		case <-ctx.Done():
		case <-time.After(lookEvery):
		}
		if seen.Database, seen.DatabaseErr = op.database(ctx); seen.Database != nil {
			bounded, cancel := context.WithTimeout(ctx, operateTime)
			seen.Gateways[at] = op.gateways(bounded, to)
			cancel()
		}
	}
}

// move orders the switch, with both zones watched.
func (o *failoverOptions) move(ctx context.Context, op *operation, st failover.Status, silent func(name string) error, from, to string) error {
	gates, every := map[string]failover.Gate{}, 10*time.Millisecond
	for _, name := range []string{from, to} {
		if name == "" {
			continue
		}
		gate := op.directGate(name, failover.ActivePath)
		if gate != nil {
			if err := silent(name); err != nil {
				o.f.say(fmt.Sprintf("zone %s is watched through its API server, for its public address does not answer: %v", name, err))
				gate = nil
			}
		}
		if gate == nil {
			z, _ := st.Zone(name)
			gate, every = op.podGate(z), 50*time.Millisecond
		}
		gates[zone.Key(name)] = gate
	}
	watch := failover.NewWatch(ctx, every, gates)
	defer watch.Stop()
	since := watch.Now()
	done, err := op.newSwitch(zone.Key(to), o.reason, o.f.say).Run(ctx)
	if err != nil {
		if ctx.Err() != nil {
			o.f.say(err.Error())
		}
		return err
	}
	watch.Seen(ctx, zone.Key(to), since, 3*time.Second)
	m := watch.Compare(zone.Key(from), zone.Key(to), since)
	fmt.Fprintf(o.f.IO.Out, "zone %s serves (epoch %d), %.1f s after the order\n", to, done.Epoch, done.Seconds)
	if from == "" {
		return nil // nobody had to close
	}
	fmt.Fprintf(o.f.IO.Out, "order of events: %s\n", m.Proof.Text())
	if m.GapSecs != nil {
		fmt.Fprintf(o.f.IO.Out, "gap seen from here: %.2f s\n", *m.GapSecs)
	}
	if m.Proof == failover.Violated {
		return fmt.Errorf("zone %s answered a request that was sent after zone %s had answered one: two zones served at once", from, to)
	}
	return nil
}

// awaitRecord says what the global record must do, and watches until it does.
func (o *failoverOptions) awaitRecord(ctx context.Context, op *operation, to zone.Zone) error {
	n := 0
	for i, z := range op.env.Zones {
		if z.Name == to.Name {
			n = i
		}
	}
	endpoint := op.text(n, values.AutoMaintenance, "endpoint")
	address := op.text(n, values.Global, "public", "api")
	if address != "" {
		address = ", at " + address
	}
	if endpoint == "" {
		fmt.Fprintf(o.f.IO.Out, "clients must be led to zone %s%s; no record is watched here, for auto-maintenance.endpoint is not set\n", to.Name, address)
		return nil
	}
	fmt.Fprintf(o.f.IO.Out, "the record of %s must point at zone %s%s; until then clients get 423 where it points now\n", endpoint, to.Name, address)
	if o.noWaitDNS {
		return nil
	}
	prober, err := probe.New(probe.Options{
		Endpoint: endpoint, Environment: op.env.ID, Resolvers: op.resolvers(n), Roots: op.roots(n), UserAgent: "kubectl-aporeto/" + o.f.Version,
	})
	if err != nil {
		return err
	}
	elsewhere, err := failover.AwaitRecord(ctx, prober, zone.Key(to.Name), o.dnsLimit, func(s string) { o.f.say("the record: " + s) })
	switch {
	case err != nil:
		return err
	case elsewhere != "" && op.jobSeesItself(ctx, to):
		fmt.Fprintf(o.f.IO.Out, "the record is not seen to follow from here (%s); the job of zone %s sees it there\n", elsewhere, to.Name)
		return nil
	case elsewhere != "":
		return hint.Wrap(fmt.Errorf("zone %s serves, and the record did not follow within %s (%s)", to.Name, o.dnsLimit, elsewhere),
			"move the record, then look: kubectl aporeto failover --to %s", to.Name)
	}
	fmt.Fprintf(o.f.IO.Out, "the record of %s points at zone %s\n", endpoint, to.Name)
	return nil
}

// jobSeesItself tells whether the job of z has just written that the global record points at z.
func (o *operation) jobSeesItself(ctx context.Context, z zone.Zone) bool {
	st, err := o.client.StatusStore(o.env.ID, storeTime).Status(ctx, journalTail)
	return err == nil && slices.ContainsFunc(st.Zones, func(i mongo.Intent) bool {
		return zone.Same(i.Zone, z.Name) && zone.Same(i.PointsAt, z.Name) && st.Now.Sub(i.ProbedAt) < st.Lease.Term.D
	})
}

// resolvers are those of the job of zone n, except the cluster's own: this machine's stands for it.
func (o *operation) resolvers(n int) []string {
	v, _ := o.trees[n].Lookup(values.Path{values.AutoMaintenance, "resolvers"})
	list, _ := v.([]any)
	var names []string
	for _, item := range list {
		if name, ok := item.(string); ok {
			names = append(names, name)
		}
	}
	return names
}
