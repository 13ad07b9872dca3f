package main

import (
	"context"
	"flag"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

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
	if standin, ok := ts.Value(standinKey{}).(*atomic.Pointer[mongotest.Standin]); ok {
		standin.Store(server)
	}
	var hosts []string
	for range *routers {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		ts.Check(err)
		server.Serve(listener)
		hosts = append(hosts, listener.Addr().String())
	}
	ts.Setenv("MONGODB", strings.Join(hosts, ","))
}

// standinKey is under which a script keeps its database.
type standinKey struct{}

// atMost runs a program that may send the database so many commands, handshakes included. On a machine that stalls a router answers late
// and the next one is asked too: the best of a few runs counts.
func atMost(ts *testscript.TestScript, neg bool, args []string) {
	standin, _ := ts.Value(standinKey{}).(*atomic.Pointer[mongotest.Standin])
	if len(args) < 2 || standin == nil || standin.Load() == nil {
		ts.Fatalf("usage: at-most COMMANDS PROGRAM [ARGUMENT...], after mongodb")
	}
	limit, err := strconv.Atoi(args[0])
	ts.Check(err)
	var commands []string
	for range 3 {
		var mu sync.Mutex
		commands = nil
		stop := standin.Load().Observe(func(command string) {
			mu.Lock()
			defer mu.Unlock()
			commands = append(commands, command)
		})
		err := ts.Exec(args[1], args[2:]...)
		stop()
		if neg != (err != nil) {
			ts.Fatalf("%v ended with %v", args[1:], err)
		}
		ts.Logf("%d commands: %v", len(commands), commands)
		if len(commands) > 0 && len(commands) <= limit {
			return
		}
	}
	ts.Fatalf("%d commands, want 1 to %d: %v", len(commands), limit, commands)
}
