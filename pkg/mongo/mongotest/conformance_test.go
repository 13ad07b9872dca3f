package mongotest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/mongo"
)

// facts is what the parts of TestConformance share. Names carry a random
// number: a real cluster is shared, and left as it was found.
type facts struct {
	srv     *Server
	admin   *mongo.Client
	host    string // the router that raw connections go to
	tag     string
	db      string
	version string
	openssl string
}

// TestConformance states what a real 4.0.19 cluster was observed to do, and runs
// against the stand-in or, unchanged, against the cluster of EnvURI. Where
// later servers differ the fact says so by version. What depends on how a cluster
// was set up (one router or several, shards within reach, a client on the
// router's own host) is asked of the cluster first; nothing is skipped.
//
// docs/mongodb.md lists which part states which fact.
func TestConformance(t *testing.T) { conform(t, targetOr(t, Options{Routers: 2, Mongods: true})) }

// TestConformanceDialects holds the stand-in's other dialects to the same facts.
func TestConformanceDialects(t *testing.T) {
	for _, d := range []Dialect{Dialect42, Dialect44} {
		t.Run(string(d), func(t *testing.T) {
			conform(t, Start(t, Options{Routers: 2, Mongods: true, Config: Config{Dialect: d}}))
		})
	}
}

// TestConformanceSetups holds stand-ins that were set up in another way to the
// facts that depend on it.
func TestConformanceSetups(t *testing.T) {
	for name, opt := range map[string]Options{
		"routers without O and OU":      {RouterDN: "CN=router"},
		"routers with DC":               {RouterDN: "CN=router,OU=servers,O=mongodb,DC=example,DC=org"},
		"members by key file":           {Config: Config{NoClusterX509: true}},
		"no localhost exception":        {Config: Config{NoLocalhostBypass: true}},
		"a router's certificate of RSA": {RouterKey: must(newKey("RSA"))(t)},
		"one of Ed25519":                {RouterKey: must(newKey("Ed25519"))(t)},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFacts(t, Start(t, opt))
			t.Run("membership", func(t *testing.T) { conformMembership(t, f) })
			t.Run("localhost", func(t *testing.T) { conformLocalhost(t, f) })
			t.Run("keys", func(t *testing.T) { conformKeys(t, f) })
		})
	}
}

func conform(t *testing.T, srv *Server) {
	t.Helper()
	f := newFacts(t, srv)
	for _, part := range []struct {
		name string
		run  func(*testing.T, *facts)
	}{
		{"handshake", conformHandshake}, {"tls", conformTLS}, {"keys", conformKeys}, {"usersInfo", conformUsersInfo}, {"users", conformUsers},
		{"membership", conformMembership}, {"login", conformLogin}, {"localhost", conformLocalhost}, {"rights", conformRights},
		{"roles", conformRoles}, {"routers", conformRouters}, {"listShards", conformListShards}, {"zones", conformZones},
		{"sharding", conformSharding}, {"shards", conformShards}, {"writes", conformWrites}, {"lease", conformLease},
		{"retryable", conformRetryable}, {"sessions", conformSessions},
	} {
		t.Run(part.name, func(t *testing.T) { part.run(t, f) })
	}
}

func newFacts(t *testing.T, srv *Server) *facts {
	t.Helper()
	f := &facts{srv: srv, admin: srv.AdminClient(), host: address(srv.Hosts()[0]), tag: fmt.Sprintf("%08x", rand.Uint32())}
	f.db = "conformance_" + f.tag
	var info struct {
		Version string `bson:"version"`
		Standin bool   `bson:"standin"`
		OpenSSL struct {
			Running string `bson:"running"`
		} `bson:"openssl"`
	}
	if err := f.admin.Database("admin").RunCommand(t.Context(), cmd("buildInfo", 1)).Decode(&info); err != nil {
		t.Fatal(err)
	}
	f.version, f.openssl = info.Version, info.OpenSSL.Running
	t.Logf("server=%s standin=%t", info.Version, info.Standin)
	t.Cleanup(func() { f.leaveNothing(t) }) // registered first, so it runs after what the parts clean up
	return f
}

// leaveNothing drops the run's database and looks for anything else of this run.
func (f *facts) leaveNothing(t *testing.T) {
	ctx := context.WithoutCancel(t.Context())
	// A balancer at work on a sharded collection may hold the drop up.
	within(t, time.Minute, "drop "+f.db, func() bool { return f.admin.Database(f.db).Drop(ctx) == nil })
	left := func(db string, cmd bson.D) {
		var reply bson.Raw
		if err := f.admin.Database(db).RunCommand(ctx, cmd).Decode(&reply); err != nil || strings.Contains(reply.String(), f.tag) {
			t.Errorf("left on the cluster: %s, %v", reply, err)
		}
	}
	left("$external", cmd("usersInfo", 1))
	left("admin", cmd("usersInfo", 1))
	left(f.db, cmd("rolesInfo", 1))
	left("admin", cmd("listShards", 1))
	left("admin", cmd("listDatabases", 1, field("nameOnly", true)))
	if n, err := f.admin.Database("config").Collection("tags").CountDocuments(ctx, bson.D{field("ns", f.db+".zoned")}); err != nil || n != 0 {
		t.Errorf("left in config.tags: %d, %v", n, err)
	}
}

// before tells whether the server is older than a version.
func (f *facts) before(major, minor, patch int) bool {
	var have [3]int
	_, _ = fmt.Sscanf(f.version, "%d.%d.%d", &have[0], &have[1], &have[2])
	for i, want := range [3]int{major, minor, patch} {
		if have[i] != want {
			return have[i] < want
		}
	}
	return false
}

// observed tells whether the server is of the version that the facts were read
// off; newer ones may word or number an error in another way.
func (f *facts) observed() bool { return f.before(4, 2, 0) }

// hasHello tells whether the server knows hello, which came to the older
// versions late.
func (f *facts) hasHello() bool {
	switch {
	case f.before(4, 2, 0):
		return !f.before(4, 0, 21)
	case f.before(4, 4, 0):
		return !f.before(4, 2, 10)
	}
	return !f.before(4, 4, 2)
}

// dn gives a service user's name that is this run's own.
func (f *facts) dn(name string) string { return "CN=" + name + "-" + f.tag + ",OU=root,O=system" }

// run gives the error of a command by the admin.
func (f *facts) run(t *testing.T, db string, cmd bson.D) error {
	t.Helper()
	return f.admin.Database(db).RunCommand(t.Context(), cmd).Err()
}

// must runs a command by the admin that has to succeed.
func (f *facts) must(t *testing.T, db string, cmd bson.D) {
	t.Helper()
	if err := f.run(t, db, cmd); err != nil {
		t.Fatalf("%s: %v", cmd[0].Key, err)
	}
}

// refused states the code and a part of the text that the observed version
// answers with; of a newer one, only that it refuses.
func (f *facts) refused(t *testing.T, err error, code int, part string) {
	t.Helper()
	if f.observed() {
		wantCode(t, err, code, part)
		return
	}
	var se mongo.ServerError
	if !errors.As(err, &se) {
		t.Errorf("got %v, want the server to refuse (observed: code %d)", err, code)
	}
}

// createUser makes a user that is dropped at the end, and gives the error.
func (f *facts) createUser(t *testing.T, dn string) error {
	t.Helper()
	err := f.run(t, "$external", cmd("createUser", dn, field("roles", bson.A{})))
	if err == nil {
		t.Cleanup(func() {
			_ = f.admin.Database("$external").RunCommand(context.WithoutCancel(t.Context()), cmd("dropUser", dn)).Err()
		})
	}
	return err
}

// peer gives the subject of the router's certificate.
func (f *facts) peer(t *testing.T) string {
	t.Helper()
	cfg := f.srv.TLSConfig(f.srv.Admin())
	cfg.ServerName = hostName(f.host)
	conn := must((&tls.Dialer{Config: cfg}).DialContext(t.Context(), "tcp", f.host))(t)
	defer conn.Close()
	return must(Subject(conn.(*tls.Conn).ConnectionState().PeerCertificates[0]))(t)
}

// address adds MongoDB's port where a host names none.
func address(host string) string {
	if _, _, err := net.SplitHostPort(host); err == nil {
		return host
	}
	return net.JoinHostPort(strings.Trim(host, "[]"), "27017")
}

// hostName is the host of an address.
func hostName(address string) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	return host
}

// number gives a numeric field of a reply, whose type differs by version.
func number(m bson.M, key string) float64 {
	if !isNumber(m[key]) {
		return -1
	}
	return asFloat(m[key])
}
