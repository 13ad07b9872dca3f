package main

import (
	"context"
	"flag"
	"net"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongo/mongotest"
)

func startMongoDB(ts *testscript.TestScript, neg bool, args []string) {
	flags := flag.NewFlagSet("mongodb", flag.ContinueOnError)
	noAdmin := flags.Bool("no-admin", false, "without the admin's user")
	dialect := flags.String("dialect", "4.0", "server version")
	routers := flags.Int("routers", 1, "routers")
	if neg || flags.Parse(args) != nil || flags.NArg() > 0 {
		ts.Fatalf("usage: mongodb [-no-admin] [-dialect VERSION] [-routers N]")
	}
	ts.Check(ts.Exec("kubectl-aporeto", "value", "get", "global.certs.mongodb.router.pass"))
	certificate, err := mongotest.ParseCertKey([]byte(ts.ReadFile("certs/mongodb-router-full.pem")), []byte(strings.TrimSpace(ts.ReadFile("stdout"))))
	ts.Check(err)
	config := mongotest.Config{
		Dialect: mongotest.Dialect(*dialect), Certificate: certificate, ClientCAs: []byte(ts.ReadFile("certs/ca-chain-system.pem")),
	}
	if !*noAdmin {
		config.AdminUser = mongotest.AdminDN
	}
	server, err := mongotest.New(context.Background(), config)
	ts.Check(err)
	ts.Defer(func() { ts.Check(server.Close()) })
	var hosts []string
	for range *routers {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		ts.Check(err)
		server.Serve(listener)
		hosts = append(hosts, listener.Addr().String())
	}
	ts.Setenv("MONGODB", strings.Join(hosts, ","))
}
