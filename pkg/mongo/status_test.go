package mongo_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/lease"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongo"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongo/mongotest"
)

func TestStatus(t *testing.T) {
	server := mongotest.Target(t)
	environment, ctx := newEnvironment(t, server), t.Context()
	admin := connectAs(t, server, server.Admin())
	status := admin.StatusStore(environment, storeTime)
	if _, err := status.Status(ctx, 3); !errors.Is(err, mongo.ErrNoLease) {
		t.Fatalf("without a lease: %v", err)
	}
	if _, err := admin.EnsureLease(ctx, environment, lease.DefaultTerm()); err != nil {
		t.Fatal(err)
	}
	intents := admin.IntentStore(environment, "zone-a", storeTime)
	first, err := intents.Intent(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := intents.WriteIntent(ctx, mongo.IntentWrite{Was: first.Record, Is: moved(first.Record, "zone-b")}); err != nil {
		t.Fatal(err)
	}
	begin := time.Now().UTC().Truncate(time.Millisecond)
	for n := range 5 {
		if err := intents.Append(ctx, mongo.JournalEntry{Time: begin.Add(time.Duration(n) * time.Second), Zone: "zone-a", From: "x", To: fmt.Sprint(n), Epoch: int64(n), Reason: "r"}); err != nil {
			t.Fatal(err)
		}
	}
	got, err := status.Status(ctx, 3)
	if err != nil {
		t.Fatal(err)
	}
	if got.Lease.Term != lease.DefaultTerm() || got.Pin != (mongo.Pin{}) || len(got.Zones) != 1 || got.Zones[0].PointsAt != "zone-b" {
		t.Errorf("got %+v", got)
	}
	if age := got.Now.Sub(got.Zones[0].ProbedAt); age < 0 || age > time.Minute {
		t.Errorf("the record is %s old by the server's clock", age)
	}
	if len(got.Journal) != 3 || got.Journal[0].To != "2" || got.Journal[2].To != "4" || !got.Journal[2].Time.Equal(begin.Add(4*time.Second)) {
		t.Errorf("the journal's tail is %+v", got.Journal)
	}
}

func TestPin(t *testing.T) {
	server := mongotest.Target(t)
	environment, ctx := newEnvironment(t, server), t.Context()
	admin := connectAs(t, server, server.Admin())
	if _, err := admin.EnsureLease(ctx, environment, lease.DefaultTerm()); err != nil {
		t.Fatal(err)
	}
	store := admin.LeaseStore(environment, storeTime)
	claim := lease.ClaimWrite(readLease(t, store), "west", "n1", lease.DefaultTerm())
	if _, outcome, err := store.Write(ctx, claim); outcome != lease.Applied {
		t.Fatal(err)
	}
	on := mongo.PinWrite{Epoch: 1, Holder: "west", On: true, By: "me", Reason: "why"}
	pin, ok, err := store.WritePin(ctx, on)
	if err != nil || !ok || !pin.On || pin.Seq != 1 || pin.By != "me" || pin.Reason != "why" || pin.Since.IsZero() {
		t.Fatalf("pin: %+v, %t, %v", pin, ok, err)
	}
	if doc := readLease(t, store); !doc.Pinned || doc.Nonce != "n1" {
		t.Errorf("a pinned lease reads %+v", doc)
	}
	if st, err := admin.StatusStore(environment, storeTime).Status(ctx, 0); err != nil || st.Pin != pin {
		t.Errorf("status: %+v, %v", st.Pin, err)
	}
	if _, ok, err := store.WritePin(ctx, on); err != nil || ok {
		t.Errorf("the same pin again: %t, %v", ok, err)
	}
	free := readLease(t, store)
	free.Pinned = false
	for _, w := range []lease.Write{lease.ClaimWrite(free, "east", "n2", lease.DefaultTerm()), lease.CloseWrite(free, "", nil, "n3")} {
		if _, outcome, err := store.Write(ctx, w); outcome != lease.Refused {
			t.Errorf("%s on a pinned lease: %v, %v", w.Kind, outcome, err)
		}
	}
	off := mongo.PinWrite{Epoch: 1, Holder: "west", Was: 1, By: "me"}
	if pin, ok, err = store.WritePin(ctx, off); err != nil || !ok || pin.On || pin.Seq != 2 {
		t.Fatalf("unpin: %+v, %t, %v", pin, ok, err)
	}
	if _, ok, err := store.WritePin(ctx, on); err != nil || ok {
		t.Errorf("a pin that arrives after the unpin: %t, %v", ok, err)
	}
	if _, outcome, err := store.Write(ctx, lease.ClaimWrite(free, "east", "n2", lease.DefaultTerm())); outcome != lease.Applied {
		t.Errorf("claim of a lease that is free again: %v, %v", outcome, err)
	}
}
