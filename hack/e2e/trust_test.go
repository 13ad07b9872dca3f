//go:build e2e

package e2e

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.step.sm/crypto/pemutil"
)

// customerCA changes the routers of a live environment to certificates of the customer's CA, and back, while every request is served.
func (l *lab) customerCA(t *testing.T, from, _ string) {
	work := t.TempDir()
	file := func(name string) string { return filepath.Join(work, name) }
	if err := os.WriteFile(file("pass"), []byte("customer's own\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	custom := filepath.Join(l.env, "certs/mongodb-custom-ca.pem")
	if r := l.run(t, time.Minute, "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
		"-subj", "/O=Customer/CN=Customer DB CA", "-keyout", file("ca.key"), "-out", custom); r.code != 0 {
		t.Fatal(r.stderr)
	}
	// As the customer issues it, by hand.
	l.must(t, "pki", "issue", "--auth-server", "--auth-client", "--algo", "rsa", "--org", "customer", "--org-unit", "databases", "--name", "external-mongodb",
		"--ip", "10.90.0.50", "--dns", "mongo.customer.test", "--pass-file", file("pass"), "--signing-cert", custom, "--signing-cert-key", file("ca.key"), "--out", work)

	h := startHammer(t, from)
	r := l.aporeto(t, "deploy", "--all-zones")
	if r.code != 0 || !strings.Contains(r.stderr, "custom CA for the MongoDB routers with CN:Customer DB CA") || !strings.Contains(r.stderr, "or, as before, of CN:System CA") {
		t.Fatalf("deploy with the customer's CA: exit %d\n%s", r.code, r.stderr)
	}
	l.podsTrust(t, "Customer DB CA, System CA, Root CA")
	l.routersShow(t, "former")
	if r := l.aporeto(t, "pki", "trust", "--drop-former", "--yes"); r.code != 1 || !strings.Contains(r.stderr, "2 of 2 routers do not show a certificate of CN:Customer DB CA") {
		t.Errorf("dropped too early: exit %d\n%s", r.code, r.stderr)
	}
	l.sandbox(t, "routers", file("external-mongodb-full.pem"), file("pass"))
	l.routersShow(t, "current")
	l.must(t, "pki", "trust", "--drop-former", "--yes")

	// And back: the deploy that ends the trust in the System CA is this one, which begins it again.
	if err := os.Remove(custom); err != nil {
		t.Fatal(err)
	}
	l.must(t, "deploy", "--all-zones")
	l.podsTrust(t, "System CA, Root CA, Customer DB CA")
	l.routersShow(t, "former")
	l.must(t, "pki", "regen", "mongodb-router")
	pass := l.must(t, "value", "get", "global.certs.mongodb.router.pass")
	if err := os.WriteFile(file("router.pass"), []byte(pass), 0o600); err != nil {
		t.Fatal(err)
	}
	l.sandbox(t, "routers", filepath.Join(l.env, "certs/mongodb-router-full.pem"), file("router.pass"))
	l.routersShow(t, "current")
	l.must(t, "pki", "trust", "--drop-former", "--yes")
	l.must(t, "deploy", "--all-zones")
	l.podsTrust(t, "System CA, Root CA")
	h.finish(t, "the customer's CA and back")
}

// routersShow fails unless every router shows a certificate that is verified so.
func (l *lab) routersShow(t *testing.T, want string) {
	t.Helper()
	var list struct {
		Kind  string
		Items []struct{ Router, Trust, Reason string }
	}
	if err := json.Unmarshal([]byte(l.must(t, "pki", "trust", "-o", "json")), &list); err != nil || len(list.Items) != 2 {
		t.Fatalf("pki trust: %v %+v", err, list)
	}
	for _, item := range list.Items {
		if item.Trust != want {
			t.Fatalf("router %s: %s (%s), want %s", item.Router, item.Trust, item.Reason, want)
		}
	}
}

// podsTrust fails unless the Secrets of services, gateway and job have these CAs in every zone, by CN in order.
func (l *lab) podsTrust(t *testing.T, want string) {
	t.Helper()
	for zone := range gateways {
		for _, secret := range []string{"aporeto-mongodb-ledger", "aporeto-gateway-mongodb", "aporeto-maintenance-mongodb"} {
			data, err := base64.StdEncoding.DecodeString(l.kubectl(t, zone, "get", "secret", secret, "-o", `jsonpath={.data.ca\.crt}`))
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			certs, err := pemutil.ParseCertificateBundle(data)
			if err != nil {
				t.Fatal(err)
			}
			for _, cert := range certs {
				names = append(names, cert.Subject.CommonName)
			}
			if got := strings.Join(names, ", "); got != want {
				t.Errorf("%s, Secret %s: %s, want %s", zone, secret, got, want)
			}
		}
	}
}
