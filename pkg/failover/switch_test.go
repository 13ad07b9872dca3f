package failover

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/lease"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongo"
)

// world is a lease in memory whose gateways do what they must at once, and whose database has troubles.
type world struct {
	mu      sync.Mutex // the watch looks from beside
	doc     lease.Document
	reads   int // that fail before one succeeds
	writes  []func(*world, lease.Write) (lease.Document, lease.Outcome, error)
	deaf    bool // nobody reacts to a close
	journal []mongo.JournalEntry
	said    []string
}

func (w *world) Read(context.Context) (lease.Document, []lease.Record, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.reads > 0 {
		w.reads--
		return lease.Document{}, nil, errors.New("unreachable")
	}
	doc := w.doc
	if !w.deaf && !doc.Unheld() && !doc.Closing && len(doc.Open) == 0 { // the appointed zone opens
		w.doc.Open = lease.Open{{ID: "new", Nonce: "m"}}
	}
	if doc.Closing && !doc.Released && !w.deaf { // the last one out hands over, and the new zone opens
		w.doc = lease.Document{Epoch: doc.Epoch + 1, Holder: doc.Successor, Override: true, Open: lease.Open{{ID: "new", Nonce: "m"}}, Term: doc.Term}
	}
	return doc, []lease.Record{{Zone: "a", PointsAt: "a", Seq: 2}, {Zone: "b", PointsAt: "a", Seq: 3}}, nil
}

func (w *world) Write(_ context.Context, wr lease.Write) (lease.Document, lease.Outcome, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.writes) > 0 {
		next := w.writes[0]
		w.writes = w.writes[1:]
		return next(w, wr)
	}
	return apply(w, wr)
}

func (w *world) serves(zone string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.doc.Holder == zone && !w.doc.Closing
}

func (w *world) Status(context.Context, int) (mongo.Status, error) {
	return mongo.Status{Now: now}, nil
}

func (w *world) Append(_ context.Context, e mongo.JournalEntry) error {
	w.journal = append(w.journal, e)
	return nil
}

func apply(w *world, wr lease.Write) (lease.Document, lease.Outcome, error) {
	doc, applied := wr.Apply(w.doc)
	if w.doc = doc; !applied {
		return lease.Document{}, lease.Refused, nil
	}
	return doc, lease.Applied, nil
}

var errTime = errors.New("time limit")

func replyLost(w *world, wr lease.Write) (lease.Document, lease.Outcome, error) {
	_, _, _ = apply(w, wr)
	return lease.Document{}, lease.Unknown, errTime
}

func requestLost(*world, lease.Write) (lease.Document, lease.Outcome, error) {
	return lease.Document{}, lease.Unknown, errTime
}

// late is refused because a replica opened between the read and the write, which an exact match on nobody open does not survive.
func late(w *world, wr lease.Write) (lease.Document, lease.Outcome, error) {
	w.doc.Open = lease.Open{{ID: "old", Nonce: "n"}}
	return apply(w, wr)
}

func claimed(w *world, _ lease.Write) (lease.Document, lease.Outcome, error) {
	w.doc = lease.Document{Epoch: w.doc.Epoch + 1, Holder: "c", Term: w.doc.Term}
	return lease.Document{}, lease.Refused, nil
}

func (w *world) to(to string) *Switch {
	return &Switch{
		Lease: w, Status: w, Journal: w, To: to, By: "me", Name: func(s string) string { return s }, Nonce: func() string { return "n" + fmt.Sprint(len(w.said)) },
		Now: func() time.Time { return now }, Say: func(s string) { w.said = append(w.said, s) },
	}
}

func heldByA() lease.Document {
	return lease.Document{Epoch: 7, Holder: "a", Nonce: "n", Open: lease.Open{{ID: "old", Nonce: "n"}}, Term: lease.DefaultTerm()}
}

func TestSwitch(t *testing.T) {
	forever := make([]func(*world, lease.Write) (lease.Document, lease.Outcome, error), 1000)
	for i := range forever {
		forever[i] = requestLost
	}
	for _, test := range []struct {
		name   string
		world  *world
		want   error // nil: b serves in epoch 8
		orders int   // in the journal
	}{
		{name: "taken", world: &world{}, orders: 1},
		{name: "first reads fail", world: &world{reads: 5}, orders: 1},
		{name: "reply lost", world: &world{writes: forever[:0:0]}, orders: 1},
		{name: "request lost twice", world: &world{writes: forever[:2:2]}, orders: 1},
		{name: "no request arrives", world: &world{writes: forever}, want: ErrUnknown},
		{name: "somebody claimed meanwhile", world: &world{}, want: ErrOvertaken},
		{name: "nobody reacts", world: &world{deaf: true}, want: ErrUnknown, orders: 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := test.world
				w.doc = heldByA()
				switch test.name {
				case "reply lost":
					w.writes = append(w.writes, replyLost)
				case "somebody claimed meanwhile":
					w.writes = append(w.writes, claimed)
				}
				done, err := w.to("b").Run(t.Context())
				if !errors.Is(err, test.want) || test.want == nil && (err != nil || done.Epoch != 8 || done.From != "a") {
					t.Fatalf("got %+v, %v; want %v", done, err, test.want)
				}
				if len(w.journal) != test.orders {
					t.Errorf("the journal has %+v", w.journal)
				}
				if test.want == nil && w.doc.Holder != "b" {
					t.Errorf("the lease is %+v", w.doc)
				}
			})
		})
	}
}

// TestAppointment: where nobody holds the lease an order is a claim, and waits as one.
func TestAppointment(t *testing.T) {
	released := lease.Document{Epoch: 7, Holder: "b", Nonce: "n", Closing: true, Released: true, Term: lease.DefaultTerm()}
	never := lease.Document{Nonce: "n", Term: lease.DefaultTerm()}
	type writer = func(*world, lease.Write) (lease.Document, lease.Outcome, error)
	for _, test := range []struct {
		name   string
		doc    lease.Document
		writes []writer
		reads  int
		want   error
		epoch  int64
		waits  bool
	}{
		{name: "released", doc: released, epoch: 8},
		{name: "released, reply lost", doc: released, writes: []writer{replyLost}, epoch: 8},
		{name: "released, request lost", doc: released, writes: []writer{requestLost}, epoch: 8},
		{name: "released, another zone claims first", doc: released, writes: []writer{claimed}, want: ErrOvertaken},
		{name: "never held", doc: never, epoch: 1, waits: true},
		{name: "never held, database away for a while", doc: never, reads: 5, epoch: 1, waits: true},
		{name: "never held, another zone claims first", doc: never, writes: []writer{claimed}, want: ErrOvertaken, waits: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &world{doc: test.doc, writes: test.writes}
				began := time.Now()
				sw := w.to("b")
				sw.Say = func(s string) { w.said, w.reads = append(w.said, s), test.reads }
				done, err := sw.Run(t.Context())
				if !errors.Is(err, test.want) || test.want == nil && (err != nil || done.Epoch != test.epoch || done.From != "" || w.doc.Holder != "b" || !w.doc.Override) {
					t.Fatalf("got %+v, %v; want %v; lease %+v", done, err, test.want, w.doc)
				}
				if waited := time.Since(began); test.waits != (waited >= test.doc.Term.Wait()) || waited > 2*test.doc.Term.Wait() {
					t.Errorf("it took %v", waited)
				}
			})
		})
	}
}

func TestSwitchMatchesAgainAfterARefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{doc: heldByA()}
		w.doc.Open, w.writes = lease.Open{}, []func(*world, lease.Write) (lease.Document, lease.Outcome, error){late}
		if done, err := w.to("b").Run(t.Context()); err != nil || done.Epoch != 8 {
			t.Errorf("got %+v, %v", done, err)
		}
	})
}

// The basis goes into the document: every zone's counter, so that only what changes later ends the order.
func TestOrderCarriesTheBasis(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{doc: heldByA(), deaf: true}
		_, _ = w.to("b").Run(t.Context())
		if !w.doc.Closing || w.doc.Successor != "b" || w.doc.Basis["a"] != 2 || w.doc.Basis["b"] != 3 {
			t.Errorf("the lease is %+v", w.doc)
		}
	})
}

func TestInterruptedSwitchSaysThatItMayStillHappen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		w := &world{doc: heldByA(), deaf: true}
		if _, err := w.to("b").Run(ctx); !errors.Is(err, ErrUnknown) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}

func TestDrillComesHomeThoughTheSwitchBackIsRefusedAtFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{doc: heldByA()}
		watch := NewWatch(t.Context(), 10*time.Millisecond, map[string]Gate{
			"a": func(context.Context) (bool, error) { return w.serves("a"), nil },
			"b": func(context.Context) (bool, error) { return w.serves("b"), nil },
		})
		defer watch.Stop()
		ctx, cancel := context.WithCancel(t.Context())
		d := &Drill{Switch: w.to, Watch: watch, Home: "a", Away: "b", Stay: time.Minute, Say: func(s string) {
			w.said = append(w.said, s)
			if strings.HasPrefix(s, "staying") {
				w.reads = 20 // the database is away for a while, too
				cancel()
			}
		}}
		var report DrillReport
		err := d.Run(ctx, &report)
		if !errors.Is(err, context.Canceled) || report.Result != Interrupted || !report.Restored || w.doc.Holder != "a" || len(report.Legs) != 2 {
			t.Errorf("got %v, %+v, lease %+v", err, report, w.doc)
		}
		if !strings.Contains(report.Text(), "interrupted") {
			t.Error(report.Text())
		}
	})
}
