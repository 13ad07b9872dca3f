package agentcli_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/agentcli"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongo/mongotest"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongocheck"
)

// TestRelay reaches the configured routers and nothing else. That bytes pass is pkg/relay's test.
func TestRelay(t *testing.T) {
	server := mongotest.Start(t, mongotest.Options{})
	router := server.Hosts()[0]
	for _, c := range []struct {
		name, uri, address string
		code               int
		out                string
	}{
		{"the router", server.URI(), router, agentcli.ExitOK, `{"relay":1}`},
		{"another host", server.URI(), "127.0.0.1:22", agentcli.ExitError, `"kind":"NotARouter","text":"it is none of the zone's MongoDB routers, ` + router + `"`},
		{"a router that is down", "mongodb://127.0.0.1:1/?tls=true", "127.0.0.1:1", agentcli.ExitError, `"kind":"ConnectionRefused"`},
		{"the port left out", "mongodb://MONGO-1.invalid/?tls=true", "mongo-1.invalid:27017", agentcli.ExitError, `"kind":"NameNotFound"`},
		{"nothing configured", "", router, agentcli.ExitUsage, ""},
	} {
		code, out, errOut := agentIn(t.Context(), map[string]string{"MONGODB_URI": c.uri}, strings.NewReader(""), "relay", c.address)
		if code != c.code || !strings.Contains(out, c.out) || (out == "") != (c.out == "") || c.code == agentcli.ExitError && errOut != "" {
			t.Errorf("%s: exit %d, %q, %q", c.name, code, out, errOut)
		}
	}
	if code, _, errOut := agentIn(t.Context(), nil, nil, "relay"); code != agentcli.ExitUsage || !strings.Contains(errOut, "error: ") {
		t.Errorf("without an address: exit %d, %s", code, errOut)
	}
}

func TestMongoDBView(t *testing.T) {
	server := mongotest.Start(t, mongotest.Options{Routers: 2})
	const gateway = "CN=gateway-zone-a,OU=root,O=system"
	server.CreateUser(gateway, mongotest.Role("readWrite", "aporeto_ha"))
	ca, certKey := server.Files(gateway)
	variables := map[string]string{"MONGODB_URI": server.URI(), "MONGODB_CA_FILE": ca, "MONGODB_CERT_KEY_FILE": certKey}
	code, out, errOut := agentIn(t.Context(), variables, nil, "mongodb-view", "--environment=env")
	var view mongocheck.View
	if err := json.Unmarshal([]byte(out), &view); err != nil || code != agentcli.ExitOK || errOut != "" {
		t.Fatalf("exit %d, %v, %s", code, err, errOut)
	}
	if len(view.Routers) != 2 {
		t.Fatalf("%+v", view)
	}
	for _, r := range view.Routers {
		if r.User != gateway || len(r.Troubles) > 0 || r.Login == nil || r.Login.Err != "" || r.Read == nil || r.Read.Err != "" || r.Write == nil || r.Write.Err != "" || r.RoundTrip <= 0 {
			t.Errorf("%+v", r)
		}
	}
	code, _, errOut = agentIn(t.Context(), nil, nil, "mongodb-view")
	for _, want := range []string{"--environment", "--mongodb-uri", "--mongodb-ca", "--mongodb-cert-key"} {
		if code != agentcli.ExitUsage || !strings.Contains(errOut, want) {
			t.Errorf("exit %d without %s: %s", code, want, errOut)
		}
	}
}
