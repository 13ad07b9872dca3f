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
	cert := flags.String("cert", "", "certificate and key of the routers, instead of the environment's")
	pass := flags.String("pass", "", "file with the passphrase of that key")
	if neg || flags.Parse(args) != nil || flags.NArg() > 0 {
		ts.Fatalf("usage: mongodb [-no-admin] [-dialect VERSION] [-routers N] [-cert FILE -pass FILE]")
	}
	if *cert == "" {
		ts.Check(ts.Exec("kubectl-aporeto", "value", "get", "global.certs.mongodb.router.pass"))
		*cert, *pass = "certs/mongodb-router-full.pem", "stdout"
	}
	certificate, err := mongotest.ParseCertKey([]byte(ts.ReadFile(*cert)), []byte(strings.TrimSpace(ts.ReadFile(*pass))))
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
