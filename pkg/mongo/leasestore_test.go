package mongo_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"

	"go.mongodb.org/mongo-driver/bson"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/bootstrap"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/lease"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongo"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongo/mongotest"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/pki"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/zone"
)

// newLease bootstraps a lease for this test alone and returns its store, opened with the rights that a gateway has.
func newLease(t *testing.T, server *mongotest.Server) *mongo.LeaseStore {
	t.Helper()
	environment, zones := newEnvironment(t, server), []zone.Zone{{Name: random("West")}}
	gateway := pki.ServiceSubject(pki.GatewayName(zones[0].Name)).String()
	dropUser(t, server, gateway)
	dropUser(t, server, pki.ServiceSubject(pki.MaintenanceName(zones[0].Name)).String())
	admin := connectAs(t, server, server.Admin())
	if _, _, err := bootstrap.EnsureDatabase(t.Context(), admin, bootstrap.Want{Environment: environment, Zones: zones}, nil); err != nil {
		t.Fatal(err)
	}
	return connectAs(t, server, gateway).LeaseStore(environment, storeTime)
}

func readLease(t *testing.T, store *mongo.LeaseStore) lease.Document {
	t.Helper()
	doc, _, err := store.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// TestLeaseStoreIsTheProtocols plays a whole life of a lease and asserts that the database does to its document what lease.Write.Apply
// does, for writes that match and for the same writes again, which must not.
func TestLeaseStoreIsTheProtocols(t *testing.T) {
	store := newLease(t, mongotest.Target(t))
	first := readLease(t, store)
	if first.Epoch != 0 || first.Holder != "" || first.Released || first.Nonce == "" || first.Term != lease.DefaultTerm() {
		t.Fatalf("a new lease reads %+v", first)
	}
	basis := map[string]int64{"west": 3, "east": 4}
	life := []struct {
		name  string
		write func(doc lease.Document) lease.Write
	}{
		{"claim", func(d lease.Document) lease.Write { return lease.ClaimWrite(d, "west", "n1", lease.CalmTerm()) }},
		{"renew a", func(d lease.Document) lease.Write { return lease.RenewWrite(d.Epoch, "west", "a~0", "n2", nil) }},
		{"renew b", func(d lease.Document) lease.Write { return lease.RenewWrite(d.Epoch, "west", "b~0", "n3", nil) }},
		{"renew a's next opening", func(d lease.Document) lease.Write {
			return lease.RenewWrite(d.Epoch, "west", "a~1", "n4", []string{"a~0"})
		}},
		{"reap b", func(d lease.Document) lease.Write {
			return lease.ReapWrite(d, lease.Entry{ID: "b~0", Nonce: "n3"}, "n5")
		}},
		{"renew c", func(d lease.Document) lease.Write { return lease.RenewWrite(d.Epoch, "west", "c~0", "n6", nil) }},
		{"close for east", func(d lease.Document) lease.Write { return lease.CloseWrite(d, "east", basis, "n7") }},
		{"take a out", func(d lease.Document) lease.Write { return lease.TakeOutWrite(d, []string{"a~1"}, "n8") }},
		{"reap c, the last one out", func(d lease.Document) lease.Write {
			return lease.ReapWrite(d, lease.Entry{ID: "c~0", Nonce: "n6"}, "n9")
		}},
		{"close with nobody open", func(d lease.Document) lease.Write { return lease.CloseWrite(d, "", nil, "n10") }},
		{"claim what was released", func(d lease.Document) lease.Write { return lease.ClaimWrite(d, "west", "n11", lease.DefaultTerm()) }},
	}
	for _, step := range life {
		before := readLease(t, store)
		w := step.write(before)
		want, matches := w.Apply(before)
		if !matches {
			t.Fatalf("%s: does not match %+v", step.name, before)
		}
		got, outcome, err := store.Write(t.Context(), w)
		if err != nil || outcome != lease.Applied {
			t.Fatalf("%s: outcome %v, %v", step.name, outcome, err)
		}
		if want.Basis == nil {
			want.Basis = map[string]int64{}
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n got %+v\nwant %+v", step.name, got, want)
		}
		if now := readLease(t, store); !reflect.DeepEqual(now, want) {
			t.Errorf("%s: then reads\n got %+v\nwant %+v", step.name, now, want)
		}
		if w.Kind == lease.Renew {
			continue // a renewal matches as long as the epoch lasts
		}
		if _, outcome, err := store.Write(t.Context(), w); err != nil || outcome != lease.Refused {
			t.Errorf("%s again, as a late copy would come: outcome %v, %v", step.name, outcome, err)
		}
	}
	if end := readLease(t, store); end.Epoch != 3 || end.Holder != "west" {
		t.Errorf("the life ended as %+v", end)
	}
}

// TestLeaseStoreShowsSightings: a gateway, with its own rights, sees what its zone's job saw.
func TestLeaseStoreShowsSightings(t *testing.T) {
	server := mongotest.Target(t)
	environment, zones := "test-"+rand.Text(), []zone.Zone{{Name: "West"}}
	if _, _, err := bootstrap.EnsureDatabase(t.Context(), connectAs(t, server, server.Admin()), bootstrap.Want{Environment: environment, Zones: zones}, nil); err != nil {
		t.Fatal(err)
	}
	store := connectAs(t, server, "CN=gateway-west,OU=root,O=system").LeaseStore(environment, storeTime)
	if seen := store.Sightings("west"); seen != nil {
		t.Errorf("before the first reading: %v", seen)
	}
	job := connectAs(t, server, "CN=maintenance-west,OU=root,O=system").IntentStore(environment, "west", storeTime)
	intent, err := job.Intent(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []mongo.Sighting{{Resolver: "system", Address: "192.0.2.1:443", Zone: "west"}, {Resolver: "192.0.2.53:53", Error: "dns: no such host"}}
	if _, applied, err := job.WriteIntent(t.Context(), mongo.IntentWrite{Was: intent.Record, Is: moved(intent.Record, "west"), Resolvers: want}); err != nil || !applied {
		t.Fatal(applied, err)
	}
	readLease(t, store)
	if seen := store.Sightings("west"); !reflect.DeepEqual(seen, want) {
		t.Errorf("seen %+v, want %+v", seen, want)
	}
	if seen := store.Sightings("east"); seen != nil {
		t.Errorf("a zone without a record: %v", seen)
	}
}

func TestLeaseIsMadeOnce(t *testing.T) {
	server := mongotest.Target(t)
	environment := newEnvironment(t, server)
	admin := connectAs(t, server, server.Admin())
	for n, want := range []bool{true, false} {
		made, err := admin.EnsureLease(t.Context(), environment, lease.DefaultTerm())
		if err != nil || made != want {
			t.Errorf("call %d: made %v, %v", n, made, err)
		}
	}
	if _, _, err := admin.LeaseStore("test-"+rand.Text(), storeTime).Read(t.Context()); !errors.Is(err, mongo.ErrNoLease) {
		t.Errorf("a lease that was never made: %v", err)
	}
}

// TestOneClaimWins lets eight zones claim each epoch at once, through both routers.
func TestOneClaimWins(t *testing.T) {
	store := newLease(t, mongotest.Target(t))
	for range 10 {
		doc := readLease(t, store)
		var wg sync.WaitGroup
		var mu sync.Mutex
		won := 0
		for n := range 8 {
			wg.Go(func() {
				_, outcome, err := store.Write(t.Context(), lease.ClaimWrite(doc, fmt.Sprintf("zone-%d", n), rand.Text(), lease.DefaultTerm()))
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err != nil:
					t.Error(err)
				case outcome == lease.Applied:
					won++
				}
			})
		}
		wg.Wait()
		if now := readLease(t, store); won != 1 || now.Epoch != doc.Epoch+1 {
			t.Fatalf("%d claims won epoch %d, which is now %d", won, doc.Epoch+1, now.Epoch)
		}
	}
}

// TestTroubledWriteIsUnknown injects what only a stand-in can: the write happens, and its answer does not come, or comes with a doubt.
func TestTroubledWriteIsUnknown(t *testing.T) {
	for name, fault := range map[string]mongotest.Fault{
		"answer lost":           {Command: "findAndModify", Times: 1, DropAfter: true},
		"write concern timeout": {Command: "findAndModify", Times: 1, WriteConcernTimeout: true},
	} {
		t.Run(name, func(t *testing.T) {
			server := mongotest.Start(t, mongotest.Options{})
			store := newLease(t, server)
			doc := readLease(t, store)
			server.Inject(fault)
			_, outcome, err := store.Write(t.Context(), lease.ClaimWrite(doc, "west", "n1", lease.DefaultTerm()))
			if outcome != lease.Unknown || err == nil {
				t.Errorf("outcome %v, %v; want Unknown with the reason", outcome, err)
			}
			if now := readLease(t, store); now.Holder != "west" {
				t.Errorf("the stand-in did not apply the write: %+v", now)
			}
		})
	}
}

func TestUsersSecondRunWritesNothing(t *testing.T) {
	server := mongotest.Target(t)
	admin := connectAs(t, server, server.Admin())
	environment, zones, service := newEnvironment(t, server), []zone.Zone{{Name: random("w")}}, random("s")
	for _, name := range []string{service, pki.GatewayName(zones[0].Name), pki.MaintenanceName(zones[0].Name)} {
		dropUser(t, server, pki.ServiceSubject(name).String())
	}
	services := []bootstrap.ServiceUser{{Service: service, Roles: []mongo.Role{{Role: "read", DB: "squall"}}}}
	want := bootstrap.Want{Environment: environment, Zones: zones, Services: services}
	done, _, err := bootstrap.EnsureDatabase(t.Context(), admin, want, nil)
	if err != nil || len(done) < 4 {
		t.Fatalf("first run: %v, %v", done, err)
	}
	if done, _, err = bootstrap.EnsureDatabase(t.Context(), admin, want, nil); err != nil || len(done) != 0 {
		t.Errorf("second run: %v, %v", done, err)
	}
	services[0].Roles[0].DB = "zack"
	if done, _, err = bootstrap.EnsureDatabase(t.Context(), admin, want, nil); err != nil || len(done) != 1 {
		t.Errorf("after a role changed: %v, %v", done, err)
	}
}

// TestAdoptedUserKeepsWhatOthersNoted: customData of a user that was made by hand stays when it is recorded as ours.
func TestAdoptedUserKeepsWhatOthersNoted(t *testing.T) {
	server := mongotest.Target(t)
	admin := connectAs(t, server, server.Admin())
	environment, service := newEnvironment(t, server), random("s")
	name := pki.ServiceSubject(service).String()
	dropUser(t, server, name)
	external := server.AdminClient().Database(mongo.External)
	byHand := bson.D{{Key: "createUser", Value: name}, {Key: "roles", Value: bson.A{}}, {Key: "customData", Value: bson.D{{Key: "ticket", Value: "DBA-17"}}}}
	if err := external.RunCommand(t.Context(), byHand).Err(); err != nil {
		t.Fatal(err)
	}
	want := bootstrap.Want{Environment: environment, Services: []bootstrap.ServiceUser{{Service: service}}}
	if _, _, err := bootstrap.EnsureDatabase(t.Context(), admin, want, nil); err != nil {
		t.Fatal(err)
	}
	var reply struct {
		Users []struct {
			CustomData bson.M `bson:"customData"`
		}
	}
	if err := external.RunCommand(t.Context(), bson.D{{Key: "usersInfo", Value: name}}).Decode(&reply); err != nil || len(reply.Users) != 1 {
		t.Fatalf("%v, %v", reply, err)
	}
	if data := reply.Users[0].CustomData; data["ticket"] != "DBA-17" || data["aporeto"] == nil {
		t.Errorf("customData is %v", data)
	}
}
