package mongotest

import (
	"context"
	"crypto"
	"crypto/tls"
	"net"
	"strings"
	"testing"
)

// AdminDN is the subject of the environment's admin certificate.
const AdminDN = "CN=mongodb-admin,OU=users,O=mongodb"

// RouterDN is the subject of the routers' certificate; its OU and O are the
// cluster members'.
const RouterDN = "CN=mongodb-router,OU=servers,O=mongodb"

// Options of a stand-in for a test; the zero value is one router of dialect 4.0
// with the admin user made.
type Options struct {
	// Routers is the number of listeners, 1 when 0.
	Routers int
	// RouterKey is the routers' private key; a new P-256 one when nil.
	RouterKey crypto.Signer
	// Mongods runs the members of the shards too, which know no users: of data a
	// primary and a secondary, of reports a primary.
	Mongods bool
	// NoAdmin leaves out the admin user: the state before the owner made one.
	NoAdmin bool
	// RouterDN is the subject of the server certificate; RouterDN when empty.
	RouterDN string
	// Authority issues the certificates; a new one when nil.
	Authority *Authority
	// ServerAuthority, when set, issues the routers' certificate instead (the
	// customer's CA of case two).
	ServerAuthority *Authority
	// Config is passed on; certificate, client CAs and admin are filled in.
	Config Config
}

// Start runs a stand-in on loopback until the test ends.
func Start(tb testing.TB, opt Options) *Server {
	tb.Helper()
	a := opt.Authority
	if a == nil {
		a = must(NewAuthority())(tb)
	}
	serverCA := opt.ServerAuthority
	if serverCA == nil {
		serverCA = a
	}
	dn := opt.RouterDN
	if dn == "" {
		dn = RouterDN
	}
	cfg := opt.Config
	cfg.Certificate = must(serverCA.IssueFor(dn, opt.RouterKey, "127.0.0.1", "localhost"))(tb)
	if cfg.ClientCAs == nil {
		cfg.ClientCAs = a.Chain
	}
	if !opt.NoAdmin && cfg.AdminUser == "" {
		cfg.AdminUser = AdminDN
	}
	if opt.Mongods {
		cfg.Shards = startShards(tb, cfg)
	}
	s := startOne(tb, cfg)
	srv := &Server{Standin: s, tb: tb, authority: a, trust: serverCA.Roots, trustPEM: serverCA.Chain, adminDN: AdminDN,
		certs: map[string]tls.Certificate{}}
	for range max(1, opt.Routers) {
		srv.hosts = append(srv.hosts, listen(tb, s))
	}
	srv.uri = uriOf(srv.hosts...)
	return srv
}

// startOne runs one server until the test ends.
func startOne(tb testing.TB, cfg Config) *Standin {
	tb.Helper()
	// Not the test's own context: that ends before cleanups, which still connect.
	s := must(New(context.WithoutCancel(tb.Context()), cfg))(tb)
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Errorf("close stand-in: %v", err)
		}
	})
	return s
}

// listen adds a listener on loopback and gives its address.
func listen(tb testing.TB, s *Standin) string {
	tb.Helper()
	var lc net.ListenConfig
	l := must(lc.Listen(tb.Context(), "tcp", "127.0.0.1:0"))(tb)
	s.Serve(l)
	return l.Addr().String()
}

// startShards runs the shards' members and gives what Config.Shards says of them.
func startShards(tb testing.TB, cfg Config) []string {
	tb.Helper()
	member := func(set string, secondary bool) string {
		one := Config{Dialect: cfg.Dialect, Mongod: true, Secondary: secondary, ReplicaSet: set, Certificate: cfg.Certificate, ClientCAs: cfg.ClientCAs,
			NoClusterX509: cfg.NoClusterX509}
		return listen(tb, startOne(tb, one))
	}
	return []string{"data/" + member("data", false) + "," + member("data", true), "reports/" + member("reports", false)}
}

func uriOf(hosts ...string) string {
	return "mongodb://" + strings.Join(hosts, ",") + "/?authMechanism=MONGODB-X509&authSource=%24external&tls=true"
}

// must turns a value and an error into the value, ending the test on the error.
func must[T any](v T, err error) func(testing.TB) T {
	return func(tb testing.TB) T {
		tb.Helper()
		if err != nil {
			tb.Fatal(err)
		}
		return v
	}
}
