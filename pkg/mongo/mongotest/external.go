package mongotest

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"go.mongodb.org/mongo-driver/x/mongo/driver/connstring"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/pki"
)

// External gives the cluster at uri as a target. dir holds certificates as
// `pki init` writes them, of which it reads
//
//	ca-signing-system-cert.pem, -key.pem   issue the clients of the tests
//	ca-chain-system.pem                    verifies the routers
//	mongodb-custom-ca.pem                  does so instead, where it exists
//	mongodb-admin-full.pem, or -cert.pem   the admin, who must have root@admin
//
// pass opens the System CA's key. `pki init` gives every key a passphrase of its
// own: when pass does not open the admin's key too, the System CA issues another
// certificate for the same subject, which is the same user.
//
// Of uri only the hosts are used: TLS, login and database are the tests' own.
func External(tb testing.TB, uri, dir, pass string) *Server {
	tb.Helper()
	srv, err := external(uri, dir, []byte(pass))
	if err != nil {
		tb.Fatalf("the cluster of %s: %v", EnvURI, err)
	}
	srv.tb = tb
	return srv
}

func external(uri, dir string, pass []byte) (*Server, error) {
	parsed, err := connstring.Parse(uri) // the text may hold a password: it is in no error
	if err != nil {
		return nil, fmt.Errorf("read connection string: %w", err)
	}
	chain, err := os.ReadFile(filepath.Join(dir, "ca-chain-system.pem")) //nolint:gosec // the tester's own directory
	if err != nil {
		return nil, fmt.Errorf("read certificates: %w", err)
	}
	authority, err := readAuthority(dir, chain, pass)
	if err != nil {
		return nil, err
	}
	srv := &Server{uri: uriOf(parsed.Hosts...), hosts: parsed.Hosts, authority: authority, trustPEM: chain, trust: x509.NewCertPool(),
		certs: map[string]tls.Certificate{}}
	if custom, err := os.ReadFile(filepath.Join(dir, "mongodb-custom-ca.pem")); err == nil { //nolint:gosec // likewise
		srv.trustPEM = custom
	}
	if !srv.trust.AppendCertsFromPEM(srv.trustPEM) {
		return nil, fmt.Errorf("read certificates: %s holds none that verifies the routers", dir)
	}
	admin, err := readAdmin(dir, authority, pass)
	if err != nil {
		return nil, err
	}
	if srv.adminDN, err = Subject(admin.Leaf); err != nil {
		return nil, err
	}
	srv.certs[srv.adminDN] = admin
	return srv, nil
}

// readAuthority opens the System CA.
func readAuthority(dir string, chain, pass []byte) (*Authority, error) {
	ca, err := readCertificate(filepath.Join(dir, "ca-signing-system-cert.pem"))
	if err != nil {
		return nil, err
	}
	name := filepath.Join(dir, "ca-signing-system-key.pem")
	data, err := os.ReadFile(name) //nolint:gosec // likewise
	if err != nil {
		return nil, fmt.Errorf("read the System CA's key: %w", err)
	}
	signer, err := pki.ParseKey(data, pass)
	if err != nil {
		return nil, fmt.Errorf("%s does not open %q (%w): it must be what kubectl aporeto value get global.certs.ca.system.pass prints", EnvKeyPass, name, err)
	}
	return newAuthority(chain, ca, signer), nil
}

// readAdmin gives the admin's certificate, or another one for its subject.
func readAdmin(dir string, authority *Authority, pass []byte) (tls.Certificate, error) {
	full := filepath.Join(dir, "mongodb-admin-full.pem")
	data, err := os.ReadFile(full) //nolint:gosec // likewise
	if err == nil {
		if cert, err := ParseCertKey(data, pass); err == nil {
			return cert, nil
		}
	} else {
		full = filepath.Join(dir, "mongodb-admin-cert.pem")
	}
	leaf, err := readCertificate(full)
	if err != nil {
		return tls.Certificate{}, err
	}
	return authority.issue(leaf.RawSubject, nil)
}

// readCertificate gives the first certificate of a file.
func readCertificate(name string) (*x509.Certificate, error) {
	data, err := os.ReadFile(name) //nolint:gosec // likewise
	if err != nil {
		return nil, fmt.Errorf("read certificate: %w", err)
	}
	certs, err := pki.ParseCertificates(data)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", name, err)
	}
	return certs[0], nil
}
