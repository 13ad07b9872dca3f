package mongotest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/mongo"
	"go.mongodb.org/mongo-driver/mongo/options"
)

// The environment of a real cluster to test against.
const (
	// EnvURI is the connection string of the routers.
	EnvURI = "APORETO_TEST_MONGODB_URI"
	// EnvCerts is a certs directory as `pki init` writes it.
	EnvCerts = "APORETO_TEST_MONGODB_CERTS"
	// EnvKeyPass is the passphrase of the System CA's key in it.
	EnvKeyPass = "APORETO_TEST_MONGODB_KEY_PASS"
)

// Server is a cluster to test against: the stand-in, whose fault methods are at
// hand through the embedded Standin, or a real one, where Standin is nil.
type Server struct {
	*Standin

	tb        testing.TB
	uri       string
	hosts     []string // of the routers
	authority *Authority
	trust     *x509.CertPool
	trustPEM  []byte
	adminDN   string
	certs     map[string]tls.Certificate // by DN
}

// Target gives the real cluster that the environment names (EnvURI, EnvCerts
// and EnvKeyPass; see External), else a fresh stand-in.
func Target(tb testing.TB) *Server {
	tb.Helper()
	return targetOr(tb, Options{})
}

// targetOr is Target with the stand-in's options.
func targetOr(tb testing.TB, opt Options) *Server {
	tb.Helper()
	uri := os.Getenv(EnvURI)
	if uri == "" {
		return Start(tb, opt)
	}
	return External(tb, uri, os.Getenv(EnvCerts), os.Getenv(EnvKeyPass))
}

// URI is the connection string with every router.
func (s *Server) URI() string { return s.uri }

// RouterURI is the connection string of one router.
func (s *Server) RouterURI(index int) string { return uriOf(s.hosts[index]) }

// Hosts are the host:port of the routers.
func (s *Server) Hosts() []string { return s.hosts }

// Admin is the DN of the user with root@admin.
func (s *Server) Admin() string { return s.adminDN }

// Authority issues further client certificates.
func (s *Server) Authority() *Authority { return s.authority }

// TrustPEM is what verifies the routers.
func (s *Server) TrustPEM() []byte { return s.trustPEM }

// Certificate gives a client certificate for a DN, the same one for the same DN.
func (s *Server) Certificate(dn string) tls.Certificate {
	s.tb.Helper()
	if c, ok := s.certs[dn]; ok {
		return c
	}
	c := must(s.authority.Issue(dn))(s.tb)
	s.certs[dn] = c
	return c
}

// TLSConfig is a client's TLS as the subject dn, trusting the routers.
func (s *Server) TLSConfig(dn string) *tls.Config {
	s.tb.Helper()
	return &tls.Config{Certificates: []tls.Certificate{s.Certificate(dn)}, RootCAs: s.trust, MinVersion: tls.VersionTLS12}
}

// Files writes what programs take as --mongodb-ca and --mongodb-cert-key for the
// subject dn into a temporary directory.
func (s *Server) Files(dn string) (caFile, certKeyFile string) {
	s.tb.Helper()
	dir := s.tb.TempDir()
	caFile, certKeyFile = filepath.Join(dir, "ca.crt"), filepath.Join(dir, "full.pem")
	full := must(PEM(s.Certificate(dn)))(s.tb)
	for name, data := range map[string][]byte{caFile: s.trustPEM, certKeyFile: full} {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			s.tb.Fatal(err)
		}
	}
	return caFile, certKeyFile
}

// Client gives a driver's client logged in as dn on first use, disconnected
// when the test ends. Options in more win.
func (s *Server) Client(dn string, more ...*options.ClientOptions) *mongo.Client {
	s.tb.Helper()
	const selection = 10 * time.Second
	opts := append([]*options.ClientOptions{options.Client().ApplyURI(s.uri).SetTLSConfig(s.TLSConfig(dn)).
		SetServerSelectionTimeout(selection)}, more...)
	ctx := context.WithoutCancel(s.tb.Context())
	c := must(mongo.Connect(ctx, opts...))(s.tb)
	s.tb.Cleanup(func() { _ = c.Disconnect(ctx) })
	return c
}

// AdminClient is Client for the admin.
func (s *Server) AdminClient(more ...*options.ClientOptions) *mongo.Client {
	s.tb.Helper()
	return s.Client(s.adminDN, more...)
}

// Role is a role reference.
func Role(role, db string) bson.D { return bson.D{{Key: "role", Value: role}, {Key: "db", Value: db}} }

// CreateUser makes a user in $external with roles, replacing one that is there,
// and drops it when the test ends.
func (s *Server) CreateUser(dn string, roles ...bson.D) {
	s.tb.Helper()
	ctx := context.WithoutCancel(s.tb.Context())
	db := s.AdminClient().Database(externalDB)
	drop := func() { _ = db.RunCommand(ctx, bson.D{{Key: "dropUser", Value: dn}}).Err() }
	drop()
	list := bson.A{}
	for _, r := range roles {
		list = append(list, r)
	}
	if err := db.RunCommand(ctx, bson.D{{Key: "createUser", Value: dn}, {Key: "roles", Value: list}}).Err(); err != nil {
		s.tb.Fatalf("create user %q: %v", dn, err)
	}
	s.tb.Cleanup(drop)
}
