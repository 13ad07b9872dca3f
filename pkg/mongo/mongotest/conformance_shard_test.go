package mongotest

import (
	"testing"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/bson/primitive"
)

// shards gives listShards.
func (f *facts) shards(t *testing.T) []bson.M {
	t.Helper()
	var got struct {
		Shards []bson.M `bson:"shards"`
	}
	if err := f.admin.Database("admin").RunCommand(t.Context(), cmd("listShards", 1)).Decode(&got); err != nil {
		t.Fatal(err)
	}
	if len(got.Shards) == 0 || got.Shards[0]["host"] == nil || got.Shards[0]["state"] != int32(1) {
		t.Fatalf("listShards: %v", got)
	}
	return got.Shards
}

func conformZones(t *testing.T, f *facts) {
	shard, _ := f.shards(t)[0]["_id"].(string)
	zone, ns := "zone-"+f.tag, f.db+".zoned"
	in := field("zone", zone)
	key := func(n any) bson.D { return bson.D{field("k", n)} }
	set := func(min, max bson.D, zone any) bson.D {
		return cmd("updateZoneKeyRange", ns, field("min", min), field("max", max), field("zone", zone))
	}
	wantCode(t, f.run(t, "admin", cmd("addShardToZone", "nosuch-"+f.tag, in)), 70, "does not exist")
	if f.before(5, 0) {
		wantCode(t, f.run(t, "admin", cmd("addShardToZone", shard)), 4, "zone")
	}
	wantCode(t, f.run(t, "admin", set(key(0), key(10), zone)), 177, "does not exist")
	for range 2 { // the second changes nothing
		if err := f.run(t, "admin", cmd("addShardToZone", shard, in)); err != nil {
			t.Fatal(err)
		}
	}
	defer func() {
		_ = f.run(t, "admin", set(key(0), key(10), nil))
		if err := f.run(t, "admin", cmd("removeShardFromZone", shard, in)); err != nil {
			t.Errorf("removeShardFromZone: %v", err)
		}
	}()
	tags, _ := f.shards(t)[0]["tags"].(bson.A)
	if len(tags) == 0 {
		t.Errorf("no tags after addShardToZone: %v", f.shards(t))
	}
	for range 2 {
		if err := f.run(t, "admin", set(key(0), key(10), zone)); err != nil {
			t.Fatal(err)
		}
	}
	var tag struct {
		Tag string
		Min bson.M
	}
	if err := f.admin.Database("config").Collection("tags").FindOne(t.Context(), bson.D{field("ns", ns)}).Decode(&tag); err != nil || tag.Tag != zone {
		t.Errorf("config.tags: %+v, %v", tag, err)
	}
	wantCode(t, f.run(t, "admin", set(key(5), key(15), zone)), 178, "")
	wantCode(t, f.run(t, "admin", set(key(20), bson.D{field("other", 30)}, zone)), 61, "")
	wantCode(t, f.run(t, "admin", cmd("removeShardFromZone", shard, in)), 163, "")
}

func conformSharding(t *testing.T, f *facts) {
	ns := f.db + ".sharded"
	key := field("key", bson.D{field("k", 1)})
	if f.before(6, 0) {
		wantCode(t, f.run(t, "admin", cmd("shardCollection", f.db+"x.c", key)), 26, "")
		wantCode(t, f.run(t, "admin", cmd("enableSharding", "bad.name")), 73, "")
		wantCode(t, f.run(t, "admin", cmd("enableSharding", "admin")), 72, "")
	}
	for range 2 {
		if err := f.run(t, "admin", cmd("enableSharding", f.db)); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if err := f.run(t, "admin", cmd("shardCollection", ns, key)); err != nil {
			t.Fatal(err)
		}
	}
	wantCode(t, f.run(t, "admin", cmd("shardCollection", ns, field("key", bson.D{field("other", 1)}))), 23, "")
	var version struct {
		ClusterID primitive.ObjectID `bson:"clusterId"`
	}
	if err := f.admin.Database("config").Collection("version").FindOne(t.Context(), bson.D{}).Decode(&version); err != nil || version.ClusterID.IsZero() {
		t.Errorf("config.version: %v, %v", version, err)
	}
}
