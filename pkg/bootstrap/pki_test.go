package bootstrap

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/environment"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/hint"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/pki"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/zone"
)

var errKilled = errors.New("killed")

// disk is an environment directory and its secrets in memory. While budget is not negative each write takes one from it, and at 0 the
// process "is killed": every write fails.
type disk struct {
	files   map[string][]byte
	modes   map[string]fs.FileMode
	secrets map[string]string
	budget  int
	writes  []string
}

func (d *disk) spend(what string) error {
	if d.budget == 0 {
		return errKilled
	}
	if d.budget > 0 {
		d.budget--
	}
	d.writes = append(d.writes, what)
	return nil
}

func (d *disk) ReadOptional(name string) ([]byte, error) { return bytes.Clone(d.files[name]), nil }

func (d *disk) Write(name string, data []byte, mode fs.FileMode) error {
	if err := d.spend(name); err != nil {
		return err
	}
	d.files[name], d.modes[name] = data, mode
	return nil
}

func (d *disk) Get(key string) (string, bool, error) {
	value, found := d.secrets[key]
	return value, found, nil
}

func (d *disk) Put(add map[string]string) error {
	if len(add) == 0 {
		return nil
	}
	if err := d.spend("secrets"); err != nil {
		return err
	}
	maps.Copy(d.secrets, add)
	return nil
}

const testID = "6b1c0f1e-7a52-4a55-9d0c-2f1a3f3f7b11"

func newDisk() *disk {
	return &disk{files: map[string][]byte{environment.File: environment.New(testID)}, modes: map[string]fs.FileMode{}, secrets: map[string]string{}, budget: -1}
}

// open is what a new process sees of the disk.
func open(t *testing.T, d *disk, now time.Time, zones ...string) *Certificates {
	t.Helper()
	env, err := environment.Parse(d.files[environment.File])
	must(t, err)
	for _, name := range zones {
		env.Zones = append(env.Zones, zone.Zone{Name: name, Namespace: "ns-" + zone.Key(name)})
	}
	return &Certificates{
		Files: d, Passphrases: d, Environment: env, Now: func() time.Time { return now }, Rand: rand.Reader, Lives: pki.DefaultLives(),
		Notify: func(s string) { t.Log(s) },
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func ensure(t *testing.T, c *Certificates, want Desired) string {
	t.Helper()
	changes, err := c.Ensure(t.Context(), want)
	must(t, err)
	return words(changes)
}

func words(changes []Change) string {
	var out []string
	for _, change := range changes {
		out = append(out, change.Action+" "+change.Name)
	}
	return strings.Join(out, ", ")
}

var hosts = Desired{Hosts: []string{"mongo1:27017,mongo2:27017"}}

// verify puts the disk's files into a directory and lets openssl judge them.
func verify(t *testing.T, d *disk, at time.Time, leaves ...string) {
	t.Helper()
	dir := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(dir, "certs"), 0o700))
	for name, data := range d.files {
		must(t, os.WriteFile(filepath.Join(dir, name), data, 0o600))
	}
	run := func(args ...string) string {
		cmd := exec.Command("openssl", args...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("openssl %s: %s", strings.Join(args, " "), out)
		}
		return string(out)
	}
	run("verify", "-CAfile", "certs/ca-root-cert.pem", "certs/ca-signing-system-cert.pem", "certs/ca-public-cert.pem")
	run("verify", "-CAfile", "certs/ca-chain-public.pem", "certs/ca-public-cert.pem")
	for _, leaf := range leaves {
		run("verify", "-attime", strconv.FormatInt(at.Unix(), 10), "-CAfile", "certs/ca-chain-system.pem", "-purpose", "sslclient", "certs/"+leaf+"-cert.pem", "certs/"+leaf+"-full.pem")
		pass := filepath.Join(dir, "pass")
		must(t, os.WriteFile(pass, []byte(d.secrets[passKey(leaf)]), 0o600))
		fromKey := run("pkey", "-in", "certs/"+leaf+"-key.pem", "-passin", "file:"+pass, "-pubout")
		fromFull := run("pkey", "-in", "certs/"+leaf+"-full.pem", "-passin", "file:"+pass, "-pubout")
		fromCert := run("x509", "-in", "certs/"+leaf+"-cert.pem", "-noout", "-pubkey")
		if fromKey != fromCert || fromFull != fromCert {
			t.Errorf("%s: key and certificate differ", leaf)
		}
		if mode := d.modes["certs/"+leaf+"-key.pem"] | d.modes["certs/"+leaf+"-full.pem"]; mode != 0o600 {
			t.Errorf("%s: mode %s", leaf, mode)
		}
	}
}

// passKey is the passphrase's key of a leaf by name, spelt here once more on purpose: the old tool's names must not drift.
func passKey(leaf string) string {
	return "global.certs." + strings.Replace(leaf, "-", ".", 1) + ".pass"
}

var allOfA = []string{"mongodb-admin", "mongodb-router", "gateway-a", "maintenance-a"}

func TestEnsureReissuesExactlyWhatChanged(t *testing.T) {
	t.Parallel()
	now := time.Now()
	d := newDisk()
	first := ensure(t, open(t, d, now, "a"), hosts)
	want := "issued ca-root, issued ca-signing-system, issued ca-public, written certs/ca-chain-system.pem, written certs/ca-chain-public.pem, written certs/mongodb-trust.pem, " +
		"issued mongodb-admin, issued mongodb-router, issued gateway-a, issued maintenance-a"
	if first != want {
		t.Errorf("first run: %s", first)
	}
	verify(t, d, now, allOfA...)
	before := maps.Clone(d.files)
	for _, step := range []struct {
		name  string
		zones []string
		want  Desired
		after time.Duration
		spoil func()
		does  string
	}{
		{name: "nothing", zones: []string{"a"}, want: hosts},
		{name: "hosts in another order", zones: []string{"a"}, want: Desired{Hosts: []string{"mongo2:1,MONGO1:2"}}},
		{name: "host", zones: []string{"a"}, want: Desired{Hosts: []string{"mongo1,mongo3"}}, does: "reissued mongodb-router"},
		{name: "zone", zones: []string{"a", "b"}, want: Desired{Hosts: []string{"mongo1,mongo3"}}, does: "reissued mongodb-router, issued gateway-b, issued maintenance-b"},
		{name: "zone gone", zones: []string{"a"}, want: hosts, does: "reissued mongodb-router"},
		{name: "forced", zones: []string{"a"}, want: Desired{Hosts: hosts.Hosts, Force: []string{"gateway-a"}},
			does: "raised certificates.generation to 2, reissued gateway-a"},
		{name: "half-written", zones: []string{"a"}, want: hosts, spoil: func() { d.files["certs/gateway-a-cert.pem"] = before["certs/gateway-a-cert.pem"] },
			does: "restored gateway-a"},
		{name: "full file lost", zones: []string{"a"}, want: hosts, spoil: func() { delete(d.files, "certs/mongodb-admin-full.pem") }, does: "restored mongodb-admin"},
		{name: "foreign key", zones: []string{"a"}, want: hosts, spoil: func() {
			delete(d.files, "certs/mongodb-admin-full.pem")
			d.files["certs/mongodb-admin-key.pem"] = d.files["certs/mongodb-router-key.pem"]
			d.secrets[passKey("mongodb-admin")] = d.secrets[passKey("mongodb-router")]
		}, does: "reissued mongodb-admin"},
		{name: "truncated", zones: []string{"a"}, want: hosts, spoil: func() {
			full := d.files["certs/mongodb-admin-full.pem"]
			d.files["certs/mongodb-admin-full.pem"] = full[:len(full)-50]
		}, does: "reissued mongodb-admin"},
		{name: "other passphrase", zones: []string{"a"}, want: hosts, spoil: func() { d.secrets[passKey("mongodb-admin")] = "another" }, does: "reissued mongodb-admin"},
		{name: "passphrase lost", zones: []string{"a"}, want: hosts, spoil: func() { delete(d.secrets, passKey("maintenance-a")) },
			does: "raised certificates.generation to 3, reissued maintenance-a"},
		{name: "root offline", zones: []string{"a"}, want: Desired{Hosts: []string{"mongo4"}}, spoil: func() { delete(d.files, "certs/ca-root-key.pem") }, does: "reissued mongodb-router"},
		{name: "last third", zones: []string{"a"}, want: Desired{Hosts: []string{"mongo4"}}, after: 250 * 24 * time.Hour,
			does: "raised certificates.generation to 4, reissued mongodb-admin, reissued mongodb-router, reissued gateway-a, reissued maintenance-a"},
	} {
		if step.spoil != nil {
			step.spoil()
		}
		d.writes = nil
		if did := ensure(t, open(t, d, now.Add(step.after), step.zones...), step.want); did != step.does {
			t.Errorf("%s: %q, want %q", step.name, did, step.does)
		}
		if step.does == "" && d.writes != nil {
			t.Errorf("%s: wrote %q", step.name, d.writes)
		}
	}
	verify(t, d, now.Add(250*24*time.Hour), allOfA...)
}

// A renewed CA keeps its key: what verified before still does, and the leaves get the new chain.
func TestEnsureRenewsAuthorities(t *testing.T) {
	t.Parallel()
	now := time.Now()
	d := newDisk()
	ensure(t, open(t, d, now, "a"), hosts)
	oldRoot := d.files["certs/ca-root-cert.pem"]
	key := string(d.files["certs/ca-signing-system-key.pem"])
	did := ensure(t, open(t, d, now.Add(4*365*24*time.Hour), "a"), hosts)
	if !strings.HasPrefix(did, "renewed ca-signing-system, renewed ca-public, written certs/ca-chain-system.pem") || !strings.Contains(did, "reissued mongodb-router") {
		t.Errorf("after four years: %s", did)
	}
	if string(d.files["certs/ca-signing-system-key.pem"]) != key || string(d.files["certs/ca-root-cert.pem"]) != string(oldRoot) {
		t.Error("a CA's key or the root was replaced")
	}
	certs, err := pki.ParseCertificates(d.files["certs/mongodb-router-cert.pem"])
	must(t, err)
	roots, middle := x509.NewCertPool(), x509.NewCertPool()
	roots.AppendCertsFromPEM(oldRoot)
	middle.AddCert(certs[1])
	if _, err := certs[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: middle, DNSName: "mongo1", CurrentTime: now.Add(4 * 365 * 24 * time.Hour)}); err != nil {
		t.Error(err)
	}
	delete(d.files, "certs/ca-root-key.pem")
	if _, err := open(t, d, now.Add(11*365*24*time.Hour), "a").Ensure(t.Context(), hosts); err == nil || !strings.Contains(hint.Of(err), "ca-root-key.pem") {
		t.Errorf("an expired root without key: %v, hint %q", err, hint.Of(err))
	}
}

// Killed after every single write, the next run goes on and the last one ends with a whole set.
func TestEnsureKilledAnywhere(t *testing.T) {
	t.Parallel()
	now := time.Now()
	d := newDisk()
	for _, phase := range []struct {
		name   string
		at     time.Time
		want   Desired
		writes int // before each kill
	}{
		{"fresh", now, hosts, 1},
		// Each run here begins by raising the generation, so a second write is what gets it forward.
		{"all leaves end", now.Add(300 * 24 * time.Hour), Desired{Hosts: []string{"mongo9"}}, 2},
	} {
		runs := 0
		for {
			if runs++; runs > 60 {
				t.Fatalf("%s: no end after %d runs, last writes %q", phase.name, runs, d.writes[len(d.writes)-5:])
			}
			d.budget = phase.writes
			_, err := open(t, d, phase.at, "a").Ensure(t.Context(), phase.want)
			if err == nil {
				break
			}
			if !errors.Is(err, errKilled) {
				t.Fatalf("%s, run %d: %v", phase.name, runs, err)
			}
		}
		if runs < 10 {
			t.Errorf("%s: only %d runs, the kill is not simulated", phase.name, runs)
		}
		d.budget = -1
		if did := ensure(t, open(t, d, phase.at, "a"), phase.want); did != "" {
			t.Errorf("%s: not finished: %s", phase.name, did)
		}
		verify(t, d, phase.at, allOfA...)
	}
}

func TestEnsureRefuses(t *testing.T) {
	t.Parallel()
	now := time.Now()
	whole := newDisk()
	ensure(t, open(t, whole, now, "a"), hosts)
	for name, c := range map[string]struct {
		spoil func(d *disk)
		want  Desired
		says  string
	}{
		"passphrase of a CA is wrong": {func(d *disk) { d.secrets["global.certs.ca.system.pass"] = "topsecret" }, Desired{Hosts: []string{"x"}}, "does not open the key"},
		"passphrase of a CA is lost":  {func(d *disk) { delete(d.secrets, "global.certs.ca.system.pass") }, Desired{Hosts: []string{"x"}}, "not recorded"},
		"CA certificate truncated":    {func(d *disk) { d.files["certs/ca-root-cert.pem"] = d.files["certs/ca-root-cert.pem"][:200] }, hosts, "truncated"},
		"CA key truncated": {func(d *disk) {
			d.files["certs/ca-signing-system-key.pem"] = d.files["certs/ca-signing-system-key.pem"][:200]
		}, Desired{Hosts: []string{"x"}}, "truncated"},
		"root certificate gone":        {func(d *disk) { delete(d.files, "certs/ca-root-cert.pem"); delete(d.files, "certs/ca-root-key.pem") }, hosts, "is missing"},
		"malformed host":               {func(*disk) {}, Desired{Hosts: []string{"mongodb://x"}}, "mongodb://x"},
		"unknown name":                 {func(*disk) {}, Desired{Force: []string{"gateway-z"}}, "gateway-z"},
		"CA of another environment":    {func(d *disk) { d.files[environment.File] = environment.New("00000000-0000-4000-8000-000000000000") }, hosts, "another environment"},
		"key of the System CA is away": {func(d *disk) { delete(d.files, "certs/ca-signing-system-key.pem") }, Desired{Hosts: []string{"x"}}, "not here"},
	} {
		d := &disk{files: maps.Clone(whole.files), modes: map[string]fs.FileMode{}, secrets: maps.Clone(whole.secrets), budget: -1}
		c.spoil(d)
		before := maps.Clone(d.files)
		_, err := open(t, d, now, "a").Ensure(t.Context(), c.want)
		if err == nil || !strings.Contains(err.Error(), c.says) || hint.Of(err) == "" {
			t.Errorf("%s: error %v, hint %q", name, err, hint.Of(err))
		}
		for _, secret := range append(slices.Collect(maps.Values(whole.secrets)), "topsecret") {
			if strings.Contains(fmt.Sprint(err)+hint.Of(err), secret) {
				t.Errorf("%s: the error tells a passphrase", name)
			}
		}
		if !maps.EqualFunc(before, d.files, bytes.Equal) {
			t.Errorf("%s: wrote %q", name, d.writes)
		}
	}
}

func TestEnsureStopsWhenInterrupted(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	d := newDisk()
	if _, err := open(t, d, time.Now(), "a").Ensure(ctx, hosts); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestSecretsOfADeployment(t *testing.T) {
	t.Parallel()
	now := time.Now()
	d := newDisk()
	ensure(t, open(t, d, now, "A"), hosts)
	c := open(t, d, now, "A")
	var said []string
	c.Notify = func(s string) { said = append(said, s) }

	admin, err := c.AdminTLS()
	must(t, err)
	if got := pki.Name(admin.Leaf); got != "CN=mongodb-admin,OU=users,O=mongodb" || len(admin.Certificate) != 2 {
		t.Errorf("admin %s, %d certificates", got, len(admin.Certificate))
	}
	trust, err := c.MongoTrust()
	must(t, err)
	if !bytes.Equal(trust, d.files["certs/ca-chain-system.pem"]) {
		t.Error("trust differs from ca-chain-system.pem")
	}
	gateway, err := c.ZoneSecret(Gateway, "a")
	must(t, err)
	if keys := slices.Sorted(maps.Keys(gateway)); strings.Join(keys, " ") != "ca.crt full.pem system-ca.crt tls.crt tls.key" {
		t.Errorf("gateway's keys %q", keys)
	}
	pair, err := tls.X509KeyPair(gateway[SecretFull], gateway[SecretFull])
	must(t, err)
	if got := pki.Name(pair.Leaf); got != "CN=gateway-a,OU=root,O=system" {
		t.Errorf("gateway is %s", got)
	}
	if _, err := c.ZoneSecret(Maintenance, "nowhere"); err == nil || hint.Of(err) == "" {
		t.Errorf("unknown zone: %v", err)
	}

	squall, reason, err := c.ServiceSecret("squall", nil, nil)
	must(t, err)
	if reason != "it did not exist" || len(squall) != 4 {
		t.Errorf("first: %q, %d keys", reason, len(squall))
	}
	again, reason, err := c.ServiceSecret("squall", nil, squall)
	must(t, err)
	if reason != "" || !maps.EqualFunc(again, squall, bytes.Equal) {
		t.Errorf("second: %q", reason)
	}
	for name, spoil := range map[string]func(map[string][]byte) []string{
		"other key":  func(s map[string][]byte) []string { s[SecretKey] = gateway[SecretKey]; return nil },
		"no key":     func(s map[string][]byte) []string { delete(s, SecretKey); return nil },
		"other name": func(s map[string][]byte) []string { s[SecretCert] = gateway[SecretCert]; return nil },
		"https":      func(map[string][]byte) []string { return []string{"squall", "squall.ns.svc"} },
	} {
		existing := maps.Clone(squall)
		names := spoil(existing)
		fresh, reason, err := c.ServiceSecret("squall", names, existing)
		must(t, err)
		if _, err := tls.X509KeyPair(fresh[SecretCert], fresh[SecretKey]); err != nil || reason == "" {
			t.Errorf("%s: reason %q, %v", name, reason, err)
		}
	}

	z := zone.Zone{Name: "A", Namespace: "ns"}
	public, reason, err := c.PublicSecret(z, []string{"a.sandbox.test:443", "10.90.0.11"}, nil)
	must(t, err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(public[SecretCA])
	certs, err := pki.ParseCertificates(public[SecretCert])
	must(t, err)
	for _, host := range []string{"a.sandbox.test", "10.90.0.11", "aporeto-gateway.ns.svc"} {
		if _, err := certs[0].Verify(x509.VerifyOptions{Roots: roots, DNSName: host}); err != nil || reason == "" {
			t.Errorf("public %s: %v", host, err)
		}
	}
	if _, reason, err := c.PublicSecret(z, []string{"10.90.0.11", "a.sandbox.test"}, public); reason != "" || err != nil {
		t.Errorf("public again: %q, %v", reason, err)
	}
	d.files["certs/public/a/tls.crt"], d.files["certs/public/a/tls.key"] = public[SecretCert], public[SecretKey]
	own, _, err := c.PublicSecret(z, []string{"b.sandbox.test"}, nil)
	if err != nil || !bytes.Equal(own[SecretCert], public[SecretCert]) || len(said) != 1 || !strings.Contains(said[0], "b.sandbox.test") {
		t.Errorf("the user's own: %v, said %q", err, said)
	}
	d.files["certs/public/a/tls.key"] = squall[SecretKey]
	if _, _, err := c.PublicSecret(z, nil, nil); err == nil {
		t.Error("a foreign key passes")
	}
}
