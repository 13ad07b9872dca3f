package bootstrap

import (
	"bytes"
	"crypto/tls"
	"testing"
	"time"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/pki"
)

// TestShellFiles: what a MongoDB shell is given verifies the routers as our own connections do, in every state of the trust.
func TestShellFiles(t *testing.T) {
	t.Parallel()
	now := time.Now()
	d := newDisk()
	ensure(t, open(t, d, now), hosts)
	file := func(want string) {
		t.Helper()
		got, err := open(t, d, now).MongoTrustFile()
		must(t, err)
		if got != want {
			t.Errorf("trust is read from %s, want %s", got, want)
		}
		trust, err := open(t, d, now).MongoTrust()
		must(t, err)
		certs, err := pki.ParseCertificates(d.files[got])
		must(t, err)
		if !bytes.Equal(pki.EncodeCertificates(certs...), trust) {
			t.Errorf("%s does not hold what our own connections trust", got)
		}
	}
	file("certs/ca-chain-system.pem")
	d.files["certs/mongodb-custom-ca.pem"] = customCA(t, "Customer DB CA", time.Hour, now)
	ensure(t, open(t, d, now), hosts) // both are trusted until the former is dropped
	file("certs/mongodb-trust.pem")
	_, err := open(t, d, now).DropFormer()
	must(t, err)
	file("certs/mongodb-custom-ca.pem")

	full, err := open(t, d, now).AdminPEM()
	must(t, err)
	if _, err := tls.X509KeyPair(full, full); err != nil {
		t.Errorf("certificate and key without a passphrase: %v", err)
	}
}
