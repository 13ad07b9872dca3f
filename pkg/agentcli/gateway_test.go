package agentcli_test

import (
	"context"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/agentcli"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongo/mongotest"
)

// freeAddress is one on loopback that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// TestGateway runs the command as the chart writes it, against a database without a lease: it serves, closed, and ends in order.
func TestGateway(t *testing.T) {
	server := mongotest.Start(t, mongotest.Options{})
	ca, certKey := server.Files("CN=gateway-zone-a,OU=root,O=system")
	routes := filepath.Join(t.TempDir(), "routes.json")
	if err := os.WriteFile(routes, []byte(`{"routes":[{"path":"/","upstream":"http://127.0.0.1:1"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	status, authz := freeAddress(t), freeAddress(t)
	args := []string{
		"gateway", "--environment=env", "--zone=Zone-A", "--replica=aporeto-gateway-0", "--listen=127.0.0.1:0", "--status-listen=" + status,
		"--authz-listen=" + authz, "--tls-cert=" + certKey, "--tls-key=" + certKey, "--routes=" + routes, "--client-ca=" + ca,
		"--client-cert-header=x-tls-client-certificate", "--zone-url=zone-b=https://b.example.com", "--redirect=307", "--drain=1s", "--linger=300ms",
		"--mongodb-uri=" + server.URI(), "--mongodb-ca=" + ca, "--mongodb-cert-key=" + certKey,
	}
	ctx, stop := context.WithCancel(t.Context())
	type end struct {
		code        int
		out, errOut string
	}
	ended := make(chan end, 1)
	go func() {
		code, out, errOut := agent(ctx, args...)
		ended <- end{code, out, errOut}
	}()
	ask := func(url string) int {
		response, err := http.Get(url)
		if err != nil {
			return 0
		}
		response.Body.Close()
		return response.StatusCode
	}
	wait := func(what, url string, want int) {
		deadline := time.Now().Add(20 * time.Second)
		for ask(url) != want {
			if time.Now().After(deadline) {
				t.Fatalf("%s: %s never answered %d", what, url, want)
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	wait("lives", "http://"+status+"/healthz/live", http.StatusOK)
	wait("closed", "http://"+authz+"/authz", http.StatusLocked)
	stop()
	wait("says that it goes, and still answers", "http://"+status+"/healthz/ready", http.StatusServiceUnavailable)
	select {
	case e := <-ended:
		if e.code != 0 || e.out != "" || !strings.Contains(e.errOut, "gateway started") {
			t.Errorf("exit code %d, output %q\n%s", e.code, e.out, e.errOut)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("does not end")
	}
}

func TestGatewayUsage(t *testing.T) {
	server := mongotest.Start(t, mongotest.Options{})
	ca, certKey := server.Files("CN=gateway-zone-a,OU=root,O=system")
	code, _, errOut := agent(t.Context(), "gateway", "--environment=env", "--zone=a", "--tls-cert="+ca, "--tls-key="+ca, "--routes="+ca, "--client-ca="+certKey+".no",
		"--client-cert-header=X-Forwarded-For", "--redirect=301", "--drain=-1s", "--linger=-1s", "--profile=fast", "--zone-url=b=b.example.com",
		"--mongodb-uri="+server.URI(), "--mongodb-ca="+ca, "--mongodb-cert-key="+certKey)
	if code != agentcli.ExitUsage {
		t.Errorf("exit code %d", code)
	}
	for _, want := range []string{"--replica", "--tls-cert", "--routes", "--client-ca", "--client-cert-header", "--redirect 301", "--drain", "--linger", "--profile", "--zone-url b"} {
		if !strings.Contains(errOut, want) {
			t.Errorf("%q is not in\n%s", want, errOut)
		}
	}
	for _, header := range []string{"Host", "X_Cert", "x-forwarded-client-cert", "a b"} {
		if _, _, errOut := agent(t.Context(), "gateway", "--client-cert-header="+header); !strings.Contains(errOut, "--client-cert-header") {
			t.Errorf("header %q was taken", header)
		}
	}
}
