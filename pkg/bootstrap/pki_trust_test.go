package bootstrap

import (
	"bytes"
	"crypto/rand"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/hint"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/pki"
)

// customCA makes the certificate of a CA that a user would drop in.
func customCA(t *testing.T, cn string, lifetime time.Duration, now time.Time) []byte {
	t.Helper()
	key, err := pki.NewKey(pki.ECDSA, rand.Reader)
	must(t, err)
	ca, err := pki.IssueCA(nil, key, pki.CARequest{Subject: pki.Subject{CommonName: cn}, Lifetime: lifetime}, now, rand.Reader)
	must(t, err)
	return ca
}

// trusted is what a deployment at now gives to the pods, by CN, current ones first.
func trusted(t *testing.T, d *disk, now time.Time) string {
	t.Helper()
	secret, _, err := open(t, d, now).ServiceSecret("squall", nil, nil)
	must(t, err)
	certs, err := pki.ParseCertificates(secret[SecretCA])
	must(t, err)
	var names []string
	for _, cert := range certs {
		names = append(names, cert.Subject.CommonName)
	}
	return strings.Join(names, ", ")
}

func TestCustomCA(t *testing.T) {
	t.Parallel()
	now := time.Now()
	d := newDisk()
	ca := customCA(t, "Customer DB CA", time.Hour, now)
	d.files["certs/mongodb-custom-ca.pem"] = ca
	ensure(t, open(t, d, now), hosts)
	if got := trusted(t, d, now); got != "Customer DB CA" {
		t.Errorf("a new environment with a custom CA trusts %s", got)
	}
	c := open(t, d, now)
	var said []string
	c.Notify = func(s string) { said = append(said, s) }
	for range 2 {
		if trust, err := c.MongoTrust(); err != nil || !bytes.Equal(trust, ca) {
			t.Errorf("trust: %v", err)
		}
	}
	if len(said) != 1 || !strings.Contains(said[0], "CN:Customer DB CA") {
		t.Errorf("said %q", said)
	}
	for name, data := range map[string][]byte{"truncated": ca[:100], "leaf": d.files["certs/mongodb-router-cert.pem"], "empty": []byte("\n"), "expired": customCA(t, "x", time.Hour, now.Add(-2*time.Hour))} {
		d.files["certs/mongodb-custom-ca.pem"] = data
		if _, err := open(t, d, now).MongoTrust(); err == nil || hint.Of(err) == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	d.files["certs/mongodb-custom-ca.pem"] = ca
	d.files["certs/mongodb-trust.pem"] = ca[:100]
	if _, err := open(t, d, now).MongoTrust(); !strings.Contains(hint.Of(err), "git checkout certs/mongodb-trust.pem") {
		t.Errorf("a damaged record: %v", err)
	}
}

// TestTrustOverlaps goes from our routers' certificates to the customer's, to another customer's CA, and back: each time both are trusted
// until the former is dropped, the pods start again exactly when what they trust changes, and every step said twice does nothing.
func TestTrustOverlaps(t *testing.T) {
	t.Parallel()
	now := time.Now()
	d := newDisk()
	generation := func() int { return open(t, d, now).Environment.CertificateGeneration }
	step := func(what, want string, raised int, do func(*Certificates) ([]Change, error)) {
		t.Helper()
		before := generation()
		for run := range 2 {
			changes, err := do(open(t, d, now))
			must(t, err)
			if run == 1 && len(changes) > 0 {
				t.Errorf("%s: the second run did %s", what, words(changes))
			}
		}
		if got := trusted(t, d, now); got != want {
			t.Errorf("%s: trusted are %s, want %s", what, got, want)
		}
		if got := generation() - before; got != raised {
			t.Errorf("%s: generation raised by %d, want %d", what, got, raised)
		}
	}
	deploy := func(c *Certificates) ([]Change, error) { return c.Ensure(t.Context(), hosts) }
	drop := (*Certificates).DropFormer

	step("new", "System CA, Root CA", 0, deploy)
	step("nothing to drop", "System CA, Root CA", 0, drop)
	one := customCA(t, "One", 1000*time.Hour, now)
	d.files["certs/mongodb-custom-ca.pem"] = one
	if got := trusted(t, d, now); got != "One, System CA, Root CA" {
		t.Errorf("before the deploy, the workstation trusts %s", got)
	}
	step("case two", "One, System CA, Root CA", 1, deploy)
	step("dropped", "One", 1, drop)
	step("deploy after it", "One", 0, deploy)
	d.files["certs/mongodb-custom-ca.pem"] = customCA(t, "Two", 1000*time.Hour, now)
	step("another customer's CA", "Two, One", 1, deploy)
	delete(d.files, "certs/mongodb-custom-ca.pem")
	step("back before the first switch was ended", "System CA, Root CA, Two, One", 1, deploy)
	step("dropped", "System CA, Root CA", 1, drop)

	d.files["certs/mongodb-custom-ca.pem"] = one
	step("again", "One, System CA, Root CA", 1, deploy)
	delete(d.files, "certs/mongodb-custom-ca.pem")
	step("taken back", "System CA, Root CA, One", 1, deploy)
	now = now.Add(1001 * time.Hour)
	step("a former CA that expired verifies nothing", "System CA, Root CA", 1, deploy)
}

// TestTrustOfAnOlderEnvironment: one that was deployed before what pods trust was recorded is taken to trust its System CA.
func TestTrustOfAnOlderEnvironment(t *testing.T) {
	t.Parallel()
	now := time.Now()
	d := newDisk()
	ensure(t, open(t, d, now), hosts)
	delete(d.files, "certs/mongodb-trust.pem")
	d.files["certs/mongodb-custom-ca.pem"] = customCA(t, "One", time.Hour, now)
	ensure(t, open(t, d, now), hosts)
	if got := trusted(t, d, now); got != "One, System CA, Root CA" {
		t.Errorf("trusted are %s", got)
	}
	if got := open(t, d, now).Environment.CertificateGeneration; got != 2 {
		t.Errorf("generation %d: the pods do not start again", got)
	}
}

// TestTrustKilledAnywhere: a switch that dies after any of its writes is finished by the next deploy, and at no time is a CA lost that
// routers may still show certificates of.
func TestTrustKilledAnywhere(t *testing.T) {
	t.Parallel()
	now := time.Now()
	d := newDisk()
	ensure(t, open(t, d, now), hosts)
	d.files["certs/mongodb-custom-ca.pem"] = customCA(t, "One", time.Hour, now)
	done := false
	for budget := 0; !done; budget++ {
		trial := newDisk()
		for name, data := range d.files {
			trial.files[name] = slices.Clone(data)
		}
		for key, value := range d.secrets {
			trial.secrets[key] = value
		}
		trial.budget = budget
		_, err := open(t, trial, now).Ensure(t.Context(), hosts)
		if err != nil && !errors.Is(err, errKilled) {
			t.Fatal(err)
		}
		done = err == nil
		trial.budget = -1
		if got := trusted(t, trial, now); got != "One, System CA, Root CA" {
			t.Errorf("after %d writes: %s", budget, got)
		}
		ensure(t, open(t, trial, now), hosts)
		if got := trusted(t, trial, now); got != "One, System CA, Root CA" {
			t.Errorf("after %d writes and another run: %s", budget, got)
		}
		if got := open(t, trial, now).Environment.CertificateGeneration; got < 2 {
			t.Errorf("after %d writes and another run: the pods do not start again", budget)
		}
	}
}
