package rollout

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/plan"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/zone"
)

// Run deploys. It returns a record for each zone in the order of d.Zones; the error is for what stopped the whole run before any zone was
// touched, and then there are no records. Zones' own failures are in their records only.
func (d *Deployment) Run(ctx context.Context) ([]Record, error) {
	wanted, err := d.Values()
	if err != nil {
		return nil, err
	}
	if err := plan.Check(wanted, len(d.All), d.WithoutJob); err != nil {
		return nil, err
	}
	runs, err := d.preflight(ctx)
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(runs, func(r *run) bool { return r.record.err == nil }) {
		if err := d.Shared(ctx); err != nil {
			return nil, err
		}
		if wanted, err = d.Values(); err != nil {
			return nil, err
		}
	}
	byName := map[string]*run{}
	for i, r := range runs {
		r.wanted = wanted[i]
		byName[r.zone.Name] = r
	}
	// A zone's error is in its record, so there is none to take from here.
	_ = zone.ForEach(ctx, d.Zones, 0, func(ctx context.Context, z zone.Zone) error {
		r := byName[z.Name]
		if r.record.err == nil {
			r.record.end(r.guarded(ctx), time.Since(r.started))
		}
		return nil
	})
	records := make([]Record, len(runs))
	for i, r := range runs {
		if r.record.Result == "" { // not begun, since ctx had ended
			r.record.end(fmt.Errorf("interrupted before it was begun: %w", context.Cause(ctx)), time.Since(r.started))
		}
		records[i] = r.record
	}
	return records, nil
}

// run is one zone's part of a Deployment.
type run struct {
	*Deployment

	zone    zone.Zone
	wanted  plan.Wanted
	target  *Target
	uid     string
	started time.Time
	step    string
	record  Record
}

// preflight connects to every zone and makes sure that each is the cluster it was recorded as and that no two are one place. A zone that
// fails here has a record with an error; the error returned is one that concerns several zones.
func (d *Deployment) preflight(ctx context.Context) ([]*run, error) {
	runs := make([]*run, len(d.Zones))
	index := map[string]*run{}
	for i, z := range d.Zones {
		runs[i] = &run{Deployment: d, zone: z, started: time.Now(), record: Record{Zone: z.Name}}
		index[z.Name] = runs[i]
	}
	_ = zone.ForEach(ctx, d.Zones, 0, func(ctx context.Context, z zone.Zone) error {
		r := index[z.Name]
		if err := r.identify(ctx); err != nil {
			r.record.end(err, time.Since(r.started))
			d.Progress.Status(z, "failed", err.Error())
		}
		return nil
	})
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	places := slices.Clone(d.All)
	for i := range places {
		if r, ok := index[places[i].Name]; ok && r.uid != "" {
			places[i].ClusterUID = r.uid
		}
	}
	if err := plan.SamePlace(places); err != nil {
		return nil, err
	}
	for _, r := range runs {
		if r.record.err != nil || r.zone.ClusterUID != "" {
			continue
		}
		if err := d.Record(ctx, r.zone, r.uid); err != nil {
			return nil, fmt.Errorf("record the cluster of zone %s: %w", r.zone.Name, err)
		}
	}
	return runs, nil
}

func (r *run) identify(ctx context.Context) error {
	r.at("preflight", "connecting by context "+r.zone.Context)
	target, err := r.Connect(r.zone)
	if err != nil {
		return err
	}
	uid, err := target.Cluster.UID(ctx)
	if err != nil {
		return target.Explain(err)
	}
	if err := plan.Identity(r.zone, uid); err != nil {
		return err
	}
	r.target, r.uid = target, uid
	return nil
}

// at says what the zone is doing.
func (r *run) at(step, text string) {
	r.step = step
	r.Progress.Status(r.zone, step, text)
}

// guarded is deploy with the deploy lock held and released, and with an error that says where it happened.
func (r *run) guarded(ctx context.Context) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("internal error: %v", p)
		}
		if err != nil {
			err = fmt.Errorf("%s: %w", r.step, r.target.Explain(err))
			r.Progress.Status(r.zone, "failed", err.Error())
		}
	}()
	if err := r.namespace(ctx); err != nil {
		return err
	}
	r.at("lock", "taking the deploy lock")
	lock, held, err := r.target.Cluster.Acquire(ctx, r.Holder, func(text string) { r.at("lock", text) })
	if err != nil {
		return err
	}
	if lock.TakenFrom != "" {
		r.Progress.Note(r.zone, "took over the deploy lock of "+lock.TakenFrom+", which did not renew it")
	}
	var once sync.Once
	release := func() error {
		var err error
		once.Do(func() { err = lock.Release(ctx) })
		return err
	}
	defer func() { _ = release() }() // after a panic; else done below
	err = r.deploy(held)
	if cause := context.Cause(held); err != nil && cause != nil {
		err = cause // why the steps were cut short, not how they noticed
	}
	if left := release(); left != nil {
		// The lock runs out by itself; that is no reason to call a finished zone failed.
		r.Progress.Note(r.zone, left.Error())
	}
	return err
}
