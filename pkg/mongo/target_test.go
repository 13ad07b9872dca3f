package mongo_test

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"slices"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/bson"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongo"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongo/mongotest"
)

// storeTime bounds one operation in these tests.
const storeTime = 5 * time.Second

// random returns a name that nobody else has: the cluster of these tests may be a real one that others use.
func random(prefix string) string { return prefix + "-" + strings.ToLower(rand.Text()[:12]) }

// connectAs returns a client logged in as dn on first use.
func connectAs(t *testing.T, server *mongotest.Server, dn string) *mongo.Client {
	t.Helper()
	cert := server.Certificate(dn)
	ctx := context.WithoutCancel(t.Context())
	c, err := mongo.Connect(ctx, mongo.Options{
		URI: server.URI(), CA: server.TrustPEM(), Certificate: func() (*tls.Certificate, error) { return &cert, nil }, AppName: "test",
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return c
}

// newEnvironment returns the id of an environment that is this test's alone. What the test leaves of it in the database is removed, and
// so are roles and collections that were not there before.
func newEnvironment(t *testing.T, server *mongotest.Server) string {
	t.Helper()
	environment := random("test")
	db := server.AdminClient().Database(mongo.Database)
	ctx := context.WithoutCancel(t.Context())
	collections, roles, shards := collectionsOf(t, server), rolesOf(t, server), shardZonesOf(t, server)
	t.Cleanup(func() {
		for shard, zones := range shardZonesOf(t, server) {
			for _, zone := range zones {
				if !slices.Contains(shards[shard], zone) {
					_ = server.AdminClient().Database("admin").RunCommand(ctx, bson.D{{Key: "removeShardFromZone", Value: shard}, {Key: "zone", Value: zone}}).Err()
				}
			}
		}
		for name, filter := range map[string]bson.D{
			"lease": {{Key: "_id", Value: environment}}, "zones": {{Key: "environment", Value: environment}}, "journal": {{Key: "environment", Value: environment}},
		} {
			if _, err := db.Collection(name).DeleteMany(ctx, filter); err != nil {
				t.Error(err)
			}
			if n, err := db.Collection(name).CountDocuments(ctx, bson.D{}); err == nil && n == 0 && !slices.Contains(collections, name) {
				_ = db.Collection(name).Drop(ctx)
			}
		}
		for _, role := range rolesOf(t, server) {
			if !slices.Contains(roles, role) {
				_ = db.RunCommand(ctx, bson.D{{Key: "dropRole", Value: role}}).Err()
			}
		}
	})
	return environment
}

func collectionsOf(t *testing.T, server *mongotest.Server) []string {
	t.Helper()
	names, err := server.AdminClient().Database(mongo.Database).ListCollectionNames(context.WithoutCancel(t.Context()), bson.D{})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func shardZonesOf(t *testing.T, server *mongotest.Server) map[string][]string {
	t.Helper()
	var reply struct {
		Shards []struct {
			ID   string `bson:"_id"`
			Tags []string
		}
	}
	err := server.AdminClient().Database("admin").RunCommand(context.WithoutCancel(t.Context()), bson.D{{Key: "listShards", Value: 1}}).Decode(&reply)
	if err != nil {
		t.Fatal(err)
	}
	zones := map[string][]string{}
	for _, s := range reply.Shards {
		zones[s.ID] = s.Tags
	}
	return zones
}

func rolesOf(t *testing.T, server *mongotest.Server) []string {
	t.Helper()
	var reply struct{ Roles []struct{ Role string } }
	err := server.AdminClient().Database(mongo.Database).RunCommand(context.WithoutCancel(t.Context()), bson.D{{Key: "rolesInfo", Value: 1}}).Decode(&reply)
	if err != nil {
		t.Fatal(err)
	}
	names := make([]string, len(reply.Roles))
	for i, r := range reply.Roles {
		names[i] = r.Role
	}
	return names
}

// dropUser removes a user when the test ends.
func dropUser(t *testing.T, server *mongotest.Server, dn string) {
	t.Helper()
	db, ctx := server.AdminClient().Database(mongo.External), context.WithoutCancel(t.Context())
	t.Cleanup(func() { _ = db.RunCommand(ctx, bson.D{{Key: "dropUser", Value: dn}}).Err() })
}
