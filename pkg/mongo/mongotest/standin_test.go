package mongotest

import (
	"bytes"
	"context"
	"crypto/tls"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/bson/primitive"
	"go.mongodb.org/mongo-driver/mongo/options"
	"go.step.sm/crypto/pemutil"
)

const service = "CN=squall,OU=root,O=system"

// TestLocalhostHole is the hole that `mongo check` reports: while no user is in
// admin, a mongos lets anybody on its own host make a root user.
func TestLocalhostHole(t *testing.T) {
	root := cmd("createUser", "owner", field("pwd", "x"), field("roles", bson.A{"root"}))
	for name, c := range map[string]struct {
		config Config
		code   int32
	}{
		"open while all users are in $external": {Config{}, 0},
		"closed by enableLocalhostAuthBypass":   {Config{NoLocalhostBypass: true}, 13},
		"closed on a mongod by any user":        {Config{Mongod: true}, 13},
	} {
		t.Run(name, func(t *testing.T) {
			srv := Start(t, Options{Config: c.config})
			r := dialRaw(t, srv, srv.Hosts()[0], service)
			if c.code != 0 {
				r.fails(c.code, "command createUser requires authentication", "admin", root)
				return
			}
			r.fails(13, "not authorized on admin", "admin", cmd("listDatabases", 1, field("authorizedDatabases", false)))
			r.fails(13, "not authorized on things", "things", cmd("find", "x"))
			r.ok("admin", root)
			r.fails(13, "command createUser requires authentication", "admin", cmd("createUser", "second", field("pwd", "x"), field("roles", bson.A{"root"})))
		})
	}
}

// TestFirstAdmin is how the owner begins: no user at all, one made through the
// exception, which then can do everything.
func TestFirstAdmin(t *testing.T) {
	srv := Start(t, Options{NoAdmin: true})
	r := dialRaw(t, srv, srv.Hosts()[0], AdminDN)
	r.ok("$external", cmd("createUser", AdminDN, field("roles", bson.A{Role("root", "admin")})))
	srv.CreateUser(service, Role("readWrite", "squall"))
	if err := srv.Client(service).Database("squall").RunCommand(t.Context(), cmd("ping", 1)).Err(); err != nil {
		t.Fatal(err)
	}
}

// TestMembership: with clusterAuthMode x509 a client with the routers' O and OU
// is __system, without any user.
func TestMembership(t *testing.T) {
	member := "CN=evil,OU=servers,O=mongodb"
	srv := Start(t, Options{})
	r := dialLogin(t, srv, srv.Hosts()[0], member)
	r.ok("any", cmd("insert", "x", field("documents", bson.A{bson.D{}})))
	r.ok("$external", cmd("dropUser", AdminDN))
	login := cmd("authenticate", 1, field("mechanism", "MONGODB-X509"))
	lower := dialRaw(t, srv, srv.Hosts()[0], "CN=evil,OU=Servers,O=mongodb") // letter case does matter
	lower.fails(11, "not found", "$external", login)
	keyfile := Start(t, Options{Config: Config{NoClusterX509: true}})
	dialRaw(t, keyfile, keyfile.Hosts()[0], member).fails(18, "auth failed", "$external", login)
}

// TestMongod is what a client sees that was pointed at a shard.
func TestMongod(t *testing.T) {
	srv := Start(t, Options{Config: Config{Mongod: true}})
	r := dialLogin(t, srv, srv.Hosts()[0], AdminDN)
	if m := r.ok("admin", cmd("isMaster", 1)); m["msg"] != nil || m["setName"] != "data" || m["primary"] != m["me"] {
		t.Errorf("isMaster: %v", m)
	}
	r.fails(59, "no such command: 'addShardToZone'", "admin", cmd("addShardToZone", "data", field("zone", "z0")))
	r.fails(59, "no such command: 'hello'", "admin", cmd("hello", 1))
	dialRaw(t, srv, srv.Hosts()[0], service).fails(11, "Could not find user "+service+"@$external", "$external",
		cmd("authenticate", 1, field("mechanism", "MONGODB-X509")))
}

// TestRefused: what is not done is refused, never answered wrongly.
func TestRefused(t *testing.T) {
	srv := Start(t, Options{Config: Config{Shards: []string{}}})
	r := dialLogin(t, srv, srv.Hosts()[0], AdminDN)
	r.fails(70, "", "admin", cmd("enableSharding", "d"))
	pipeline := bson.A{bson.D{field("$set", bson.D{field("a", 1)})}}
	update := func(u any) bson.D {
		return cmd("update", "x", field("updates", bson.A{bson.D{field("q", bson.D{}), field("u", u)}}))
	}
	r.fails(14, "'update.updates.u' is the wrong type 'array', expected type 'object'", "d", update(pipeline))
	r.fails(52, "dollar ($) prefixed field '$set' in '0.$set'", "d", cmd("findAndModify", "x", field("query", bson.D{}), field("update", pipeline)))
	r.fails(238, "stand-in", "d", cmd("find", "x", field("filter", bson.D{field("a", primitive.Regex{Pattern: "a"})})))
	r.fails(2, "unknown operator: $foo", "d", cmd("find", "x", field("filter", bson.D{field("a", bson.D{field("$foo", 1)})})))
	r.fails(9, "Unrecognized field 'nosuch'", "d", cmd("find", "x", field("nosuch", 1)))
	r.fails(2, "", "$external", cmd("saslStart", 1, field("mechanism", "SCRAM-SHA-1")))
	r.fails(238, "stand-in", "d", cmd("aggregate", "x", field("pipeline", bson.A{bson.D{field("$lookup", bson.D{})}}), field("cursor", bson.D{})))
	r.fails(13, "may only be run against the admin database", "d", cmd("listShards", 1))
	if m := r.ok("d", cmd("insert", "x", field("documents", bson.A{bson.D{}}), field("writeConcern", bson.D{field("w", "nosuch")}))); m["writeConcernError"].(bson.M)["code"] != int32(79) {
		t.Errorf("unknown write concern: %v", m)
	}
}

// TestRouters: several listeners are one cluster.
func TestRouters(t *testing.T) {
	srv := Start(t, Options{Routers: 2})
	for i := range 2 {
		uri := options.Client().ApplyURI(srv.RouterURI(i)).SetTLSConfig(srv.TLSConfig(AdminDN))
		coll := srv.AdminClient(uri).Database("d").Collection("c")
		if _, err := coll.InsertOne(t.Context(), bson.D{field("_id", i)}); err != nil {
			t.Fatal(err)
		}
		if n, err := coll.CountDocuments(t.Context(), bson.D{}); err != nil || n != int64(i+1) {
			t.Errorf("router %d sees %d documents, %v", i, n, err)
		}
	}
	if n, err := srv.AdminClient().Database("config").Collection("mongos").CountDocuments(t.Context(), bson.D{}); err != nil || n != 2 {
		t.Errorf("config.mongos: %d, %v", n, err)
	}
}

// TestData: users, roles, zones and documents outlive the process; so does the
// cluster's id.
func TestData(t *testing.T) {
	file := filepath.Join(t.TempDir(), "data")
	authority := must(NewAuthority())(t)
	opt := Options{Authority: authority, Config: Config{DataFile: file}}
	var ids [2]primitive.ObjectID
	for run := range 2 {
		srv := Start(t, opt)
		c := srv.AdminClient()
		var version struct {
			ClusterID primitive.ObjectID `bson:"clusterId"`
		}
		if err := c.Database("config").Collection("version").FindOne(t.Context(), bson.D{}).Decode(&version); err != nil {
			t.Fatal(err)
		}
		ids[run] = version.ClusterID
		if run == 0 {
			if err := c.Database("$external").RunCommand(t.Context(), cmd("createUser", service, field("roles", bson.A{Role("readWrite", "squall")}))).Err(); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Database("squall").Collection("c").InsertOne(t.Context(), bson.D{field("_id", "kept"), field("n", int64(1))}); err != nil {
				t.Fatal(err)
			}
		} else {
			var doc bson.D
			if err := srv.Client(service).Database("squall").Collection("c").FindOne(t.Context(), bson.D{}).Decode(&doc); err != nil || doc[0].Value != "kept" {
				t.Errorf("after the restart: %v, %v", doc, err)
			}
			users := srv.store.find(usersNS).count()
			if users != 2 {
				t.Errorf("%d users: --admin-user must not make another", users)
			}
		}
		if err := srv.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if ids[0] != ids[1] || ids[0].IsZero() {
		t.Errorf("cluster ids %v", ids)
	}
	if err := os.WriteFile(file, []byte("not a snapshot"), 0o600); err != nil {
		t.Fatal(err)
	}
	cert := must(authority.Issue(RouterDN, "localhost"))(t)
	if _, err := New(t.Context(), Config{Certificate: cert, ClientCAs: authority.Chain, DataFile: file}); err == nil {
		t.Error("a broken data file was taken")
	}
}

// TestReplayOutlives: what was sent before a restart of the process is still
// known when it is sent again.
func TestReplayOutlives(t *testing.T) {
	opt := Options{Authority: must(NewAuthority())(t), Config: Config{DataFile: filepath.Join(t.TempDir(), "data")}}
	lsid, other := field("lsid", bson.D{field("id", newUUID())}), field("lsid", bson.D{field("id", newUUID())})
	insert := func(n int64) bson.D {
		return cmd("insert", "c", field("documents", bson.A{bson.D{field("_id", 1)}, bson.D{field("_id", 2)}}), lsid, field("txnNumber", n))
	}
	add := cmd("findAndModify", "c", field("query", bson.D{field("_id", 1)}), field("update", increment), field("new", true), other, field("txnNumber", int64(1)))
	for run := range 3 {
		srv := Start(t, opt)
		r := dialLogin(t, srv, srv.Hosts()[0], AdminDN)
		if m := r.ok("d", insert(5)); m["n"] != int32(2) || m["writeErrors"] != nil {
			t.Errorf("run %d: %v", run, m)
		}
		if v, _ := r.ok("d", add)["value"].(bson.M); v["n"] != int32(1) {
			t.Errorf("run %d: %v", run, v)
		}
		if codes := writeCodes(r.run("d", insert(4))); len(codes) != 1 || codes[0] != 225 {
			t.Errorf("run %d: an older number: %v", run, codes)
		}
		if list, _ := r.ok("local", cmd("listCollections", 1))["cursor"].(bson.M)["firstBatch"].(bson.A); len(list) != 0 {
			t.Errorf("run %d: local has %v", run, list)
		}
		if err := srv.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestSavedSoon: a change is in the file without a shutdown.
func TestSavedSoon(t *testing.T) {
	file := filepath.Join(t.TempDir(), "data")
	srv := Start(t, Options{Config: Config{DataFile: file}})
	if _, err := srv.AdminClient().Database("d").Collection("c").InsertOne(t.Context(), bson.D{field("_id", "needle")}); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; {
		data, err := os.ReadFile(file)
		if err == nil && strings.Contains(string(data), "needle") {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not saved: %v", err)
		}
		<-time.After(20 * time.Millisecond)
	}
}

// TestCertKey reads the forms of full.pem that environments hold.
func TestCertKey(t *testing.T) {
	a := must(NewAuthority())(t)
	cert := must(a.Issue(RouterDN, "localhost"))(t)
	plain := must(PEM(cert))(t)
	block := must(pemutil.Serialize(cert.PrivateKey, pemutil.WithPKCS8(true), pemutil.WithPassword([]byte("secret"))))(t)
	sealed := append(pemBytes(block), plain[strings.Index(string(plain), "-----BEGIN CERT"):]...)
	other := must(PEM(must(a.Issue(service))(t)))(t)
	mixed := append(append([]byte{}, plain[:strings.Index(string(plain), "-----BEGIN CERT")]...), other[strings.Index(string(other), "-----BEGIN CERT"):]...)
	for name, c := range map[string]struct {
		data []byte
		pass string
		ok   bool
	}{
		"plain": {plain, "", true}, "sealed": {sealed, "secret", true}, "no pass": {sealed, "", false},
		"another's key": {mixed, "", false}, "nothing": {nil, "", false},
	} {
		if _, err := ParseCertKey(c.data, []byte(c.pass)); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestTLSVersions: 1.2 works, as old drivers need, 1.1 does not.
func TestTLSVersions(t *testing.T) {
	srv := Start(t, Options{})
	for version, ok := range map[uint16]bool{tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		cfg := srv.TLSConfig(AdminDN)
		cfg.MinVersion, cfg.MaxVersion = tls.VersionTLS10, version
		err := srv.AdminClient(options.Client().SetTLSConfig(cfg).SetServerSelectionTimeout(time.Second)).Ping(t.Context(), nil)
		if (err == nil) != ok {
			t.Errorf("TLS %#x: %v", version, err)
		}
	}
}

// TestCloseIsSwift: Close ends idle, delayed and partitioned connections.
func TestCloseIsSwift(t *testing.T) {
	srv := Start(t, Options{})
	r := dialLogin(t, srv, srv.Hosts()[0], AdminDN)
	defer srv.Inject(Fault{Command: "ping", Delay: time.Hour})()
	r.send("admin", cmd("ping", 1))
	idle := srv.AdminClient()
	if err := idle.Database("admin").RunCommand(t.Context(), cmd("buildInfo", 1)).Err(); err != nil {
		t.Fatal(err)
	}
	srv.Partition()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- srv.Close() }()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-ctx.Done():
		t.Error("Close hangs")
	}
	if _, err := r.receive(); err == nil {
		t.Error("an answer after Close")
	}
}

// TestClientCAs: what the routers' CA file must hold.
func TestClientCAs(t *testing.T) {
	a := must(NewAuthority())(t)
	cut := bytes.Index(a.Chain[1:], []byte("-----BEGIN")) + 1
	for name, c := range map[string]struct {
		cas      []byte
		sendLeaf bool // without the intermediate
		ok       bool
	}{
		"chain":                        {a.Chain, false, true},
		"chain, leaf alone":            {a.Chain, true, true},
		"only the intermediate":        {a.Chain[:cut], false, false},
		"only the root":                {a.Chain[cut:], false, true},
		"only the root and leaf alone": {a.Chain[cut:], true, false},
	} {
		srv := Start(t, Options{Authority: a, Config: Config{ClientCAs: c.cas}})
		cfg := srv.TLSConfig(AdminDN)
		cert := cfg.Certificates[0]
		if c.sendLeaf {
			cert.Certificate = cert.Certificate[:1]
		}
		// Not Certificates: Go would withhold one whose issuer the server does not name.
		cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil }
		err := srv.AdminClient(options.Client().SetTLSConfig(cfg).SetServerSelectionTimeout(500*time.Millisecond)).Ping(t.Context(), nil)
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}
