package mongotest

import (
	"context"
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/mongo"
	"go.mongodb.org/mongo-driver/mongo/options"
)

// facts is what the parts of TestConformance share. Names carry a random
// number: a real cluster is shared, and left as it was found.
type facts struct {
	srv     *Server
	admin   *mongo.Client
	host    string
	tag     string
	db      string
	version string
}

// TestConformance states what a real 4.0.19 cluster was observed to do, and runs
// against the stand-in or, unchanged, against the cluster of EnvURI. Where
// later servers differ the fact says so by version.
func TestConformance(t *testing.T) { conform(t, Target(t)) }

// TestConformanceDialects holds the stand-in's other dialects to the same facts.
func TestConformanceDialects(t *testing.T) {
	for _, d := range []Dialect{Dialect42, Dialect44} {
		t.Run(string(d), func(t *testing.T) { conform(t, Start(t, Options{Config: Config{Dialect: d}})) })
	}
}

func conform(t *testing.T, srv *Server) {
	t.Helper()
	f := &facts{srv: srv, admin: srv.AdminClient(), host: firstHost(t, srv), tag: fmt.Sprintf("%08x", rand.Uint32())}
	f.db = "conformance_" + f.tag
	var info struct {
		Version string `bson:"version"`
		Standin bool   `bson:"standin"`
	}
	if err := f.admin.Database("admin").RunCommand(t.Context(), bson.D{{Key: "buildInfo", Value: 1}}).Decode(&info); err != nil {
		t.Fatal(err)
	}
	f.version = info.Version
	t.Logf("server=%s standin=%t", info.Version, info.Standin)
	if info.Standin != (srv.Standin != nil) {
		t.Errorf("buildInfo says standin=%t", info.Standin)
	}
	t.Cleanup(func() { _ = f.admin.Database(f.db).Drop(context.WithoutCancel(t.Context())) })
	for _, part := range []struct {
		name string
		run  func(*testing.T, *facts)
	}{
		{"handshake", conformHandshake}, {"tls", conformTLS}, {"usersInfo", conformUsersInfo}, {"users", conformUsers},
		{"login", conformLogin}, {"rights", conformRights}, {"zones", conformZones}, {"sharding", conformSharding},
		{"writes", conformWrites}, {"lease", conformLease}, {"replay", conformReplay},
	} {
		t.Run(part.name, func(t *testing.T) { part.run(t, f) })
	}
}

// before tells whether the server is older than major.minor.
func (f *facts) before(major, minor int) bool {
	var a, b int
	if _, err := fmt.Sscanf(f.version, "%d.%d", &a, &b); err != nil {
		return false
	}
	return a < major || (a == major && b < minor)
}

// dn gives a service user's name that is this run's own.
func (f *facts) dn(name string) string { return "CN=" + name + "-" + f.tag + ",OU=root,O=system" }

// run gives the error of a command by the admin.
func (f *facts) run(t *testing.T, db string, cmd bson.D) error {
	t.Helper()
	return f.admin.Database(db).RunCommand(t.Context(), cmd).Err()
}

func conformHandshake(t *testing.T, f *facts) {
	r := dialRaw(t, f.srv, f.host, f.dn("nobody"))
	m := r.ok("admin", bson.D{{Key: "isMaster", Value: 1}})
	want := bson.M{"ismaster": true, "msg": "isdbgrid", "maxBsonObjectSize": int32(16777216), "maxMessageSizeBytes": int32(48000000),
		"maxWriteBatchSize": int32(100000), "logicalSessionTimeoutMinutes": int32(30), "minWireVersion": int32(0)}
	wire := map[string]int32{"4.0": 7, "4.2": 8, "4.4": 9}
	if v, ok := wire[f.version[:3]]; ok {
		want["maxWireVersion"] = v
	}
	for k, v := range want {
		if m[k] != v {
			t.Errorf("isMaster: %s is %v, want %v", k, m[k], v)
		}
	}
	r.ok("admin", bson.D{{Key: "buildInfo", Value: 1}}) // without a login
	if f.version == "4.0.19" {
		r.fails(59, "no such cmd: hello", "admin", bson.D{{Key: "hello", Value: 1}})
	}
	if m := r.run("admin", bson.D{{Key: "noSuchThing", Value: 1}}); m["code"] != int32(59) || m["codeName"] != "CommandNotFound" {
		t.Errorf("unknown command: %v", m)
	}
	if f.before(4, 4) {
		api := options.Client().SetServerAPIOptions(options.ServerAPI(options.ServerAPIVersion1)).SetServerSelectionTimeout(time.Second)
		if err := f.srv.AdminClient(api).Ping(t.Context(), nil); !mongo.IsTimeout(err) {
			t.Errorf("a client with ServerAPI v1 connected: %v", err)
		}
	}
}

func conformTLS(t *testing.T, f *facts) {
	name, _, _ := strings.Cut(f.host, ":")
	var nd net.Dialer
	plain := must(nd.DialContext(t.Context(), "tcp", f.host))(t)
	defer plain.Close()
	_ = plain.SetDeadline(time.Now().Add(10 * time.Second))
	_, _ = plain.Write(encodeOpMsg(t, "admin", bson.D{{Key: "isMaster", Value: 1}}))
	if n, err := plain.Read(make([]byte, 16)); n != 0 || err == nil {
		t.Errorf("plain TCP: %d bytes, %v", n, err)
	}

	// A client that does not trust the routers learns it only when the whole
	// selection timeout is over.
	other := must(NewAuthority())(t)
	const patience = time.Second
	wrong := &tls.Config{RootCAs: other.Roots, Certificates: []tls.Certificate{f.srv.Certificate(f.srv.Admin())}, MinVersion: tls.VersionTLS12}
	start := time.Now()
	c := f.srv.AdminClient(options.Client().SetTLSConfig(wrong).SetServerSelectionTimeout(patience))
	if err := c.Ping(t.Context(), nil); !mongo.IsTimeout(err) || !strings.Contains(err.Error(), "x509") || time.Since(start) < patience {
		t.Errorf("wrong CA: %v after %v", err, time.Since(start))
	}

	// No certificate, and one of another CA, look the same: the connection ends.
	stranger := must(other.Issue(f.dn("stranger")))(t)
	for what, certs := range map[string][]tls.Certificate{"none": nil, "stranger": {stranger}} {
		cfg := &tls.Config{RootCAs: f.srv.TLSConfig(f.srv.Admin()).RootCAs, Certificates: certs, ServerName: name, MinVersion: tls.VersionTLS12}
		c := f.srv.AdminClient(options.Client().SetTLSConfig(cfg).SetServerSelectionTimeout(patience))
		err := c.Ping(t.Context(), nil)
		if err == nil || !strings.Contains(err.Error(), "EOF") && !strings.Contains(err.Error(), "reset") {
			t.Errorf("client certificate %s: %v", what, err)
		}
	}
}

func conformWrites(t *testing.T, f *facts) {
	ctx := t.Context()
	coll := f.admin.Database(f.db).Collection("writes")
	if _, err := coll.InsertOne(ctx, bson.D{{Key: "_id", Value: "x"}, {Key: "n", Value: 1}}); err != nil {
		t.Fatal(err)
	}
	_, err := coll.InsertOne(ctx, bson.D{{Key: "_id", Value: "x"}})
	text := "E11000 duplicate key error collection: " + f.db + ".writes index: _id_ dup key: { : \"x\" }"
	if !f.before(4, 2) {
		text = "dup key: { _id: \"x\" }"
	}
	wantCode(t, err, 11000, text)
	if _, err := coll.InsertMany(ctx, []any{bson.D{{Key: "_id", Value: "y"}}, bson.D{{Key: "_id", Value: "x"}}, bson.D{{Key: "_id", Value: "z"}}},
		options.InsertMany().SetOrdered(false)); err == nil {
		t.Error("no error of an unordered insert with a duplicate")
	}
	if n, err := coll.CountDocuments(ctx, bson.D{}); err != nil || n != 3 {
		t.Errorf("%d documents, %v", n, err)
	}
	res, err := coll.UpdateOne(ctx, bson.D{{Key: "_id", Value: "x"}}, bson.D{{Key: "$set", Value: bson.D{{Key: "n", Value: 1}}}})
	if err != nil || res.MatchedCount != 1 || res.ModifiedCount != 0 {
		t.Errorf("update that changes nothing: %+v, %v", res, err)
	}
	_, err = coll.UpdateOne(ctx, bson.D{{Key: "_id", Value: "x"}}, bson.D{{Key: "$set", Value: bson.D{{Key: "_id", Value: 2}}}})
	wantCode(t, err, 66, "immutable field '_id'")
	if f.before(4, 2) {
		_, err = coll.UpdateOne(ctx, bson.D{{Key: "_id", Value: "x"}}, mongo.Pipeline{{{Key: "$set", Value: bson.D{{Key: "n", Value: 2}}}}})
		if err == nil {
			t.Error("4.0 took a pipeline update")
		}
	}
	// Results larger than one batch come through a cursor.
	var many []any
	for i := range 250 {
		many = append(many, bson.D{{Key: "i", Value: i}})
	}
	if _, err := f.admin.Database(f.db).Collection("many").InsertMany(ctx, many); err != nil {
		t.Fatal(err)
	}
	cur, err := f.admin.Database(f.db).Collection("many").Find(ctx, bson.D{}, options.Find().SetSort(bson.D{{Key: "i", Value: -1}}))
	if err != nil {
		t.Fatal(err)
	}
	var got []struct{ I int }
	if err := cur.All(ctx, &got); err != nil || len(got) != 250 || got[0].I != 249 || got[249].I != 0 {
		t.Errorf("%d documents, %v", len(got), err)
	}
}
