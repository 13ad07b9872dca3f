package mongotest

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/bson/primitive"
	"go.mongodb.org/mongo-driver/mongo"
	"go.mongodb.org/mongo-driver/mongo/options"
)

// patience is a selection timeout that is waited out.
const patience = 1500 * time.Millisecond

// conformHandshake is what a client sees before it logs in.
func conformHandshake(t *testing.T, f *facts) {
	r := dialRaw(t, f.srv, f.host, f.dn("nobody"))
	m := r.ok("admin", cmd("isMaster", 1))
	want := map[string]float64{"maxBsonObjectSize": 16777216, "maxMessageSizeBytes": 48000000, "maxWriteBatchSize": 100000,
		"logicalSessionTimeoutMinutes": 30, "minWireVersion": 0, "ok": 1}
	switch {
	case f.observed():
		want["maxWireVersion"] = 7
	case f.before(4, 4, 0):
		want["maxWireVersion"] = 8
	case f.before(5, 0, 0):
		want["maxWireVersion"] = 9
	}
	for key, n := range want {
		if number(m, key) != n {
			t.Errorf("isMaster: %s is %v, want %v", key, m[key], n)
		}
	}
	if _, isDate := m["localTime"].(primitive.DateTime); m["ismaster"] != true || m["msg"] != "isdbgrid" || !isDate {
		t.Errorf("isMaster: %v", m)
	}
	// Every reply of a sharded cluster also carries the cluster's time.
	known := []string{"ismaster", "msg", "maxBsonObjectSize", "maxMessageSizeBytes", "maxWriteBatchSize", "localTime", "logicalSessionTimeoutMinutes",
		"maxWireVersion", "minWireVersion", "ok", "operationTime", "$clusterTime"}
	if !f.observed() {
		known = append(known, "connectionId")
	}
	if !f.before(4, 4, 0) {
		known = append(known, "topologyVersion")
	}
	for key := range m {
		if !slices.Contains(known, key) && f.before(5, 0, 0) {
			t.Errorf("isMaster tells %s: %v", key, m[key])
		}
	}
	if m := r.ok("admin", cmd("buildInfo", 1)); m["version"] != f.version {
		t.Errorf("buildInfo without a login: %v", m)
	}
	if m := r.run("admin", cmd("noSuchThing", 1)); m["code"] != int32(59) || m["codeName"] != "CommandNotFound" {
		t.Errorf("unknown command: %v", m)
	}

	if f.hasHello() {
		if m := r.ok("admin", cmd("hello", 1)); m["msg"] != "isdbgrid" || m["isWritablePrimary"] != true {
			t.Errorf("hello: %v", m)
		}
		return
	}
	text := ""
	if f.observed() {
		text = "no such cmd: hello"
	}
	r.fails(59, text, "admin", cmd("hello", 1))
	api := options.Client().SetServerAPIOptions(options.ServerAPI(options.ServerAPIVersion1)).SetServerSelectionTimeout(patience)
	if err := f.srv.AdminClient(api).Ping(t.Context(), nil); !mongo.IsTimeout(err) {
		t.Errorf("a client with ServerAPI v1 connected: %v", err)
	}
}

// conformTLS is what goes wrong before the first command.
func conformTLS(t *testing.T, f *facts) {
	var nd net.Dialer
	plain := must(nd.DialContext(t.Context(), "tcp", f.host))(t)
	defer plain.Close()
	_ = plain.SetDeadline(time.Now().Add(20 * time.Second))
	_, _ = plain.Write(encodeOpMsg(t, "admin", cmd("isMaster", 1)))
	if n, err := plain.Read(make([]byte, 16)); n != 0 || !ended(err) {
		t.Errorf("plain TCP: %d bytes, %v", n, err)
	}

	// A client that does not trust the routers learns it only when the whole
	// selection timeout is over.
	other := must(NewAuthority())(t)
	wrong := &tls.Config{RootCAs: other.Roots, Certificates: []tls.Certificate{f.srv.Certificate(f.srv.Admin())}, MinVersion: tls.VersionTLS12}
	start := time.Now()
	c := f.srv.AdminClient(options.Client().SetTLSConfig(wrong).SetServerSelectionTimeout(patience))
	if err := c.Ping(t.Context(), nil); !mongo.IsTimeout(err) || !strings.Contains(err.Error(), "x509") || time.Since(start) < patience {
		t.Errorf("wrong CA: %v after %v", err, time.Since(start))
	}

	// No certificate, one of another CA, and one that Go withholds because the
	// server does not name its issuer, look the same: the connection ends.
	stranger := must(other.Issue(f.dn("stranger")))(t)
	for what, with := range map[string]func(*tls.Config){
		"none":      func(*tls.Config) {},
		"withheld":  func(cfg *tls.Config) { cfg.Certificates = []tls.Certificate{stranger} },
		"foreign":   func(cfg *tls.Config) { cfg.GetClientCertificate = always(stranger) },
		"foreign12": func(cfg *tls.Config) { cfg.GetClientCertificate, cfg.MaxVersion = always(stranger), tls.VersionTLS12 },
	} {
		cfg := &tls.Config{RootCAs: f.srv.TLSConfig(f.srv.Admin()).RootCAs, ServerName: hostName(f.host), MinVersion: tls.VersionTLS12}
		with(cfg)
		err := knock(t, f.host, cfg)
		if err == nil || f.observed() && !ended(err) {
			t.Errorf("client certificate %s: %v, want the connection to end without an alert", what, err)
		}
	}
	bare := &tls.Config{RootCAs: f.srv.TLSConfig(f.srv.Admin()).RootCAs, MinVersion: tls.VersionTLS12}
	err := f.srv.AdminClient(options.Client().SetTLSConfig(bare).SetServerSelectionTimeout(patience)).Ping(t.Context(), nil)
	if err == nil || f.observed() && !strings.Contains(err.Error(), "unexpectedly closed: EOF") && !strings.Contains(err.Error(), "reset by peer") && !strings.Contains(err.Error(), "broken pipe") {
		t.Errorf("a driver without a certificate: %v", err)
	}
}

func always(cert tls.Certificate) func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	return func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil }
}

// knock sends one isMaster and gives the error it meets on the way to an answer.
func knock(t *testing.T, host string, cfg *tls.Config) error {
	t.Helper()
	var nd net.Dialer
	raw := must(nd.DialContext(t.Context(), "tcp", host))(t)
	defer raw.Close()
	_ = raw.SetDeadline(time.Now().Add(20 * time.Second))
	c := tls.Client(raw, cfg)
	if err := c.HandshakeContext(t.Context()); err != nil {
		return err
	}
	if _, err := c.Write(encodeOpMsg(t, "admin", cmd("isMaster", 1))); err != nil {
		return err
	}
	_, err := c.Read(make([]byte, 1))
	return err
}

// ended tells whether the peer closed the connection without a word.
func ended(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

func newKey(kind string) (crypto.Signer, error) {
	switch kind {
	case "RSA":
		return rsa.GenerateKey(rand.Reader, 2048)
	case "P-256":
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "Ed25519":
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	}
	return nil, fmt.Errorf("unknown kind %q", kind)
}

// conformKeys logs in with every kind of key, read from every form of file.
func conformKeys(t *testing.T, f *facts) {
	dn := f.dn("keys")
	f.srv.CreateUser(dn)
	kinds := []string{"RSA", "P-256"}
	if strings.HasPrefix(f.openssl, "OpenSSL 1.0.") || strings.HasPrefix(f.openssl, "OpenSSL 1.1.0") {
		t.Logf("the server runs %s, which has no Ed25519", f.openssl)
	} else {
		kinds = append(kinds, "Ed25519")
	}
	for _, kind := range kinds {
		key := must(newKey(kind))(t)
		cert := must(f.srv.Authority().IssueFor(dn, key))(t)
		chain := append(pemCert(cert.Certificate[0]), pemCert(cert.Certificate[1])...)
		forms := map[string][]byte{"PKCS#8": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(key))(t)})}
		if ec, ok := key.(*ecdsa.PrivateKey); ok {
			forms["SEC1"] = pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: must(x509.MarshalECPrivateKey(ec))(t)})
		}
		for form, text := range forms {
			for order, file := range map[string][]byte{"key first": append(bytes.Clone(text), chain...), "certificate first": append(bytes.Clone(chain), text...)} {
				r := dialAs(t, f.srv, f.host, must(ParseCertKey(file, nil))(t))
				if m := r.run("$external", loginX509); m["user"] != dn {
					t.Errorf("%s, %s, %s: %v", kind, form, order, m)
				}
			}
		}
	}
}

var loginX509 = bson.D{{Key: "authenticate", Value: 1}, {Key: "mechanism", Value: "MONGODB-X509"}}
