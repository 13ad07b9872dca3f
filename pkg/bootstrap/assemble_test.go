package bootstrap

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/hint"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongo"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongo/mongotest"
)

// cluster is a set of servers that were just started and know nothing of each other, by the names of their pods.
type cluster struct {
	authority *mongotest.Authority
	at        map[string]string // name to the address it really listens at
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{at: map[string]string{}}
	var err error
	c.authority, err = mongotest.NewAuthority()
	must(t, err)
	c.start(t, "config-0.config.ns.svc", mongotest.Config{Mongod: true, Fresh: true, ReplicaSet: "config"})
	c.start(t, "data-0.data.ns.svc", mongotest.Config{Mongod: true, Fresh: true, ReplicaSet: "data"})
	c.start(t, "reports-0.reports.ns.svc", mongotest.Config{Mongod: true, Fresh: true, ReplicaSet: "reports"})
	c.start(t, "router-0.router.ns", mongotest.Config{Shards: []string{}})
	return c
}

func (c *cluster) start(t *testing.T, name string, config mongotest.Config) {
	t.Helper()
	certificate, err := c.authority.Issue("CN=member,OU=servers,O=mongodb", name)
	must(t, err)
	config.Certificate, config.ClientCAs = certificate, c.authority.Chain
	server, err := mongotest.New(context.WithoutCancel(t.Context()), config)
	must(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	server.Serve(l)
	t.Cleanup(func() { _ = server.Close() })
	c.at[name+":27017"] = l.Addr().String()
}

func (c *cluster) options(t *testing.T, dn string) mongo.Options {
	t.Helper()
	certificate, err := c.authority.Issue(dn)
	must(t, err)
	return mongo.Options{CA: c.authority.Chain, Certificate: func() (*tls.Certificate, error) { return &certificate, nil }, Selection: time.Second,
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			at, ok := c.at[address]
			if !ok {
				return nil, fmt.Errorf("no pod of %s runs", address)
			}
			return (&net.Dialer{}).DialContext(ctx, network, at)
		}}
}

func (c *cluster) assembly(t *testing.T, say func(string)) Assembly {
	t.Helper()
	set := func(name string) mongo.ReplicaSet {
		return mongo.ReplicaSet{Name: name, Members: []string{name + "-0." + name + ".ns.svc:27017"}, ConfigServers: name == "config"}
	}
	return Assembly{Member: c.options(t, "CN=workstation,OU=servers,O=mongodb"), Config: set("config"), Shards: []mongo.ReplicaSet{set("data"), set("reports")},
		Routers: "router-0.router.ns:27017", Say: say, Status: func(s string) { t.Log(s) }}
}

// TestAssemble makes a cluster of servers without users, by a member's certificate; the second time nothing is done, and the
// administrator that was made can bootstrap.
func TestAssemble(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	for run, want := range []string{
		"replica set config initiated: config-0.config.ns.svc:27017; replica set data initiated: data-0.data.ns.svc:27017; " +
			"replica set reports initiated: reports-0.reports.ns.svc:27017; shard data added; shard reports added; user CN=mongodb-admin,OU=users,O=mongodb created",
		"",
	} {
		var said []string
		must(t, c.assembly(t, func(s string) { said = append(said, s) }).Assemble(t.Context()))
		if got := strings.Join(said, "; "); got != want {
			t.Errorf("run %d: %s", run, got)
		}
	}
	o := c.options(t, AdminUser().Name)
	var err error
	o.URI, err = mongo.URI("router-0.router.ns:27017", "")
	must(t, err)
	admin, err := mongo.Connect(t.Context(), o)
	must(t, err)
	defer func() { _ = admin.Close(context.WithoutCancel(t.Context())) }()
	done, last, err := EnsureDatabase(t.Context(), admin, Want{Environment: testID}, nil)
	must(t, err)
	var steps []string
	for _, s := range done {
		steps = append(steps, s.Done())
	}
	if all := strings.Join(steps, "; "); !strings.Contains(all, "z0") || !strings.Contains(all, "z1") || len(last.Writes()) > 0 {
		t.Errorf("bootstrap of the new cluster: %s", all)
	}
}

// TestAssembleWaits: pods that start late are waited for; ones that never do are named, with what they said last.
func TestAssembleWaits(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	late := c.at["data-0.data.ns.svc:27017"]
	delete(c.at, "data-0.data.ns.svc:27017")
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	err := c.assembly(t, func(string) {}).Assemble(ctx)
	if err == nil || !strings.Contains(err.Error(), `in-cluster MongoDB, replica set data: `) || !strings.Contains(err.Error(), "no pod of data-0.data.ns.svc:27017 runs") {
		t.Errorf("a pod that never starts: %v %s", err, hint.Of(err))
	}
	c.at["data-0.data.ns.svc:27017"] = late
	var said []string
	must(t, c.assembly(t, func(s string) { said = append(said, s) }).Assemble(t.Context()))
	if len(said) == 0 || !strings.HasPrefix(said[0], "replica set data initiated") {
		t.Errorf("what was interrupted goes on where it was: %q", said)
	}
}

// TestAssembleRefused: a certificate that makes no member may do nothing.
func TestAssembleRefused(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	a := c.assembly(t, func(s string) { t.Error(s) })
	a.Member = c.options(t, "CN=stranger,OU=root,O=system")
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := a.Assemble(ctx); err == nil || errors.Is(err, context.DeadlineExceeded) && !strings.Contains(err.Error(), "replica set config") {
		t.Errorf("a stranger: %v", err)
	}
}

// TestAssembleOtherMembers: a set that was made before keeps its members, and that the values want others is said.
func TestAssembleOtherMembers(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	var said []string
	a := c.assembly(t, func(s string) { said = append(said, s) })
	must(t, a.Assemble(t.Context()))
	said = nil
	a.Shards[0].Members = append(a.Shards[0].Members, "data-1.data.ns.svc:27017")
	must(t, a.Assemble(t.Context()))
	if len(said) != 1 || !strings.Contains(said[0], "rs.add") {
		t.Errorf("said %q", said)
	}
}
