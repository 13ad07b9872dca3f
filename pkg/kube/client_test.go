package kube

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/hint"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/zone"
)

func kubeconfig(t *testing.T, server string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config")
	text := `{apiVersion: v1, kind: Config, clusters: [{name: c, cluster: {server: "` + server + `"}}], users: [{name: u, user: {token: x}}],
contexts: [{name: east-admin, context: {cluster: c, user: u, namespace: other}}, {name: west-admin, context: {cluster: c, user: u}}]}`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestOpen(t *testing.T) {
	path := kubeconfig(t, "https://192.0.2.1:6443")
	client, err := Open(zone.Zone{Context: "east-admin", Namespace: "aporeto"}, path)
	if err != nil {
		t.Fatal(err)
	}
	if namespace, _, err := client.ToRawKubeConfigLoader().Namespace(); namespace != "aporeto" || err != nil {
		t.Errorf("namespace %q, %v: not the zone's", namespace, err)
	}
	if client.config.Timeout == 0 || client.config.QPS < 50 || client.stream.Timeout != 0 {
		t.Errorf("timeout %s, QPS %v; watches end after %s", client.config.Timeout, client.config.QPS, client.stream.Timeout)
	}
	_, err = Open(zone.Zone{Context: "south"}, path)
	if err == nil || !strings.Contains(hint.Of(err), "east-admin, west-admin") {
		t.Errorf("unknown context: %v, hint %q", err, hint.Of(err))
	}
	// A zone's own kubeconfig is stronger than the flag.
	if _, err := Open(zone.Zone{Context: "east-admin", Kubeconfig: path}, "/does/not/exist"); err != nil {
		t.Error(err)
	}
}

func TestUnreachable(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { silent.Close() }) // accepts, by its backlog, and never answers
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	for name, address := range map[string]string{"refuses": closed.Addr().String(), "is silent": silent.Addr().String()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, err := Open(zone.Zone{Name: "east", Context: "east-admin"}, kubeconfig(t, "https://"+address))
			if err != nil {
				t.Fatal(err)
			}
			begun := time.Now()
			_, err = client.UID(t.Context())
			if !IsUnreachable(err) || hint.Of(err) != "kubectl --context east-admin get nodes" {
				t.Errorf("got %v, hint %q", err, hint.Of(err))
			}
			if took := time.Since(begun); took > 10*time.Second {
				t.Errorf("took %s", took)
			}
		})
	}
}
