package mongotest

import (
	"crypto/tls"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/bson/primitive"
)

// shards gives listShards.
func (f *facts) shards(t *testing.T) []bson.M {
	t.Helper()
	var got struct {
		Shards []bson.M `bson:"shards"`
		OK     float64  `bson:"ok"`
	}
	if err := f.admin.Database("admin").RunCommand(t.Context(), cmd("listShards", 1)).Decode(&got); err != nil || got.OK != 1 || len(got.Shards) == 0 {
		t.Fatalf("listShards: %v, %v", got, err)
	}
	return got.Shards
}

func tagsIn(shard bson.M) []string {
	var out []string
	list, _ := shard["tags"].(bson.A)
	for _, v := range list {
		out = append(out, text(v))
	}
	return out
}

func conformListShards(t *testing.T, f *facts) {
	zone := field("zone", "listed-"+f.tag)
	for _, shard := range f.shards(t) {
		id, _ := shard["_id"].(string)
		host, _ := shard["host"].(string)
		if set, members, ok := strings.Cut(host, "/"); id == "" || !ok || set == "" || !strings.Contains(members, ":") || number(shard, "state") != 1 {
			t.Errorf("shard: %v", shard)
		}
		var stored bson.M
		if err := f.admin.Database("config").Collection("shards").FindOne(t.Context(), bson.D{field("_id", id)}).Decode(&stored); err != nil {
			t.Fatal(err)
		}
		_, listed := shard["tags"]
		if _, has := stored["tags"]; listed != has { // they appear once a zone was added, and stay
			t.Errorf("tags of %s: listed %t, stored %t", id, listed, has)
		}
		for key := range shard {
			if !slices.Contains([]string{"_id", "host", "state", "tags"}, key) && f.observed() {
				t.Errorf("listShards tells %s of %s: %v", key, id, shard[key])
			}
		}
	}
	first := text(f.shards(t)[0]["_id"])
	f.must(t, "admin", cmd("addShardToZone", first, zone))
	if tags := tagsIn(f.shards(t)[0]); !slices.Contains(tags, "listed-"+f.tag) {
		t.Errorf("tags after addShardToZone: %v", tags)
	}
	f.must(t, "admin", cmd("removeShardFromZone", first, zone))
	if tags := tagsIn(f.shards(t)[0]); slices.Contains(tags, "listed-"+f.tag) {
		t.Errorf("tags after removeShardFromZone: %v", tags)
	}
}

func conformZones(t *testing.T, f *facts) {
	shard := text(f.shards(t)[0]["_id"])
	zone, ns := "zone-"+f.tag, f.db+".zoned"
	in := field("zone", zone)
	key := func(n any) bson.D { return bson.D{field("k", n)} }
	set := func(min, max bson.D, zone any) error {
		return f.run(t, "admin", cmd("updateZoneKeyRange", ns, field("min", min), field("max", max), field("zone", zone)))
	}
	f.must(t, "admin", cmd("enableSharding", f.db))
	f.must(t, "admin", cmd("shardCollection", ns, field("key", bson.D{field("k", 1)})))
	wantCode(t, f.run(t, "admin", cmd("addShardToZone", "nosuch-"+f.tag, in)), 70, "does not exist")
	f.refused(t, f.run(t, "admin", cmd("addShardToZone", shard)), 4, "zone")
	wantCode(t, set(key(0), key(10), zone), 177, "")
	f.must(t, "admin", cmd("addShardToZone", shard, in))
	defer func() {
		_ = set(key(0), key(10), nil)
		if err := f.run(t, "admin", cmd("removeShardFromZone", shard, in)); err != nil {
			t.Errorf("removeShardFromZone: %v", err)
		}
	}()
	f.must(t, "admin", cmd("addShardToZone", shard, in)) // changes nothing
	for range 2 {                                        // nor does the second of these
		if err := set(key(0), key(10), zone); err != nil {
			t.Fatal(err)
		}
	}
	var tag struct{ Tag string }
	if err := f.admin.Database("config").Collection("tags").FindOne(t.Context(), bson.D{field("ns", ns)}).Decode(&tag); err != nil || tag.Tag != zone {
		t.Errorf("config.tags: %+v, %v", tag, err)
	}
	wantCode(t, set(key(5), key(15), zone), 178, "")
	wantCode(t, set(bson.D{field("other", 20)}, bson.D{field("other", 30)}, zone), 61, "")
	wantCode(t, f.run(t, "admin", cmd("removeShardFromZone", shard, in)), 163, "")
}

func conformSharding(t *testing.T, f *facts) {
	ns := f.db + ".sharded"
	key := field("key", bson.D{field("k", 1)})
	f.refused(t, f.run(t, "admin", cmd("enableSharding", "bad.name")), 73, "")
	f.refused(t, f.run(t, "admin", cmd("enableSharding", "admin")), 72, "")
	if f.before(6, 0, 0) { // 6.0 needs no enableSharding
		f.refused(t, f.run(t, "admin", cmd("shardCollection", f.db+"x.c", key)), 26, "")
	}
	for range 2 {
		f.must(t, "admin", cmd("enableSharding", f.db))
	}
	for range 2 {
		f.must(t, "admin", cmd("shardCollection", ns, key))
	}
	f.refused(t, f.run(t, "admin", cmd("shardCollection", ns, field("key", bson.D{field("other", 1)}))), 23, "")
	var version struct {
		ClusterID primitive.ObjectID `bson:"clusterId"`
	}
	if err := f.admin.Database("config").Collection("version").FindOne(t.Context(), bson.D{}).Decode(&version); err != nil || version.ClusterID.IsZero() {
		t.Errorf("config.version: %v, %v", version, err)
	}
}

// conformShards asks the members of the shards themselves, where this machine
// reaches them: the facts about a mongod.
func conformShards(t *testing.T, f *facts) {
	dn := f.dn("router-only")
	f.srv.CreateUser(dn, Role("root", "admin"))
	seen := 0
	for _, shard := range f.shards(t) {
		set, members, _ := strings.Cut(text(shard["host"]), "/")
		for host := range strings.SplitSeq(members, ",") {
			if err := reach(f, host); err != nil {
				t.Logf("shard %s: %s is not within reach: %v", shard["_id"], host, err)
				continue
			}
			seen++
			conformMongod(t, f, host, set, dn)
		}
	}
	t.Logf("%d members of shards were asked", seen)
}

// reach tells whether a TLS handshake with a host succeeds.
func reach(f *facts, host string) error {
	cfg := f.srv.TLSConfig(f.srv.Admin())
	cfg.ServerName = hostName(host)
	c, err := tls.DialWithDialer(&net.Dialer{Timeout: 3 * time.Second}, "tcp", host, cfg)
	if err != nil {
		return err
	}
	return c.Close()
}

func conformMongod(t *testing.T, f *facts, host, set, dn string) {
	t.Helper()
	r := dialRaw(t, f.srv, host, dn)
	m := r.ok("admin", cmd("isMaster", 1))
	need := []string{"hosts", "setName", "me", "lastWrite"}
	primary := m["ismaster"] == true
	if primary {
		need = append(need, "primary", "electionId")
	}
	for _, key := range need {
		if m[key] == nil {
			t.Errorf("%s: isMaster tells no %s: %v", host, key, m)
		}
	}
	if m["msg"] != nil || m["setName"] != set || primary && m["primary"] != m["me"] {
		t.Errorf("%s: isMaster: %v", host, m)
	}
	hello, zone := "", ""
	if f.observed() {
		hello, zone = "no such command: 'hello'", "no such command: 'addShardToZone'"
	}
	if !f.hasHello() {
		r.fails(59, hello, "admin", cmd("hello", 1))
	}
	r.fails(59, zone, "admin", cmd("addShardToZone", "x", field("zone", "y")))
	// A user made through a router is none of the shard's.
	unknownUser(t, f, r, dn)
	if primary {
		return
	}
	// A member's certificate may do everything, but not write on a secondary.
	subject := "CN=" + f.tag
	for _, rdn := range splitDN(f.peer(t)) {
		if kind, _, _ := strings.Cut(rdn, "="); kind == "O" || kind == "OU" || kind == "DC" {
			subject += "," + rdn
		}
	}
	member := dialRaw(t, f.srv, host, subject)
	if member.run("$external", loginX509)["ok"] == 1.0 {
		member.fails(10107, "", "$external", cmd("createUser", f.dn("secondary"), field("roles", bson.A{})))
	}
}
