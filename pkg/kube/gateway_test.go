package kube

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/zone"
)

// clusterAt returns a client whose API server is handle.
func clusterAt(t *testing.T, handle http.HandlerFunc) *Client {
	t.Helper()
	server := httptest.NewServer(handle)
	t.Cleanup(server.Close)
	config := clientcmdapi.NewConfig()
	config.Clusters["c"] = &clientcmdapi.Cluster{Server: server.URL}
	config.AuthInfos["u"] = &clientcmdapi.AuthInfo{}
	config.Contexts["c"] = &clientcmdapi.Context{Cluster: "c", AuthInfo: "u"}
	file := t.TempDir() + "/kubeconfig"
	if err := clientcmd.WriteToFile(*config, file); err != nil {
		t.Fatal(err)
	}
	c, err := Open(zone.Zone{Name: "a", Context: "c", Namespace: "ns", Kubeconfig: file}, "")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestAskGateway(t *testing.T) {
	const path = "/api/v1/namespaces/ns/services/http:aporeto-gateway-status:status/proxy/.well-known/aporeto/zone"
	tests := map[string]struct {
		code  int
		body  string
		state string // "" with ok: no gateway there
		ok    bool
	}{
		"active":        {200, `{"environment":"e","zone":"a","state":"Active","epoch":7,"nonce":"n"}`, "Active", true},
		"not installed": {404, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","code":404}`, "", true},
		"no replica":    {503, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"ServiceUnavailable","code":503}`, "", false},
		"no right":      {403, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","code":403}`, "", false},
		"somebody else": {200, `<html>`, "", false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := clusterAt(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != path || r.URL.Query().Get("nonce") != "n" {
					t.Errorf("asked %s", r.URL)
				}
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(tt.code)
				_, _ = w.Write([]byte(tt.body))
			})
			got, err := c.AskGateway(t.Context(), "n")
			switch {
			case (err == nil) != tt.ok:
				t.Errorf("got %+v, %v", got, err)
			case err == nil && tt.state == "" && got != nil:
				t.Errorf("got %+v, want none", got)
			case tt.state != "" && (got == nil || got.State != tt.state || got.Epoch != 7 || got.Nonce != "n"):
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestClusterUID(t *testing.T) {
	c := clusterAt(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/api/v1/namespaces/kube-system" {
			t.Errorf("asked %s", r.URL)
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"kind":"Namespace","apiVersion":"v1","metadata":{"name":"kube-system","uid":"u-1"}}`))
	})
	config, err := c.ToRESTConfig()
	if err != nil {
		t.Fatal(err)
	}
	if uid, err := ClusterUID(t.Context(), config); uid != "u-1" || err != nil {
		t.Errorf("got %q, %v", uid, err)
	}
}

func TestClusterUIDEndsWithTheContext(t *testing.T) {
	c := clusterAt(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	config, err := c.ToRESTConfig()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := ClusterUID(ctx, config); err == nil || !strings.Contains(err.Error(), "kube-system") {
		t.Errorf("got %v", err)
	}
}
