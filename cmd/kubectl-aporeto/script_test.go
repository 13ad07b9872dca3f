package main

import (
	"encoding/json"
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongo/mongotest"
)

var update = flag.Bool("update", false, "rewrite the golden parts of the scripts")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"kubectl-aporeto": main})
}

// TestScripts runs every pkg/cli/testdata/script/*.txtar on the program's own main. A script starts in an empty folder with an empty
// kubeconfig ($KUBECONFIG) and a home of its own. Beside testscript's own commands it has
//
//	cluster CONTEXT UID [FILE]
//
// which starts an API server that knows the namespace kube-system, with that UID, and, with FILE, a gateway that answers with FILE's
// content (the word NONCE in it becomes the question's nonce), and adds it to $KUBECONFIG; the first one becomes the current context.
//
//	mongodb [-no-admin] [-dialect VERSION] [-routers N] [-cert FILE -pass FILE]
//
// which starts a stand-in of MongoDB with the certificates of the environment in the current folder (after pki init), and
// puts its routers into $MONGODB as global.database.mongo.host wants them. With -cert the routers show another certificate.
//
//	at-most COMMANDS PROGRAM [ARGUMENT...]
//
// which runs a program that may send that database at most so many commands, the handshakes of connections included; with ! it must fail.
//
//	zone CONTEXT ZONE [ROUTERS]
//
// which is cluster for the zone ZONE with a pod of the gateway, in which aporeto-agent's commands can be run: it has that gateway's
// certificate, and ROUTERS (default: $MONGODB).
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:           filepath.Join("..", "..", "pkg", "cli", "testdata", "script"),
		UpdateScripts: *update,
		Setup: func(env *testscript.Env) error {
			home := filepath.Join(env.WorkDir, ".home")
			env.Setenv("HOME", home)
			env.Setenv("XDG_CONFIG_HOME", filepath.Join(home, ".config"))
			env.Setenv("KUBECONFIG", filepath.Join(env.WorkDir, ".kubeconfig"))
			env.Setenv("NO_COLOR", "1")
			env.Values[standinKey{}] = &atomic.Pointer[mongotest.Standin]{}
			return os.MkdirAll(home, 0o700)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"cluster": startCluster, "mongodb": startMongoDB, "at-most": atMost, "zone": startZone},
	})
}

func startCluster(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || len(args) > 3 {
		ts.Fatalf("usage: cluster CONTEXT UID [FILE]")
	}
	answer := ""
	if len(args) == 3 {
		answer = ts.ReadFile(args[2])
	}
	addCluster(ts, args[0], apiServer(args[1], answer))
}

// addCluster starts an API server and adds it to $KUBECONFIG.
func addCluster(ts *testscript.TestScript, name string, handler http.Handler) {
	server := httptest.NewServer(handler)
	ts.Defer(server.Close)
	path := ts.Getenv("KUBECONFIG")
	config, err := clientcmd.LoadFromFile(path)
	if os.IsNotExist(err) {
		config, err = clientcmdapi.NewConfig(), nil
	}
	ts.Check(err)
	config.Clusters[name] = &clientcmdapi.Cluster{Server: server.URL}
	config.AuthInfos[name] = &clientcmdapi.AuthInfo{Token: "test"}
	config.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: name}
	if config.CurrentContext == "" {
		config.CurrentContext = name
	}
	ts.Check(clientcmd.WriteToFile(*config, path))
}

// apiServer answers what zone add and zone list ask of a cluster, and 404 to all else, as an API server does.
func apiServer(uid, gateway string) http.Handler {
	mux := http.NewServeMux()
	reply := func(w http.ResponseWriter, code int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		_ = json.NewEncoder(w).Encode(v)
	}
	mux.HandleFunc("GET /api/v1/namespaces/kube-system", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, http.StatusOK, map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": "kube-system", "uid": uid}})
	})
	mux.HandleFunc("GET /api/v1/namespaces/{ns}/pods", func(w http.ResponseWriter, _ *http.Request) {
		pods := []any{}
		if gateway != "" {
			pods = append(pods, map[string]any{"metadata": map[string]any{"name": "gateway-1"}})
		}
		reply(w, http.StatusOK, map[string]any{"apiVersion": "v1", "kind": "PodList", "items": pods})
	})
	if gateway != "" {
		mux.HandleFunc("GET /api/v1/namespaces/{ns}/pods/http:gateway-1:9090/proxy/.well-known/aporeto/zone",
			func(w http.ResponseWriter, r *http.Request) {
				var v map[string]any
				if err := json.Unmarshal([]byte(gateway), &v); err != nil {
					http.Error(w, err.Error(), http.StatusInternalServerError)
					return
				}
				if v["nonce"] == "NONCE" {
					v["nonce"] = r.URL.Query().Get("nonce")
				}
				reply(w, http.StatusOK, v)
			})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, http.StatusNotFound, map[string]any{"apiVersion": "v1", "kind": "Status", "status": "Failure", "reason": "NotFound", "code": http.StatusNotFound})
	})
	return mux
}
