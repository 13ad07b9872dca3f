package main

import (
	"context"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/agentcli"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/kube/kubetest"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongo"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongo/mongotest"
)

func startZone(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || len(args) > 3 {
		ts.Fatalf("usage: zone CONTEXT ZONE [ROUTERS]")
	}
	routers := ts.Getenv("MONGODB")
	if len(args) == 3 {
		routers = args[2]
	}
	uri, err := mongo.URI(routers, "")
	ts.Check(err)
	ts.Check(ts.Exec("kubectl-aporeto", "value", "get", "global.certs.gateway."+args[1]+".pass"))
	certificate, err := mongotest.ParseCertKey([]byte(ts.ReadFile("certs/gateway-"+args[1]+"-full.pem")), []byte(strings.TrimSpace(ts.ReadFile("stdout"))))
	ts.Check(err)
	plain, err := mongotest.PEM(certificate)
	ts.Check(err)
	certKey := ts.MkAbs(args[1] + ".pem")
	ts.Check(os.WriteFile(certKey, plain, 0o600))
	variables := map[string]string{"MONGODB_URI": uri, "MONGODB_CA_FILE": ts.MkAbs("certs/ca-chain-system.pem"), "MONGODB_CERT_KEY_FILE": certKey}
	run := func(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
		env := &agentcli.Env{In: stdin, Out: stdout, ErrOut: stderr, Getenv: func(name string) string { return variables[name] }, Version: "test"}
		return agentcli.Main(ctx, env, args[1:])
	}
	mux := http.NewServeMux()
	mux.Handle("/", apiServer("uid-of-"+args[1], ""))
	mux.Handle("GET /api/v1/namespaces/{ns}/pods", kubetest.Pods("aporeto-gateway-"+args[1]))
	mux.Handle("GET /api/v1/namespaces/{ns}/pods/aporeto-gateway-"+args[1]+"/exec", kubetest.Exec(run))
	addCluster(ts, args[0], mux)
}
