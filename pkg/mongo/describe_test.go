package mongo_test

import (
	"testing"

	"go.mongodb.org/mongo-driver/bson"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/bootstrap"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongo"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongo/mongotest"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/pki"
)

func TestDescribe(t *testing.T) {
	server := mongotest.Target(t)
	admin := connectAs(t, server, server.Admin())
	environment, service := newEnvironment(t, server), random("s")
	name := pki.ServiceSubject(service).String()
	dropUser(t, server, name)
	want := bootstrap.Want{Environment: environment, Services: []bootstrap.ServiceUser{{Service: service}}}
	if _, _, err := bootstrap.EnsureDatabase(t.Context(), admin, want, nil); err != nil {
		t.Fatal(err)
	}
	d, err := admin.Describe(t.Context(), storeTime)
	if err != nil || len(d.Unknown) > 0 || d.Version == "" || d.ClusterID == "" || d.Balancer == nil || d.Balancer.Mode == "" || d.Now.IsZero() || d.Nothing() {
		t.Fatalf("%+v, %v", d, err)
	}
	if len(d.Routers) == 0 || d.Routers[0].Version == "" || d.Routers[0].Seen.IsZero() || len(d.Roles) < 2 || d.Ranges == nil {
		t.Errorf("%+v", d)
	}
	if len(d.Shards) == 0 {
		t.Fatal("no shards")
	}
	for _, s := range d.Shards {
		if s.Set == "" || len(s.Members) == 0 {
			t.Errorf("%+v", s)
		}
	}
	for _, u := range d.Users {
		if u.Name == name && u.Database == mongo.External && len(u.Roles) == 2 && len(u.Environments) == 1 {
			return
		}
	}
	t.Errorf("%s is not among %+v", name, d.Users)
}

// TestDescribeRange: a key range as the shell writes it.
func TestDescribeRange(t *testing.T) {
	server := mongotest.Start(t, mongotest.Options{})
	admin := connectAs(t, server, server.Admin())
	for _, command := range []bson.D{
		{{Key: "addShardToZone", Value: "data"}, {Key: "zone", Value: "z0"}},
		{{Key: "updateZoneKeyRange", Value: "squall.things"}, {Key: "min", Value: bson.D{{Key: "zone", Value: int32(0)}}},
			{Key: "max", Value: bson.D{{Key: "zone", Value: int32(10)}}}, {Key: "zone", Value: "z0"}},
	} {
		if err := server.AdminClient().Database("admin").RunCommand(t.Context(), command).Err(); err != nil {
			t.Fatal(err)
		}
	}
	d, err := admin.Describe(t.Context(), storeTime)
	if err != nil || len(d.Ranges) != 1 {
		t.Fatalf("%+v, %v", d.Ranges, err)
	}
	if from, to := d.Ranges[0].Bounds(); d.Ranges[0].Zone != "z0" || d.Ranges[0].Namespace != "squall.things" || from != `{"zone":0}` || to != `{"zone":10}` {
		t.Errorf("%+v: from %s to %s", d.Ranges[0], from, to)
	}
}

// TestDescribeUnknownIsNotDown: what is refused is unknown, and hides nothing else.
func TestDescribeUnknownIsNotDown(t *testing.T) {
	server := mongotest.Start(t, mongotest.Options{})
	admin := connectAs(t, server, server.Admin())
	for _, command := range []string{"connPoolStats", "balancerStatus", "usersInfo"} {
		server.Inject(mongotest.Fault{Command: command, Error: &mongotest.CommandError{Code: 13, Message: "not authorized"}})
	}
	d, err := admin.Describe(t.Context(), storeTime)
	if err != nil || d.Unknown["shards"] == nil || d.Unknown["balancer"] == nil || d.Unknown["users"] == nil || len(d.Unknown) != 3 {
		t.Fatalf("%v, %v", d.Unknown, err)
	}
	if len(d.Shards) != 2 || d.Shards[0].Members[0].Host == "" || d.Shards[0].Members[0].State != "" || d.Balancer != nil || d.Users != nil {
		t.Errorf("%+v", d)
	}
}
