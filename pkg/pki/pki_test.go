package pki

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/zone"
)

const testID = "6b1c0f1e-7a52-4a55-9d0c-2f1a3f3f7b11"

// authorities issues the three CAs of an environment at now.
func authorities(t *testing.T, now time.Time) map[string]*CA {
	t.Helper()
	out := map[string]*CA{}
	for _, a := range Authorities(testID, DefaultLives()) {
		keyPEM, err := NewKey(a.Algorithm, rand.Reader)
		must(t, err)
		certPEM, err := IssueCA(out[RootCA], keyPEM, a.CARequest, now, rand.Reader)
		must(t, err)
		ca, err := OpenCA(certPEM, keyPEM, nil)
		must(t, err)
		if root := out[RootCA]; root != nil {
			ca.Chain = append(ca.Chain, root.Chain...)
		}
		out[a.Name] = ca
	}
	return out
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func openssl(t *testing.T, args ...string) (string, error) {
	t.Helper()
	out, err := exec.Command("openssl", args...).CombinedOutput()
	return string(out), err
}

func write(t *testing.T, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file.pem")
	must(t, os.WriteFile(path, data, 0o600))
	return path
}

func TestEnvironmentVerifiesWithOpenSSL(t *testing.T) {
	now := time.Now()
	cas := authorities(t, now)
	roots := write(t, EncodeCertificates(cas[RootCA].Chain...))
	chain := write(t, EncodeCertificates(cas[SystemCA].Chain...))
	for _, ca := range cas {
		if out, err := openssl(t, "verify", "-x509_strict", "-CAfile", roots, write(t, EncodeCertificates(ca.Chain[0]))); err != nil {
			t.Errorf("verify %s: %s", Name(ca.Chain[0]), out)
		}
	}
	zones := []zone.Zone{{Name: "default", Namespace: "aporeto-svcs"}, {Name: "Passive", Namespace: "other"}}
	leaves, err := Leaves(zones, []string{"mongo-1:27017,10.1.2.3:27018", "mongo-1:27017,[2001:db8::5]:27017"}, DefaultLives())
	must(t, err)
	var names []string
	for _, leaf := range leaves {
		names = append(names, leaf.Name)
		pair, err := Issue(cas[SystemCA], leaf.Request, now, rand.Reader)
		must(t, err)
		file := write(t, pair.CertPEM)
		args := []string{"verify", "-x509_strict", "-CAfile", chain, "-purpose", "sslclient"}
		if out, err := openssl(t, append(args, file)...); err != nil {
			t.Errorf("verify %s: %s", leaf.Name, out)
		}
		out, err := openssl(t, "x509", "-in", file, "-noout", "-subject", "-nameopt", "RFC2253")
		if err != nil || strings.TrimSpace(out) != "subject="+leaf.Subject.String() {
			t.Errorf("subject of %s: %q, want %q", leaf.Name, out, leaf.Subject)
		}
		if leaf.Name != Router {
			if _, err := openssl(t, "verify", "-CAfile", chain, "-purpose", "sslserver", file); err == nil {
				t.Errorf("%s verifies as a server's", leaf.Name)
			}
			continue
		}
		for host, flag := range map[string]string{
			"mongodb-shard-router": "-verify_hostname", "mongodb-shard-router.aporeto-svcs": "-verify_hostname", "mongodb-shard-router.other": "-verify_hostname",
			"a.mongodb-shard-router.other": "-verify_hostname", "mongo-1": "-verify_hostname",
			"localhost": "-verify_hostname", "127.0.0.1": "-verify_ip", "10.1.2.3": "-verify_ip", "2001:db8::5": "-verify_ip",
		} {
			if out, err := openssl(t, "verify", "-CAfile", chain, "-purpose", "sslserver", flag, host, file); err != nil {
				t.Errorf("verify router for %s: %s", host, out)
			}
		}
		if _, err := openssl(t, "verify", "-CAfile", chain, "-verify_hostname", "mongo-2", file); err == nil {
			t.Error("the router's certificate is good for a host it was not made for")
		}
	}
	if got, want := strings.Join(names, " "), "mongodb-admin mongodb-router gateway-default maintenance-default gateway-passive maintenance-passive"; got != want {
		t.Errorf("leaves %q, want %q", got, want)
	}
	if got := AdminSubject().String(); got != "CN=mongodb-admin,OU=users,O=mongodb" {
		t.Errorf("admin subject %q", got)
	}
}

func TestPublicCAMakesNoClients(t *testing.T) {
	now := time.Now()
	cas := authorities(t, now)
	forged, err := Issue(cas[PublicCA], Request{Subject: AdminSubject(), Usage: Usage{Client: true}, Lifetime: time.Hour}, now, rand.Reader)
	must(t, err)
	chain := write(t, EncodeCertificates(cas[SystemCA].Chain...))
	if out, err := openssl(t, "verify", "-CAfile", chain, "-untrusted", write(t, forged.CertPEM), "-purpose", "sslclient", write(t, forged.CertPEM)); err == nil {
		t.Errorf("a client certificate of the Public CA verifies: %s", out)
	}
}

func TestCertificateFields(t *testing.T) {
	now := time.Now()
	cas := authorities(t, now)
	system := cas[SystemCA]
	pair, err := Issue(system, Request{Subject: ServiceSubject("squall"), Usage: Usage{Client: true}, Lifetime: 100 * year}, now, rand.Reader)
	must(t, err)
	certs, err := ParseCertificates(pair.CertPEM)
	must(t, err)
	leaf := certs[0]
	if len(certs) != 2 || Name(certs[1]) != Name(system.Chain[0]) {
		t.Errorf("chain of %d certificates", len(certs))
	}
	if !leaf.NotAfter.Equal(system.Chain[0].NotAfter) {
		t.Errorf("leaf ends at %s, its CA at %s", leaf.NotAfter, system.Chain[0].NotAfter)
	}
	if d := now.Sub(leaf.NotBefore); d < Skew || d > Skew+2*time.Second {
		t.Errorf("not before is %s back", d)
	}
	if n := leaf.SerialNumber.BitLen(); n < 90 || n > 128 {
		t.Errorf("serial of %d bits", n)
	}
	if len(leaf.SubjectKeyId) == 0 || string(leaf.AuthorityKeyId) != string(system.Chain[0].SubjectKeyId) {
		t.Error("key identifiers are missing or wrong")
	}
	for name, want := range map[string]int{RootCA: 1, SystemCA: 0, PublicCA: 0} {
		if c := cas[name].Chain[0]; c.MaxPathLen != want || !strings.Contains(Name(c), testID) {
			t.Errorf("%s: path length %d, subject %s", name, c.MaxPathLen, Name(c))
		}
	}
	if _, err := Issue(system, Request{Subject: ServiceSubject("squall"), Usage: Usage{Client: true}, Lifetime: year}, now.Add(6*year), rand.Reader); err == nil {
		t.Error("an expired CA signs")
	}
	if _, err := Issue(system, Request{Subject: ServiceSubject(strings.Repeat("x", 65)), Usage: Usage{Client: true}, Lifetime: year}, now, rand.Reader); err == nil {
		t.Error("a common name of 65 characters is accepted")
	}
}

func TestHandshakeOfRouterAndAdmin(t *testing.T) {
	now := time.Now()
	cas := authorities(t, now)
	leaves, err := Leaves(nil, nil, DefaultLives())
	must(t, err)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(EncodeCertificates(cas[RootCA].Chain...))
	certificates := map[string]tls.Certificate{}
	for _, leaf := range leaves {
		pair, err := Issue(cas[SystemCA], leaf.Request, now, rand.Reader)
		must(t, err)
		certificates[leaf.Name], err = tls.X509KeyPair(pair.CertPEM, pair.KeyPEM)
		must(t, err)
	}
	server, client := net.Pipe()
	done := make(chan error, 1)
	go func() {
		s := tls.Server(server, &tls.Config{Certificates: []tls.Certificate{certificates[Router]}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert})
		done <- s.Handshake()
		_ = s.Close()
	}()
	c := tls.Client(client, &tls.Config{Certificates: []tls.Certificate{certificates[Admin]}, RootCAs: pool, ServerName: "localhost"})
	must(t, c.Handshake())
	must(t, <-done)
	_ = c.Close()
}

func TestKeys(t *testing.T) {
	pass := []byte("correct horse")
	for _, algorithm := range []Algorithm{ECDSA, ECDSAP384, RSA} {
		plain, err := NewKey(algorithm, rand.Reader)
		must(t, err)
		secret, err := EncryptKey(plain, pass, rand.Reader)
		must(t, err)
		if back, err := DecryptKey(secret, pass); err != nil || string(back) != string(plain) {
			t.Errorf("%s: decrypted key differs: %v", algorithm, err)
		}
		out, err := openssl(t, "pkey", "-in", write(t, secret), "-passin", "file:"+write(t, pass), "-noout", "-text")
		if err != nil || strings.Contains(string(plain), out) {
			t.Errorf("%s: openssl pkey: %s", algorithm, out)
		}
		for name, data := range map[string][]byte{"wrong": []byte("wrong"), "empty": nil} {
			if _, err := ParseKey(secret, data); !errors.Is(err, ErrPassphrase) || strings.Contains(err.Error(), "horse") {
				t.Errorf("%s: %s passphrase: %v", algorithm, name, err)
			}
		}
	}
	if _, err := EncryptKey([]byte("x"), nil, rand.Reader); err == nil {
		t.Error("an empty passphrase is accepted")
	}
}

// Half of all truncations still decode as PEM in sloppy readers; none may panic or pass.
func TestDamagedPEM(t *testing.T) {
	plain, err := NewKey(ECDSA, rand.Reader)
	must(t, err)
	secret, err := EncryptKey(plain, []byte("p"), rand.Reader)
	must(t, err)
	block, _ := pem.Decode(secret)
	for _, cut := range []int{0, 1, 40, len(secret) / 2, len(secret) - 20} {
		if _, err := ParseKey(secret[:cut], []byte("p")); err == nil {
			t.Errorf("key cut at %d passes", cut)
		}
	}
	// The cipher text one byte short, its lengths made to fit: what would be a panic in the library.
	short := append([]byte(nil), block.Bytes...)
	short = short[:len(short)-1]
	short[2]--
	for i := len(short) - 1; i > 0; i-- { // the OCTET STRING's length octet (139 or so bytes: 0x81 LEN)
		if short[i-1] == 0x81 && int(short[i]) == len(short)-i {
			short[i]--
			break
		}
	}
	if _, err := ParseKey(pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: short}), []byte("p")); err == nil || errors.Is(err, ErrPassphrase) {
		t.Errorf("damaged cipher text: %v", err)
	}
	cert := EncodeCertificates(authorities(t, time.Now())[RootCA].Chain...)
	if _, err := ParseCertificates(cert[:len(cert)-40]); err == nil || !strings.Contains(err.Error(), "truncated") {
		t.Errorf("truncated certificate: %v", err)
	}
	if _, err := ParseCertificates(append(cert, cert[:100]...)); err == nil {
		t.Error("a truncated second certificate passes")
	}
}

func TestLegacyEncryptionIsReadNotWritten(t *testing.T) {
	plain, err := NewKey(RSA, rand.Reader)
	must(t, err)
	legacy, err := openssl(t, "rsa", "-in", write(t, plain), "-aes128", "-traditional", "-passout", "pass:old")
	must(t, err)
	if !strings.Contains(legacy, "DEK-Info") {
		t.Fatalf("openssl wrote no legacy PEM: %s", legacy)
	}
	back, err := DecryptKey([]byte(legacy), []byte("old"))
	if err != nil || string(back) != string(plain) {
		t.Errorf("legacy key: %v", err)
	}
	if _, err := DecryptKey([]byte(legacy), []byte("new")); !errors.Is(err, ErrPassphrase) {
		t.Errorf("wrong passphrase: %v", err)
	}
}

func TestNeedsReissue(t *testing.T) {
	now := time.Now()
	cas, others := authorities(t, now), authorities(t, now)
	req := Request{Subject: RouterSubject(), Usage: Usage{Server: true, Client: true}, DNS: []string{"a", "b"}, IPs: []netip.Addr{netip.MustParseAddr("10.0.0.1")}, Lifetime: year}
	pair, err := Issue(cas[SystemCA], req, now, rand.Reader)
	must(t, err)
	renewedPEM, err := IssueCA(cas[RootCA], mustKey(t, cas[SystemCA]), Authorities(testID, DefaultLives())[1].CARequest, now.Add(time.Hour), rand.Reader)
	must(t, err)
	renewed, err := ParseCertificates(renewedPEM)
	must(t, err)
	system := cas[SystemCA].Chain
	for name, c := range map[string]struct {
		cert   []byte
		change func(*Desired)
		at     time.Time
		want   string // part of the reason; "" = still good
	}{
		"same":           {cert: pair.CertPEM},
		"order and case": {cert: pair.CertPEM, change: func(d *Desired) { d.DNS = []string{"B", "a"} }},
		"missing":        {want: "did not exist"},
		"truncated":      {cert: pair.CertPEM[:len(pair.CertPEM)-30], want: "unreadable"},
		"added host":     {cert: pair.CertPEM, change: func(d *Desired) { d.DNS = []string{"a", "b", "c"} }, want: "+c"},
		"removed host":   {cert: pair.CertPEM, change: func(d *Desired) { d.DNS = []string{"a"} }, want: "-b"},
		"other address":  {cert: pair.CertPEM, change: func(d *Desired) { d.IPs = nil }, want: "-10.0.0.1"},
		"other subject":  {cert: pair.CertPEM, change: func(d *Desired) { d.Subject = AdminSubject() }, want: "subject"},
		"other usage":    {cert: pair.CertPEM, change: func(d *Desired) { d.Usage.Client = false }, want: "usage"},
		"other CA":       {cert: pair.CertPEM, change: func(d *Desired) { d.Issuer = others[SystemCA].Chain }, want: "issuer was not"},
		"renewed CA":     {cert: pair.CertPEM, change: func(d *Desired) { d.Issuer = renewed }, want: "renewed"},
		"two thirds":     {cert: pair.CertPEM, at: now.Add(year * 66 / 100)},
		"last third":     {cert: pair.CertPEM, at: now.Add(year * 67 / 100), want: "120 days"},
		"expired":        {cert: pair.CertPEM, at: now.Add(2 * year), want: "expired"},
		"clock far back": {cert: pair.CertPEM, at: now.Add(-time.Hour), want: "not valid before"},
	} {
		t.Run(name, func(t *testing.T) {
			want, at := Desired{Request: req, Issuer: system}, c.at
			if c.change != nil {
				c.change(&want)
			}
			if at.IsZero() {
				at = now
			}
			reason, stale := NeedsReissue(c.cert, want, at)
			if stale != (c.want != "") || !strings.Contains(reason, c.want) {
				t.Errorf("got %q, %v; want %q", reason, stale, c.want)
			}
		})
	}
}

func mustKey(t *testing.T, ca *CA) []byte {
	t.Helper()
	data, err := marshalKey(ca.Key)
	must(t, err)
	return data
}

func TestParseHosts(t *testing.T) {
	for in, want := range map[string]string{
		"":                                   "",
		"Mongo1:27017, mongo2":               "mongo1 mongo2",
		"10.0.0.1:27017,[::1]:27017,fe80::1": "10.0.0.1 ::1 fe80::1",
		"a_b.svc.cluster.local:1":            "a_b.svc.cluster.local",
		"mongodb://h:1":                      "error",
		"mongodb://h":                        "error", "h:": "error", "h:0": "error", "h:65536": "error",
		"two words:1": "error",
		"-x:1":        "error",
	} {
		dns, ips, err := ParseHosts(in)
		got := dns
		for _, ip := range ips {
			got = append(got, ip.String())
		}
		if err != nil {
			got = []string{"error"}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%q: %q, %v; want %q", in, got, err, want)
		}
	}
}
