package mongo_test

import (
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/bson/primitive"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/bootstrap"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongo"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongo/mongotest"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongocheck"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/zone"
)

func inspect(t *testing.T, o mongo.Options, direct bool) mongocheck.Facts {
	t.Helper()
	facts, err := mongo.Inspect(t.Context(), o, direct)
	if err != nil {
		t.Fatal(err)
	}
	return facts
}

// TestInspect learns everything of a healthy cluster with three routers, in every dialect, and leaves nothing behind.
func TestInspect(t *testing.T) {
	for _, dialect := range []mongotest.Dialect{mongotest.Dialect40, mongotest.Dialect42, mongotest.Dialect44} {
		t.Run(string(dialect), func(t *testing.T) {
			server := mongotest.Start(t, mongotest.Options{Routers: 3, Config: mongotest.Config{Dialect: dialect, NoLocalhostBypass: true}})
			admin := server.AdminClient().Database("admin")
			for _, command := range []bson.D{
				{{Key: "addShardToZone", Value: "data"}, {Key: "zone", Value: "z0"}},
				{{Key: "addShardToZone", Value: "reports"}, {Key: "zone", Value: "z1"}},
				{{Key: "updateZoneKeyRange", Value: "squall.things"}, {Key: "min", Value: bson.D{{Key: "zone", Value: 0}}},
					{Key: "max", Value: bson.D{{Key: "zone", Value: 1}}}, {Key: "zone", Value: "z0"}},
			} {
				if err := admin.RunCommand(t.Context(), command).Err(); err != nil {
					t.Fatal(err)
				}
			}
			killed := fmt.Sprintf("check_%s", primitive.NewObjectIDFromTimestamp(time.Now().Add(-2*time.Hour)).Hex())
			ha := server.AdminClient().Database(mongo.Database)
			if err := ha.CreateCollection(t.Context(), killed); err != nil {
				t.Fatal(err)
			}
			facts := inspect(t, optionsFor(t, server, strings.Join(server.Hosts(), ","), server.TrustPEM()), false)
			for i, r := range facts.Routers {
				switch {
				case r.Host != server.Hosts()[i], len(r.Troubles) > 0, r.Login == nil || r.Login.Err != "", r.User != server.Admin():
					t.Errorf("%+v", r)
				case !r.Greeting.Mongos, !strings.HasPrefix(r.Version, string(dialect)), !r.Standin, r.Atlas, len(r.ClusterID) != 24, r.ClusterID != facts.Routers[0].ClusterID:
					t.Errorf("%+v", r)
				case len(r.Chain) != 3, r.Chain[0].Subject != mongotest.RouterDN, r.RoundTrip <= 0, r.ClockOffset.Abs()-r.ClockError > time.Second:
					t.Errorf("%+v", r)
				case r.Bypass == nil || *r.Bypass, len(r.Roles) != 1 || r.Roles[0] != mongocheck.Role{Role: "root", DB: "admin"}:
					t.Errorf("%+v", r)
				}
			}
			c := facts.Cluster
			if c == nil || len(c.Shards) != 2 || c.Shards[0].Zones[0] != "z0" || len(c.Shards[0].Members) != 3 || c.Shards[0].Members[0].Tags["region"] != "region-1" || c.Shards[0].Complete {
				t.Errorf("cluster %+v", c)
			}
			if c.Ranges["z0"] != 1 || c.Ranges["z1"] != 0 || c.AdminUsers == nil || *c.AdminUsers != 0 || c.Write == nil || c.Write.Err != "" || c.Read == nil || c.Read.Err != "" {
				t.Errorf("cluster %+v", c)
			}
			if left, err := ha.ListCollectionNames(t.Context(), bson.D{}); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v %v", left, err)
			}
		})
	}
}

// TestInspectStopsWhereItMust asks no further what is no router, too old, or does not know us.
func TestInspectStopsWhereItMust(t *testing.T) {
	member := mongotest.Start(t, mongotest.Options{Config: mongotest.Config{Mongod: true}})
	if r := inspect(t, optionsFor(t, member, member.Hosts()[0], member.TrustPEM()), false).Routers[0]; r.Greeting == nil || r.Greeting.Mongos || r.Greeting.Set != "data" || r.Login != nil {
		t.Errorf("a mongod: %+v", r)
	}
	empty := mongotest.Start(t, mongotest.Options{NoAdmin: true})
	facts := inspect(t, optionsFor(t, empty, empty.Hosts()[0], empty.TrustPEM()), false)
	if r := facts.Routers[0]; r.Login == nil || r.Login.Code != 11 || facts.Cluster != nil {
		t.Errorf("without the admin: %+v", r)
	}
	atlas := inspect(t, optionsFor(t, empty, "cluster0.abc.mongodb.net:27017", empty.TrustPEM()), false)
	if r := atlas.Routers[0]; len(r.Troubles) > 0 || r.Greeting != nil {
		t.Errorf("Atlas was asked: %+v", r)
	}
}

// TestInspectTrials reports a write and a read that fail.
func TestInspectTrials(t *testing.T) {
	for _, c := range []struct {
		fault       mongotest.Fault
		write, read string
	}{
		{mongotest.Fault{Command: "insert", WriteConcernTimeout: true}, "waiting for replication timed out", "not tried"},
		{mongotest.Fault{Command: "find", Error: &mongotest.CommandError{Code: 50, Message: "operation exceeded time limit"}}, "", "time limit"},
		{mongotest.Fault{Command: "drop", Error: &mongotest.CommandError{Code: 46, Message: "lock busy"}}, "was left behind: (Location46) lock busy", ""},
	} {
		server := mongotest.Start(t, mongotest.Options{})
		server.Inject(c.fault)
		cluster := inspect(t, optionsFor(t, server, server.Hosts()[0], server.TrustPEM()), false).Cluster
		if cluster == nil || cluster.Write == nil {
			t.Fatalf("%+v: %+v", c.fault, cluster)
		}
		read := "not tried"
		if cluster.Read != nil {
			read = cluster.Read.Err
		}
		if !strings.Contains(cluster.Write.Err, c.write) || (c.write == "") != (cluster.Write.Err == "") || !strings.Contains(read, c.read) {
			t.Errorf("%+v: write %q, read %q", c.fault, cluster.Write.Err, read)
		}
	}
}

// startMembers runs the members of a replica set, without data; they have the administrator as a user of their own if admin. The region "" is an arbiter's.
func startMembers(t *testing.T, authority *mongotest.Authority, admin bool, regions ...string) mongotest.ReplicaSet {
	t.Helper()
	set := mongotest.ReplicaSet{Name: "data", Election: 4 * time.Second}
	var listeners []net.Listener
	for _, region := range regions {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		listeners = append(listeners, listener)
		member := mongotest.SetMember{Host: listener.Addr().String(), Arbiter: region == ""} // arbiters have no tags
		if region != "" {
			member.Tags = map[string]string{"region": region}
		}
		set.Members = append(set.Members, member)
	}
	certificate, err := authority.Issue(mongotest.RouterDN, "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	config := mongotest.Config{Mongod: true, Certificate: certificate, ClientCAs: authority.Chain, Sets: []mongotest.ReplicaSet{set}}
	if admin {
		config.AdminUser = mongotest.AdminDN
	}
	for _, listener := range listeners {
		standin, err := mongotest.New(t.Context(), config)
		if err != nil {
			t.Fatal(err)
		}
		standin.Serve(listener)
		t.Cleanup(func() { _ = standin.Close() })
	}
	return set
}

// TestInspectMembers asks the members themselves: their greeting names arbiters without a login; with one, votes and election time are known.
func TestInspectMembers(t *testing.T) {
	for _, admin := range []bool{false, true} {
		authority, err := mongotest.NewAuthority()
		if err != nil {
			t.Fatal(err)
		}
		set := startMembers(t, authority, admin, "east", "west", "")
		server := mongotest.Start(t, mongotest.Options{Authority: authority, Config: mongotest.Config{Sets: []mongotest.ReplicaSet{set,
			{Name: "reports", Members: set.Members[:1]}, // from here, that address is another set's
		}}})
		o := optionsFor(t, server, server.Hosts()[0], server.TrustPEM())
		if seen := inspect(t, o, false).Cluster.Shards[0]; len(seen.Members) != 2 || seen.Complete {
			t.Errorf("without asking them: %+v", seen)
		}
		shards := inspect(t, o, true).Cluster.Shards
		data, reports := shards[0], shards[1]
		if len(data.Members) != 3 || !data.Complete || !data.Members[2].Arbiter || (data.Election == 4*time.Second) != admin || (data.Caveat == "") != admin {
			t.Errorf("admin %v: %+v", admin, data)
		}
		for i, region := range []string{"east", "west", ""} {
			if data.Members[i].Tags["region"] != region {
				t.Errorf("admin %v: %+v", admin, data.Members)
			}
		}
		if reports.Complete || len(reports.Members) != 1 {
			t.Errorf("%+v", reports)
		}
	}
}

// TestLook sees what a gateway may see, by the rights that bootstrap gives it, and says what a service may not do.
func TestLook(t *testing.T) {
	server := mongotest.Start(t, mongotest.Options{Routers: 2})
	environment, admin := "test-"+rand.Text(), connectAs(t, server, server.Admin())
	want := bootstrap.Want{Environment: environment, Zones: []zone.Zone{{Name: "West"}}, Services: []bootstrap.ServiceUser{{Service: "squall"}}}
	if _, _, err := bootstrap.EnsureDatabase(t.Context(), admin, want, nil); err != nil {
		t.Fatal(err)
	}
	look := func(dn string) []mongocheck.Router {
		o := optionsFor(t, server, strings.Join(server.Hosts(), ","), server.TrustPEM())
		cert := server.Certificate(dn)
		o.Certificate = func() (*tls.Certificate, error) { return &cert, nil }
		view, err := mongo.Look(t.Context(), o, environment)
		if err != nil {
			t.Fatal(err)
		}
		return view.Routers
	}
	for _, r := range look("CN=gateway-west,OU=root,O=system") {
		if len(r.Troubles) > 0 || r.Login.Err != "" || r.Read.Err != "" || r.Write.Err != "" || len(r.Addresses) != 1 || r.User != "CN=gateway-west,OU=root,O=system" {
			t.Errorf("%+v", r)
		}
	}
	for _, r := range look("CN=squall,OU=root,O=system") {
		if r.Login.Err != "" || r.Read.Code != 13 || r.Write.Code != 13 {
			t.Errorf("%+v", r)
		}
	}
	for _, r := range look("CN=gateway-east,OU=root,O=system") {
		if r.Login.Code != 11 || r.Read != nil {
			t.Errorf("%+v", r)
		}
	}
	zones, err := server.AdminClient().Database(mongo.Database).Collection("zones").CountDocuments(t.Context(), bson.D{})
	if err != nil || zones != 1 { // bootstrap's own
		t.Errorf("%d records, want the one that bootstrap made: %v", zones, err)
	}
}
