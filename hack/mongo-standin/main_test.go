package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/mongo"
	"go.mongodb.org/mongo-driver/mongo/options"

	"crypto/tls"
	"encoding/pem"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongo/mongotest"
	"go.step.sm/crypto/pemutil"
)

// output is a buffer that the program writes while the test reads.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

var addresses = regexp.MustCompile(`address=(\S+)`)

// TestRun is the program as the sandbox starts it: an encrypted key, two
// routers, the admin made; and its state after a restart.
func TestRun(t *testing.T) {
	a, err := mongotest.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	control := filepath.Join(dir, "control")
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	cert, err := a.Issue(mongotest.RouterDN, "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	key, err := pemutil.Serialize(cert.PrivateKey, pemutil.WithPKCS8(true), pemutil.WithPassword([]byte("secret")))
	if err != nil {
		t.Fatal(err)
	}
	full := pem.EncodeToMemory(key)
	for _, der := range cert.Certificate {
		full = append(full, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	args := []string{"--listen", "127.0.0.1:0,127.0.0.1:0", "--tls-cert-key", write("full.pem", full), "--tls-cert-key-pass-file", write("pass", []byte("secret\n")),
		"--tls-ca", write("ca.pem", a.Chain), "--dialect", "4.0", "--data", filepath.Join(dir, "data"), "--admin-user", mongotest.AdminDN,
		"--trace", filepath.Join(dir, "trace"), "--control", control}
	admin, err := a.Issue(mongotest.AdminDN)
	if err != nil {
		t.Fatal(err)
	}
	for run, want := range []int64{1, 2} {
		ctx, cancel := context.WithCancel(t.Context())
		var stderr output
		done := make(chan error, 1)
		go func() { done <- runProgram(ctx, args, &stderr) }()
		hosts := waitHosts(t, &stderr, done)
		c, err := mongo.Connect(ctx, options.Client().SetHosts(hosts).SetAuth(options.Credential{AuthMechanism: "MONGODB-X509"}).
			SetTLSConfig(&tls.Config{RootCAs: a.Roots, Certificates: []tls.Certificate{admin}, MinVersion: tls.VersionTLS12}))
		if err != nil {
			t.Fatal(err)
		}
		coll := c.Database("d").Collection("c")
		if _, err := coll.InsertOne(ctx, bson.D{{Key: "run", Value: run}}); err != nil {
			t.Fatal(err)
		}
		if n, err := coll.CountDocuments(ctx, bson.D{}); err != nil || n != want {
			t.Errorf("run %d: %d documents, %v", run, n, err)
		}
		// An election is ordered from outside; it is over by itself.
		if err := runProgram(ctx, []string{"--tell", control, "election", "1h"}, &output{}); err != nil {
			t.Error(err)
		}
		limited, end := context.WithTimeout(ctx, 300*time.Millisecond)
		if _, err := coll.InsertOne(limited, bson.D{}); err == nil {
			t.Error("written without a primary")
		}
		end()
		for order, want := range map[string]string{"election": "unknown order", "election -1s": "no duration", "coup 1s": "unknown order"} {
			if err := runProgram(ctx, append([]string{"--tell", control}, strings.Fields(order)...), &output{}); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v", order, err)
			}
		}
		_ = c.Disconnect(ctx)
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	traced, err := os.ReadFile(filepath.Join(dir, "trace"))
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(traced, []byte(`"client":"`+mongotest.AdminDN+`","command":"insert","collection":"c"}`)); n != 2 {
		t.Errorf("the trace has %d inserts, want 2:\n%s", n, traced)
	}
}

func waitHosts(t *testing.T, stderr *output, done <-chan error) []string {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		if m := addresses.FindAllStringSubmatch(stderr.String(), -1); len(m) == 2 {
			return []string{m[0][1], m[1][1]}
		}
		select {
		case err := <-done:
			t.Fatalf("ended: %v\n%s", err, stderr)
		case <-time.After(10 * time.Millisecond):
		}
	}
	t.Fatalf("not listening:\n%s", stderr)
	return nil
}

// TestMistakes: each is one clear line, and nothing is left listening.
func TestMistakes(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "bad.pem")
	if err := os.WriteFile(bad, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, args := range map[string][]string{
		"--tls-cert-key and --tls-ca are required": nil,
		"unexpected argument":                      {"start"},
		"reach the stand-in":                       {"--tell", "/nosuch", "election", "1s"},
		"read certificate":                         {"--tls-cert-key", "/nosuch", "--tls-ca", bad},
		"it must hold a certificate and a key":     {"--tls-cert-key", bad, "--tls-ca", bad},
	} {
		err := runProgram(t.Context(), args, &output{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", args, err, want)
		}
	}
}
