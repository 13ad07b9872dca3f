package kube

import (
	"context"
	"fmt"
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

func TestGatewayReplicas(t *testing.T) {
	const (
		pods   = "/api/v1/namespaces/ns/pods"
		status = `{"kind":"Status","apiVersion":"v1","status":"Failure","message":"because","code":%d}`
	)
	list := func(names ...string) string {
		var items []string
		for _, name := range names {
			items = append(items, `{"metadata":{"name":"`+name+`"}}`)
		}
		return `{"kind":"PodList","apiVersion":"v1","items":[` + strings.Join(items, ",") + `]}`
	}
	type answer struct {
		code int
		body string
	}
	active := answer{200, `{"environment":"e","zone":"a","state":"Active","epoch":7,"nonce":"n"}`}
	tests := map[string]struct {
		list    answer
		pods    map[string]answer
		states  []string // of each replica; "" for one that could not be asked
		problem string   // of all, or of the replicas that could not be asked
	}{
		"active":         {answer{200, list("p")}, map[string]answer{"p": active}, []string{"Active"}, ""},
		"no replica":     {answer{200, list()}, nil, nil, ""},
		"no right":       {answer{403, fmt.Sprintf(status, 403)}, nil, nil, "list the gateway's pods of zone a"},
		"one is ending":  {answer{200, list("p", "q")}, map[string]answer{"p": {503, fmt.Sprintf(status, 503)}, "q": active}, []string{"", "Active"}, "the API server says: because"},
		"somebody else":  {answer{200, list("p")}, map[string]answer{"p": {200, `<html>`}}, []string{""}, "ask pod p: invalid character"},
		"another's port": {answer{200, list("p")}, map[string]answer{"p": {404, `not found`}}, []string{""}, "ask pod p: answers 404"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := clusterAt(t, func(w http.ResponseWriter, r *http.Request) {
				pod, rest, proxied := strings.Cut(strings.TrimPrefix(r.URL.Path, pods+"/http:"), ":9090/proxy")
				a := tt.list
				switch {
				case proxied && rest == gatewayIdentity && r.URL.Query().Get("nonce") == "n":
					a = tt.pods[pod]
				case proxied && rest == gatewayEligible:
					a = answer{503, "no quorum"}
				case r.URL.Path != pods:
					t.Errorf("asked %s", r.URL)
				}
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(a.code)
				_, _ = w.Write([]byte(a.body))
			})
			got, err := c.GatewayReplicas(t.Context(), "n")
			if (err == nil) == (tt.states == nil && tt.problem != "") || err != nil && !strings.Contains(err.Error(), tt.problem) {
				t.Fatalf("got %+v, %v", got, err)
			}
			if len(got) != len(tt.states) {
				t.Fatalf("got %+v", got)
			}
			for i, state := range tt.states {
				switch r := got[i]; {
				case state == "":
					if r.Answer != nil || r.Err == nil || !strings.Contains(r.Err.Error(), tt.problem) {
						t.Errorf("got %+v", r)
					}
				case r.Err != nil || r.Answer.State != state || r.Answer.Epoch != 7 || r.Answer.Nonce != "n" || r.Eligible == nil || *r.Eligible || r.Reason != "no quorum":
					t.Errorf("got %+v", r)
				}
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
