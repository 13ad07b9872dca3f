package gateway

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/lease"
)

// Store is the lease in the database. Each call ends within the term's C.
type Store interface {
	Read(ctx context.Context) (lease.Document, []lease.Record, error)
	Write(ctx context.Context, w lease.Write) (lease.Document, lease.Outcome, error)
}

// Keeper drives a lease.Machine: it performs the machine's reads and writes, feeds back what came of them, and moves the gate.
type Keeper struct {
	machine *lease.Machine
	store   Store
	gate    *Gate
	zone    string
	clock   func() lease.Time
	log     *slog.Logger
	observe Observer
	events  chan lease.Event
	view    atomic.Pointer[lease.View]
	records atomic.Pointer[[]lease.Record] // as last read, nil before the first reading
	lastOK  atomic.Int64                   // monotonic time of the last successful read, 0 before the first
	fenced  atomic.Bool                    // the last opening was fenced, and there was none since
	cut     bool                           // so was what is, or was last, under way
}

// Observer hears of what metrics and logs want to know. Calls come from several goroutines.
type Observer interface {
	Transition(from, to lease.View, reason string)
	Operation(kind string, took time.Duration, err error)
	// DualActive says that another zone was seen to hold a later epoch while this gate still let requests through: the promise was broken.
	DualActive(epoch int64, holder string)
}

// NewKeeper returns a keeper of gate by the document in store, for the zone that cfg names.
func NewKeeper(cfg lease.Config, store Store, gate *Gate, clock func() lease.Time, log *slog.Logger, observe Observer) *Keeper {
	k := &Keeper{
		machine: lease.New(cfg), store: store, gate: gate, zone: cfg.Zone, clock: clock, log: log, observe: observe, events: make(chan lease.Event, 8),
	}
	k.view.Store(&lease.View{State: lease.Locked})
	return k
}

// View returns the machine's latest state.
func (k *Keeper) View() lease.View { return *k.view.Load() }

// SinceRead returns how long ago the database was last read, and false when it never was.
func (k *Keeper) SinceRead() (time.Duration, bool) {
	at := k.lastOK.Load()
	return k.clock().Mono - time.Duration(at), at != 0
}

// Run follows the protocol until stop is closed and what is under way has drained, or ctx ends. The gate is closed when it returns.
func (k *Keeper) Run(ctx context.Context, stop <-chan struct{}) {
	defer k.gate.Cut()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		var event lease.Event
		select {
		case <-ctx.Done():
			return
		case <-stop:
			stop, event = nil, lease.Stop{}
		case event = <-k.events:
		case <-k.gate.idle:
		case <-timer.C:
		}
		k.step(ctx, event)
		if state := k.View().State; k.gate.Within() == 0 && (state == lease.Draining || state == lease.Fenced) {
			k.step(ctx, lease.Idle{})
		}
		if k.View().Stopped {
			return
		}
		timer.Reset(max(k.machine.Wake()-k.clock().Mono, time.Millisecond))
	}
}

func (k *Keeper) step(ctx context.Context, event lease.Event) {
	if doc, seen := document(event); seen && k.gate.Alive() && doc.Epoch > k.View().Epoch && doc.Holder != k.zone {
		k.observe.DualActive(doc.Epoch, doc.Holder)
	}
	actions := k.machine.Step(k.clock(), event)
	view := k.machine.View()
	k.gate.follow(view)
	for _, action := range actions {
		if _, is := action.(lease.Cut); is {
			k.cut = true
		}
	}
	before := *k.view.Swap(&view)
	if before.State != view.State || before.Epoch != view.Epoch {
		k.observe.Transition(before, view, reason(k.zone, before, view, event, k.cut))
	}
	switch view.State {
	case lease.Fenced:
		k.fenced.Store(true)
	case lease.Active:
		k.fenced.Store(false)
		k.cut = false
	}
	for _, action := range actions {
		switch a := action.(type) {
		case lease.Cut:
			k.gate.Cut()
		case lease.Read:
			go k.read(ctx, a)
		case lease.Send:
			go k.send(ctx, a)
		}
	}
}

// document returns the state of the document that event shows.
func document(event lease.Event) (lease.Document, bool) {
	switch e := event.(type) {
	case lease.Observed:
		return e.Doc, true
	case lease.Written:
		return e.Doc, e.Outcome == lease.Applied
	}
	return lease.Document{}, false
}

func (k *Keeper) read(ctx context.Context, a lease.Read) {
	start := k.clock().Mono
	doc, records, err := k.store.Read(ctx)
	k.tell(ctx, "read", start, err)
	if err != nil {
		k.post(ctx, lease.ReadFailed(a))
		return
	}
	k.records.Store(&records)
	k.lastOK.Store(int64(k.clock().Mono))
	k.post(ctx, lease.Observed{Seq: a.Seq, Doc: doc, Records: records})
}

func (k *Keeper) send(ctx context.Context, a lease.Send) {
	start := k.clock().Mono
	doc, outcome, err := k.store.Write(ctx, a.Write)
	k.tell(ctx, string(a.Write.Kind), start, err)
	k.post(ctx, lease.Written{Seq: a.Seq, Outcome: outcome, Doc: doc})
}

func (k *Keeper) tell(ctx context.Context, kind string, start time.Duration, err error) {
	k.observe.Operation(kind, k.clock().Mono-start, err)
	if err != nil && !errors.Is(err, context.Canceled) {
		k.log.WarnContext(ctx, "database operation failed", "operation", kind, "error", err)
	}
}

func (k *Keeper) post(ctx context.Context, event lease.Event) {
	select {
	case k.events <- event:
	case <-ctx.Done():
	}
}
