package agentcli_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/agentcli"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongo"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongo/mongotest"
)

// startEndpoint is a global endpoint that leads to zone, and a file with what verifies it.
func startEndpoint(t *testing.T, environment, zone string) (url, caBundle string) {
	t.Helper()
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{
			"environment": environment, "zone": zone, "state": "Active", "epoch": 3, "nonce": r.URL.Query().Get("nonce"),
		})
	}))
	t.Cleanup(s.Close)
	caBundle = filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(caBundle, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return s.URL, caBundle
}

func agent(ctx context.Context, args ...string) (code int, out, errOut string) {
	return agentIn(ctx, nil, nil, args...)
}

// agentIn is agent with an environment of variables and something on stdin.
func agentIn(ctx context.Context, variables map[string]string, in io.Reader, args ...string) (code int, out, errOut string) {
	var stdout, stderr bytes.Buffer
	getenv := func(name string) string { return variables[name] }
	code = agentcli.Main(ctx, &agentcli.Env{In: in, Out: &stdout, ErrOut: &stderr, Getenv: getenv, Version: "v1.2.3"}, args)
	return code, stdout.String(), stderr.String()
}

// job is the command line as the chart writes it.
func job(server *mongotest.Server, t *testing.T, dn, environment, endpoint, caBundle string, more ...string) []string {
	t.Helper()
	ca, certKey := server.Files(dn)
	return append([]string{
		"auto-maintenance", "--environment=" + environment, "--zone=Zone-A", "--endpoint=" + endpoint, "--window=1s", "--interval=100ms",
		"--samples=5", "--threshold=3", "--ca-bundle=" + caBundle, "--mongodb-uri=" + server.URI(), "--mongodb-ca=" + ca, "--mongodb-cert-key=" + certKey,
	}, more...)
}

func TestAutoMaintenance(t *testing.T) {
	server := mongotest.Start(t, mongotest.Options{})
	const dn = "CN=maintenance-zone-a,OU=root,O=system"
	server.CreateUser(dn, mongotest.Role("readWrite", "aporeto_ha"))
	admin := server.Certificate(server.Admin())
	client, err := mongo.Connect(t.Context(), mongo.Options{
		URI: server.URI(), CA: server.TrustPEM(), Certificate: func() (*tls.Certificate, error) { return &admin, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close(context.WithoutCancel(t.Context()))
	record := func(environment string) mongo.Intent {
		t.Helper()
		intent, err := client.IntentStore(environment, "zone-a", 5*time.Second).Intent(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return intent
	}

	t.Run("moves", func(t *testing.T) {
		environment := rand.Text()
		url, ca := startEndpoint(t, environment, "Zone-B")
		code, out, log := agent(t.Context(), job(server, t, dn, environment, url, ca)...)
		doc := record(environment)
		if code != 0 || out != "" || doc.PointsAt != "zone-b" || doc.Seq != 1 || doc.Confirmed < 2 || doc.Epoch != 3 || doc.Version != "v1.2.3" {
			t.Errorf("exit code %d, output %q, record %+v, log:\n%s", code, out, doc, log)
		}
		lines := strings.Split(strings.TrimSpace(log), "\n")
		for _, line := range lines {
			if !json.Valid([]byte(line)) {
				t.Errorf("not a JSON line: %s", line)
			}
		}
		if !strings.Contains(lines[len(lines)-1], `"pointsAt":"zone-b"`) || strings.Count(log, "intent moved") != 1 {
			t.Errorf("log:\n%s", log)
		}
		// A second run of the job does not move again, but confirms.
		code, _, _ = agent(t.Context(), job(server, t, dn, environment, url, ca)...)
		if again := record(environment); code != 0 || again.Seq != 1 || again.Confirmed <= doc.Confirmed {
			t.Errorf("second run: exit code %d, record %+v", code, again)
		}
	})
	t.Run("somebody else's platform", func(t *testing.T) {
		environment := rand.Text()
		url, ca := startEndpoint(t, "another", "zone-b")
		code, _, log := agent(t.Context(), job(server, t, dn, environment, url, ca)...)
		if doc := record(environment); code != 0 || doc.PointsAt != "" || doc.Seq != 0 || len(doc.Resolvers) != 1 || !strings.Contains(log, "foreign-environment") {
			t.Errorf("exit code %d, record %+v, log:\n%s", code, doc, log)
		}
	})
	t.Run("no rights", func(t *testing.T) {
		const stranger = "CN=maintenance-zone-z,OU=root,O=system"
		server.CreateUser(stranger)
		url, ca := startEndpoint(t, "env", "zone-b")
		code, _, log := agent(t.Context(), job(server, t, stranger, "env", url, ca)...)
		if code != agentcli.ExitError || !strings.Contains(log, "not authorized") {
			t.Errorf("exit code %d, log:\n%s", code, log)
		}
	})
	t.Run("asked to end", func(t *testing.T) {
		environment := rand.Text()
		url, ca := startEndpoint(t, environment, "zone-b")
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		began := time.Now()
		code, _, log := agent(ctx, job(server, t, dn, environment, url, ca, "--window=1m")...)
		if code != 0 || time.Since(began) > 3*time.Second {
			t.Errorf("exit code %d after %s, log:\n%s", code, time.Since(began), log)
		}
	})
}

func TestUsage(t *testing.T) {
	server := mongotest.Start(t, mongotest.Options{})
	url, ca := startEndpoint(t, "env", "zone-b")
	mongoCA, certKey := server.Files("CN=maintenance-zone-a,OU=root,O=system")
	good := []string{"auto-maintenance", "--environment=env", "--zone=a", "--endpoint=" + url, "--ca-bundle=" + ca, "--mongodb-uri=" + server.URI(), "--mongodb-ca=" + mongoCA, "--mongodb-cert-key=" + certKey}
	for _, tt := range []struct {
		name string
		args []string
		says []string
	}{
		{"nothing", nil, []string{"no command given", "hint: "}},
		{"unknown command", []string{"autopilot"}, []string{`unknown command "autopilot"`}},
		{"unknown flag", []string{"version", "--short"}, []string{"unknown flag: --short"}},
		{"argument", append(good, "now"), []string{`"now"`}},
		{"all that is missing", []string{"auto-maintenance"}, []string{"--environment", "--zone", "endpoint", "--mongodb-uri", "--mongodb-ca", "--mongodb-cert-key"}},
		{"all that is wrong", append(good, "--zone=a_b", "--endpoint=http://x", "--samples=2", "--interval=1ms", "--timeout=0s", "--resolver=x", "--ca-bundle="+certKey+".no", "--mongodb-cert-key="+ca),
			[]string{`"a_b"`, "is http", "threshold 3", "interval 1ms", "--timeout", `resolver "x"`, "full.pem.no", "--mongodb-cert-key"}},
	} {
		code, out, errOut := agent(t.Context(), tt.args...)
		if code != agentcli.ExitUsage || out != "" {
			t.Errorf("%s: exit code %d, output %q", tt.name, code, out)
		}
		for _, want := range tt.says {
			if !strings.Contains(errOut, want) {
				t.Errorf("%s: %q is not in\n%s", tt.name, want, errOut)
			}
		}
		if strings.Contains(errOut, "PRIVATE KEY") {
			t.Errorf("%s: a key is in\n%s", tt.name, errOut)
		}
	}
	if code, out, _ := agent(t.Context(), "version"); code != 0 || out != "v1.2.3\n" {
		t.Errorf("version: exit code %d, output %q", code, out)
	}
}
