package mongo_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/bson"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/lease"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongo"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongo/mongotest"
)

// maintenanceUser makes a user with no more rights than the job has, and returns its DN.
func maintenanceUser(t *testing.T, server *mongotest.Server) string {
	t.Helper()
	role := random("maintenance")
	_, err := connectAs(t, server, server.Admin()).CreateRole(t.Context(), mongo.CustomRole{Name: role, Privileges: []mongo.Privilege{
		{Collection: "journal", Actions: []string{"insert"}},
		{Collection: "zones", Actions: []string{"find", "insert", "update"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	dn := "CN=" + role + ",OU=root,O=system"
	server.CreateUser(dn, mongotest.Role(role, mongo.Database))
	return dn
}

func moved(was lease.Record, to string) lease.Record {
	return lease.Record{Zone: was.Zone, PointsAt: to, Seq: was.Seq + 1, Confirmed: was.Confirmed + 1}
}

func TestIntentStore(t *testing.T) {
	server := mongotest.Target(t)
	environment := newEnvironment(t, server)
	store := connectAs(t, server, maintenanceUser(t, server)).IntentStore(environment, "zone-a", storeTime)
	ctx := t.Context()

	first, err := store.Intent(ctx)
	if err != nil || first.Record != (lease.Record{Zone: "zone-a"}) || !first.Since.IsZero() {
		t.Fatalf("record that was not there: got %+v, %v", first, err)
	}
	seen := []mongo.Sighting{{Resolver: "system", Address: "192.0.2.1:443", Zone: "zone-b"}, {Resolver: "192.0.2.53:53", Error: "dns: no such host"}}
	second, ok, err := store.WriteIntent(ctx, mongo.IntentWrite{Was: first.Record, Is: moved(first.Record, "zone-b"), Epoch: 7, Resolvers: seen, Version: "v1"})
	if err != nil || !ok || second.Record != (lease.Record{Zone: "zone-a", PointsAt: "zone-b", Seq: 1, Confirmed: 1}) {
		t.Fatalf("move: got %+v, %t, %v", second, ok, err)
	}
	if second.Previous != "" || second.Epoch != 7 || second.Version != "v1" || len(second.Resolvers) != 2 || second.Resolvers[1] != seen[1] || second.Since.IsZero() || second.ProbedAt.IsZero() {
		t.Errorf("move: got %+v", second)
	}

	// The same write again, late or by a second job, matches nothing.
	if _, ok, err := store.WriteIntent(ctx, mongo.IntentWrite{Was: first.Record, Is: moved(first.Record, "zone-a")}); err != nil || ok {
		t.Errorf("a write from an old record: got %t, %v", ok, err)
	}
	confirmed := second.Record
	confirmed.Confirmed++
	third, ok, err := store.WriteIntent(ctx, mongo.IntentWrite{Was: second.Record, Is: confirmed})
	if err != nil || !ok || third.Record != confirmed || !third.Since.Equal(second.Since) || third.Epoch != 7 || len(third.Resolvers) != 0 {
		t.Errorf("confirmation: got %+v, %t, %v; want the time of the last change kept", third, ok, err)
	}
	if _, ok, err := store.WriteIntent(ctx, mongo.IntentWrite{Was: second.Record, Is: moved(second.Record, "zone-a")}); err != nil || ok {
		t.Errorf("a write from a record that was confirmed since: got %t, %v", ok, err)
	}
	if again, err := store.Intent(ctx); err != nil || again.Record != confirmed {
		t.Errorf("record that is there: got %+v, %v", again, err)
	}

	// What the lease reads of it.
	if _, err := connectAs(t, server, server.Admin()).EnsureLease(ctx, environment, lease.DefaultTerm()); err != nil {
		t.Fatal(err)
	}
	if _, records, err := connectAs(t, server, server.Admin()).LeaseStore(environment, storeTime).Read(ctx); err != nil || len(records) != 1 || records[0] != confirmed {
		t.Errorf("the lease reads %+v, %v; want %+v", records, err, confirmed)
	}
}

func TestJournalOncePerKey(t *testing.T) {
	server := mongotest.Target(t)
	environment := newEnvironment(t, server)
	store := connectAs(t, server, maintenanceUser(t, server)).IntentStore(environment, "zone-a", storeTime)
	keyed := mongo.JournalEntry{Key: "intent/zone-a/1", Time: time.Now().UTC().Truncate(time.Millisecond), Zone: "zone-a", From: "zone-a", To: "zone-b", Epoch: 7, Reason: "why"}
	later := keyed
	later.Reason = "later"
	for _, e := range []mongo.JournalEntry{keyed, later, {Zone: "zone-a"}, {Zone: "zone-a"}} {
		if err := store.Append(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	cursor, err := server.AdminClient().Database(mongo.Database).Collection("journal").Find(t.Context(), bson.D{{Key: "environment", Value: environment}})
	if err != nil {
		t.Fatal(err)
	}
	var got []struct {
		ID                     any `bson:"_id"`
		Time                   time.Time
		Zone, From, To, Reason string
		Epoch                  int64
	}
	if err := cursor.All(t.Context(), &got); err != nil {
		t.Fatal(err)
	}
	if len(got) != 3 {
		t.Fatalf("got %d entries, want one with the key and two without: %+v", len(got), got)
	}
	if e := got[0]; e.ID != environment+"/intent/zone-a/1" || !e.Time.Equal(keyed.Time) || e.Zone != "zone-a" || e.From != "zone-a" || e.To != "zone-b" || e.Epoch != 7 || e.Reason != "why" {
		t.Errorf("got %+v", e)
	}
}

// Several jobs at once, all new to the zone: one record, and each counter value is written once.
func TestIntentStoreRaces(t *testing.T) {
	server := mongotest.Target(t)
	environment, dn := newEnvironment(t, server), maintenanceUser(t, server)
	const jobs, tries = 6, 20
	var applied atomic.Int64
	var wg sync.WaitGroup
	for range jobs {
		store := connectAs(t, server, dn).IntentStore(environment, "zone-a", storeTime)
		wg.Go(func() {
			for range tries {
				was, err := store.Intent(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				_, ok, err := store.WriteIntent(t.Context(), mongo.IntentWrite{Was: was.Record, Is: moved(was.Record, "zone-b")})
				if err != nil {
					t.Error(err)
					return
				}
				if ok {
					applied.Add(1)
				}
			}
		})
	}
	wg.Wait()
	last, err := connectAs(t, server, dn).IntentStore(environment, "zone-a", storeTime).Intent(t.Context())
	if err != nil || last.Seq != applied.Load() || last.Confirmed != last.Seq || last.Seq < tries {
		t.Errorf("got %+v after %d applied writes, %v", last.Record, applied.Load(), err)
	}
}

// Troubles that leave an operation's outcome unknown are errors, never a wrong answer.
func TestIntentStoreFaults(t *testing.T) {
	// After a network error the driver looks for the router again half a second later.
	const limit = time.Second
	server := mongotest.Start(t, mongotest.Options{})
	store := connectAs(t, server, maintenanceUser(t, server)).IntentStore("env", "zone-a", limit)
	was, err := store.Intent(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for name, fault := range map[string]mongotest.Fault{
		"reply lost":            {DropAfter: true},
		"request lost":          {DropBefore: true},
		"reply late":            {ReplyDelay: 2 * limit},
		"write concern timeout": {WriteConcernTimeout: true},
		"not authorized":        {Error: &mongotest.CommandError{Code: 13, Message: "not authorized"}},
	} {
		fault.Command, fault.Times = "findAndModify", 1
		remove := server.Inject(fault)
		after, ok, err := store.WriteIntent(t.Context(), mongo.IntentWrite{Was: was.Record, Is: moved(was.Record, "zone-b")})
		remove()
		if err == nil || ok {
			t.Errorf("%s: got %+v, %t, %v; want an error", name, after, ok, err)
		}
		if was, err = store.Intent(t.Context()); err != nil {
			t.Fatalf("%s: the next read: %v", name, err)
		}
	}
	server.Inject(mongotest.Fault{Command: "find", Slow: 5 * limit})
	began := time.Now()
	if _, err := store.Intent(t.Context()); err == nil || time.Since(began) > 2*limit || errors.Is(err, context.Canceled) {
		t.Errorf("slow server: got %v after %s", err, time.Since(began))
	}
}
