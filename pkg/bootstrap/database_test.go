package bootstrap_test

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/bootstrap"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/hint"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongo"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongo/mongotest"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/zone"
)

// world is what one test wants of a database that others may use too: every name in it is its own.
type world struct {
	t      *testing.T
	server *mongotest.Server
	bootstrap.Want
}

func newWorld(t *testing.T, server *mongotest.Server) *world {
	t.Helper()
	tag := strings.ToLower(rand.Text()[:10])
	w := &world{t: t, server: server, Want: bootstrap.Want{
		Environment: "env-" + tag,
		Zones:       []zone.Zone{{Name: "West-" + tag}, {Name: "East-" + tag}},
		Services: []bootstrap.ServiceUser{
			{Service: "squall-" + tag, Roles: []mongo.Role{{Role: "read", DB: "zack-" + tag}}},
			{Service: "zack-" + tag, Database: "reports-" + tag},
			{Service: "cid-" + tag},
		},
	}}
	t.Cleanup(w.clean)
	return w
}

// clean drops the users; a real cluster keeps the roles and the shard zones, which every bootstrap wants.
func (w *world) clean() {
	ctx := context.WithoutCancel(w.t.Context())
	gone := bootstrap.Want{Environment: w.Environment, Prune: true}
	if _, _, err := bootstrap.EnsureDatabase(ctx, w.connect(nil), gone, nil); err != nil {
		w.t.Errorf("clean: %v", err)
	}
	db := w.server.AdminClient().Database(mongo.Database)
	for name, field := range map[string]string{"lease": "_id", "zones": "environment"} {
		if _, err := db.Collection(name).DeleteMany(ctx, map[string]string{field: w.Environment}); err != nil {
			w.t.Errorf("clean: %v", err)
		}
	}
}

// connect returns the administrator's client, whose connections dial opens.
func (w *world) connect(dial mongo.Dial) *mongo.Client {
	w.t.Helper()
	cert := w.server.Certificate(w.server.Admin())
	ctx := context.WithoutCancel(w.t.Context())
	c, err := mongo.Connect(ctx, mongo.Options{
		URI: w.server.URI(), CA: w.server.TrustPEM(), Certificate: func() (*tls.Certificate, error) { return &cert, nil }, Retry: true, Dial: dial,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = c.Close(ctx) }) // again, for some: no harm
	return c
}

// right fails the test unless another bootstrap finds nothing to do.
func (w *world) right() {
	w.t.Helper()
	p, err := bootstrap.Survey(w.t.Context(), w.connect(nil), w.Want)
	if err != nil || len(p.Steps) > 0 {
		w.t.Fatalf("left to do: %v, %v", p.Steps, err)
	}
}

func TestEnsureDatabase(t *testing.T) {
	w := newWorld(t, mongotest.Target(t))
	admin := w.connect(nil)
	before := 0
	done, last, err := bootstrap.EnsureDatabase(t.Context(), admin, w.Want, func(p bootstrap.Plan) error { before = len(p.Writes()); return nil })
	if err != nil || len(done) < 10 || before != len(done) || len(last.Steps) != 0 {
		t.Fatalf("made %v (%d announced), left %v, %v", done, before, last.Steps, err)
	}
	w.right()
	if done, _, err := bootstrap.EnsureDatabase(t.Context(), admin, w.Want, nil); err != nil || len(done) != 0 {
		t.Errorf("again: %v, %v", done, err)
	}

	// A plan that is refused changes nothing.
	w.Services[0].Roles = nil
	no := errors.New("no")
	if done, _, err := bootstrap.EnsureDatabase(t.Context(), admin, w.Want, func(bootstrap.Plan) error { return no }); !errors.Is(err, no) || len(done) > 0 {
		t.Errorf("refused: %v, %v", done, err)
	}
	if p, err := bootstrap.Survey(t.Context(), admin, w.Want); err != nil || len(p.Of(bootstrap.Update)) != 1 {
		t.Errorf("after a refusal: %v, %v", p.Steps, err)
	}

	// A service that is gone: left, then dropped.
	w.Services = w.Services[:2]
	done, last, err = bootstrap.EnsureDatabase(t.Context(), admin, w.Want, nil)
	if err != nil || len(done) != 1 || len(last.Of(bootstrap.Leave)) != 1 {
		t.Errorf("a service is gone: made %v, left %v, %v", done, last.Steps, err)
	}
	w.Prune = true
	if done, _, err = bootstrap.EnsureDatabase(t.Context(), admin, w.Want, nil); err != nil || len(done) != 1 || done[0].Action != bootstrap.Drop {
		t.Errorf("pruned: %v, %v", done, err)
	}
	w.right()
}

// TestPruneLeavesOthersAlone: users made by hand, with what their maker noted, and users that another environment recorded.
func TestPruneLeavesOthersAlone(t *testing.T) {
	server := mongotest.Target(t)
	mine, theirs := newWorld(t, server), newWorld(t, server)
	theirs.Services = append(theirs.Services, mine.Services[0])
	byHand := "CN=by-hand-" + mine.Environment + ",OU=root,O=system"
	server.CreateUser(byHand, mongotest.Role("read", "x"))
	for _, w := range []*world{mine, theirs} {
		if _, _, err := bootstrap.EnsureDatabase(t.Context(), w.connect(nil), w.Want, nil); err != nil {
			t.Fatal(err)
		}
		w.right()
	}
	gone := bootstrap.Want{Environment: mine.Environment, Prune: true}
	done, _, err := bootstrap.EnsureDatabase(t.Context(), mine.connect(nil), gone, nil)
	if err != nil || len(done) != 7 {
		t.Fatalf("%v, %v; want 6 users dropped and the shared one released", done, err)
	}
	theirs.right()
	have, err := mine.connect(nil).Inventory(t.Context(), mine.Environment)
	if err != nil || !slices.ContainsFunc(have.Users, func(u mongo.User) bool { return u.Name == byHand }) {
		t.Errorf("the user made by hand is gone (%v)", err)
	}
	if slices.ContainsFunc(have.Users, func(u mongo.User) bool { return slices.Contains(u.Environments, mine.Environment) }) {
		t.Errorf("users are still recorded as ours: %v", have.Users)
	}
}

// TestConcurrentBootstraps: from several workstations at once, every one of which ends well.
func TestConcurrentBootstraps(t *testing.T) {
	w := newWorld(t, mongotest.Target(t))
	const workstations = 4
	made := make([]int, workstations)
	errs := make([]error, workstations)
	var wg sync.WaitGroup
	for i := range workstations {
		client := w.connect(nil)
		wg.Go(func() {
			done, _, err := bootstrap.EnsureDatabase(t.Context(), client, w.Want, nil)
			made[i], errs[i] = len(done), err
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	t.Logf("steps made by each: %v", made)
	w.right()
}

// TestEnvironmentsAtOnce: environments that share their services' users record themselves in one list at the same moment, where the last one
// to write undoes what the others wrote. All end well, and all are in the list.
func TestEnvironmentsAtOnce(t *testing.T) {
	server := mongotest.Target(t)
	const environments = 8
	worlds, errs := make([]*world, environments), make([]error, environments)
	var wg sync.WaitGroup
	for i := range worlds {
		worlds[i] = newWorld(t, server)
		worlds[i].Services = worlds[0].Services
		client := worlds[i].connect(nil)
		wg.Go(func() {
			_, _, errs[i] = bootstrap.EnsureDatabase(t.Context(), client, worlds[i].Want, nil)
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	// One that was written over after its last look is told so by the next bootstrap, which has then nobody beside it.
	for _, w := range worlds {
		if _, _, err := bootstrap.EnsureDatabase(t.Context(), w.connect(nil), w.Want, nil); err != nil {
			t.Fatal(err)
		}
	}
	for _, w := range worlds {
		w.right()
	}
}

// TestRecordsAreNotWrittenOver: another environment records a user as its own between this one's look and its write.
func TestRecordsAreNotWrittenOver(t *testing.T) {
	server := mongotest.Target(t)
	first, mine, theirs := newWorld(t, server), newWorld(t, server), newWorld(t, server)
	mine.Services, theirs.Services = first.Services, first.Services
	ensure := func(w *world, before func(bootstrap.Plan) error) {
		if _, _, err := bootstrap.EnsureDatabase(t.Context(), w.connect(nil), w.Want, before); err != nil {
			t.Fatal(err)
		}
	}
	ensure(first, nil)
	meet := sync.OnceFunc(func() { ensure(theirs, nil) })
	ensure(mine, func(bootstrap.Plan) error { meet(); return nil })
	for _, w := range []*world{first, mine, theirs} {
		w.right()
	}
}

// TestNothingToDoIsCheap: 25 services and two zones that are right already cost no write, and 10 round trips with everything that the
// driver sends by itself.
func TestNothingToDoIsCheap(t *testing.T) {
	server := mongotest.Start(t, mongotest.Options{})
	w := newWorld(t, server)
	for len(w.Services) < 25 {
		w.Services = append(w.Services, bootstrap.ServiceUser{Service: fmt.Sprintf("s%d-%s", len(w.Services), w.Environment)})
	}
	if _, _, err := bootstrap.EnsureDatabase(t.Context(), w.connect(nil), w.Want, nil); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var commands []string
	client := w.connect(nil)
	stop := server.Observe(func(command string) {
		mu.Lock()
		defer mu.Unlock()
		commands = append(commands, command)
	})
	done, last, err := bootstrap.EnsureDatabase(t.Context(), client, w.Want, nil)
	if err != nil || len(done) > 0 || len(last.Steps) > 0 {
		t.Fatalf("made %v, left %v, %v", done, last.Steps, err)
	}
	if err := client.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	stop()
	mu.Lock()
	defer mu.Unlock()
	t.Logf("%d commands: %v", len(commands), commands)
	const bound = 10
	if len(commands) == 0 || len(commands) > bound {
		t.Errorf("%d commands, want at most %d", len(commands), bound)
	}
	reads := []string{"isMaster", "hello", "authenticate", "usersInfo", "rolesInfo", "listShards", "find", "endSessions"}
	for _, c := range commands {
		if !slices.Contains(reads, c) {
			t.Errorf("%s was sent, which is no reading", c)
		}
	}
}

// TestCreateRaces: the look says that something is missing, and then somebody else makes it, differently.
func TestCreateRaces(t *testing.T) {
	for _, dialect := range []mongotest.Dialect{mongotest.Dialect40, mongotest.Dialect44} {
		t.Run(string(dialect), func(t *testing.T) {
			w := newWorld(t, mongotest.Start(t, mongotest.Options{Config: mongotest.Config{Dialect: dialect}}))
			admin := w.connect(nil)
			first := true
			done, _, err := bootstrap.EnsureDatabase(t.Context(), admin, w.Want, func(bootstrap.Plan) error {
				if !first {
					return nil
				}
				first = false
				_, err := admin.CreateUser(t.Context(), mongo.User{Name: "CN=" + w.Services[0].Service + ",OU=root,O=system", Environments: []string{w.Environment}})
				if _, err2 := admin.CreateRole(t.Context(), mongo.CustomRole{Name: "aporetoGateway"}); err2 != nil {
					return err2
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			updated := 0
			for _, s := range done {
				if s.Action == bootstrap.Update {
					updated++
				}
			}
			if updated != 2 {
				t.Errorf("%v; want one user and one role updated", done)
			}
			w.right()
		})
	}
}

// mortal is a process that dies at its n-th write to the network: before it is sent, or, where late, just after, so that the server has
// it and nobody hears the answer.
type mortal struct {
	left int64
	late bool
	die  context.CancelFunc
	used atomic.Int64
}

var errDead = errors.New("killed")

type mortalConn struct {
	net.Conn
	m *mortal
}

func (m *mortal) dial(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, network, address)
	return mortalConn{c, m}, err
}

func (c mortalConn) Write(b []byte) (int, error) {
	n := c.m.used.Add(1)
	switch {
	case n < c.m.left:
		return c.Conn.Write(b)
	case n == c.m.left && c.m.late:
		_, _ = c.Conn.Write(b)
	}
	c.m.die()
	return 0, errDead
}

// TestKilledAnywhere: a bootstrap that is killed at every one of its writes to the network in turn, and then run again, ends in the state
// of one that was not.
func TestKilledAnywhere(t *testing.T) {
	for _, late := range []bool{false, true} {
		t.Run(fmt.Sprintf("late=%v", late), func(t *testing.T) {
			deaths := 0
			for n := int64(1); ; n++ {
				w := newWorld(t, mongotest.Target(t))
				ctx, die := context.WithTimeout(t.Context(), time.Minute)
				m := &mortal{left: n, late: late, die: die}
				_, _, err := bootstrap.EnsureDatabase(ctx, w.connect(m.dial), w.Want, nil)
				die()
				if err == nil && m.used.Load() < n {
					break
				}
				deaths++
				if _, _, err := bootstrap.EnsureDatabase(t.Context(), w.connect(nil), w.Want, nil); err != nil {
					t.Fatalf("after a death at write %d: %v", n, err)
				}
				w.right()
			}
			t.Logf("%d deaths", deaths)
			if deaths < 25 {
				t.Errorf("only %d deaths: the test did not reach into the bootstrap", deaths)
			}
		})
	}
}

// TestFaults: lost answers, write concern timeouts and an election are survived by running again.
func TestFaults(t *testing.T) {
	for name, fault := range map[string]mongotest.Fault{
		"createUser's answer lost":  {Command: "createUser", Times: 1, DropAfter: true},
		"createUser lost":           {Command: "createUser", Times: 1, DropBefore: true},
		"createRole's answer lost":  {Command: "createRole", Times: 1, DropAfter: true},
		"the lease's answer lost":   {Command: "insert", Times: 1, DropAfter: true},
		"a record's answer lost":    {Command: "update", Times: 1, DropAfter: true},
		"write concern timeout":     {Command: "createUser", Times: 1, WriteConcernTimeout: true},
		"a zone's answer lost":      {Command: "addShardToZone", Times: 1, DropAfter: true},
		"no primary at createUser":  {Command: "createUser", Times: 1, Error: &mongotest.CommandError{Code: 10107, Message: "not master"}},
		"the look is not answered":  {Command: "usersInfo", Times: 1, DropAfter: true},
		"a role is not there (yet)": {Command: "createUser", Times: 1, Error: &mongotest.CommandError{Code: 31, Message: "No role named x"}},
	} {
		t.Run(name, func(t *testing.T) {
			server := mongotest.Start(t, mongotest.Options{})
			w := newWorld(t, server)
			server.Inject(fault)
			_, _, err := bootstrap.EnsureDatabase(t.Context(), w.connect(nil), w.Want, nil)
			t.Logf("with the fault: %v", err)
			if _, _, err := bootstrap.EnsureDatabase(t.Context(), w.connect(nil), w.Want, nil); err != nil {
				t.Fatal(err)
			}
			w.right()
		})
	}
}

// TestAdmin: created where the database lets nobody else in, and then again.
func TestAdmin(t *testing.T) {
	server := mongotest.Start(t, mongotest.Options{NoAdmin: true})
	w := &world{t: t, server: server}
	if _, err := w.connect(nil).Inventory(t.Context(), "x"); !mongo.NoUser(err) {
		t.Errorf("without the user: %v", err)
	}
	cert := server.Certificate(server.Admin())
	nobody, err := mongo.Connect(t.Context(), mongo.Options{
		URI: server.URI(), CA: server.TrustPEM(), Certificate: func() (*tls.Certificate, error) { return &cert, nil }, Login: &mongo.Login{},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = nobody.Close(context.WithoutCancel(t.Context())) }()
	for _, want := range []bool{true, false} {
		if made, err := bootstrap.EnsureAdmin(t.Context(), nobody); err != nil || made != want {
			t.Errorf("made %v, %v; want %v", made, err, want)
		}
	}
	if _, err := w.connect(nil).Inventory(t.Context(), "x"); err != nil {
		t.Errorf("as the new administrator: %v", err)
	}
}

// TestAdminByPassword: made by somebody who logs in with a password, which may be wrong.
func TestAdminByPassword(t *testing.T) {
	for _, dialect := range []mongotest.Dialect{mongotest.Dialect40, mongotest.Dialect44} {
		t.Run(string(dialect), func(t *testing.T) {
			server := mongotest.Start(t, mongotest.Options{NoAdmin: true, Config: mongotest.Config{Dialect: dialect}})
			server.CreatePasswordUser("dba", "pass word", mongotest.Role("root", "admin"))
			w := &world{t: t, server: server}
			cert := server.Certificate(server.Admin())
			login := func(password string) (bool, error) {
				c, err := mongo.Connect(t.Context(), mongo.Options{
					URI: server.URI(), CA: server.TrustPEM(), Certificate: func() (*tls.Certificate, error) { return &cert, nil },
					Login: &mongo.Login{User: "dba", Password: password, Database: "admin"},
				})
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = c.Close(context.WithoutCancel(t.Context())) }()
				return bootstrap.EnsureAdmin(t.Context(), c)
			}
			if made, err := login("wrong"); made || !mongo.NoUser(err) {
				t.Errorf("a wrong password: made %v, %v", made, err)
			}
			for _, want := range []bool{true, false} {
				if made, err := login("pass word"); err != nil || made != want {
					t.Errorf("made %v, %v; want %v", made, err, want)
				}
			}
			if _, err := w.connect(nil).Inventory(t.Context(), "x"); err != nil {
				t.Errorf("as the new administrator: %v", err)
			}
		})
	}
}

// TestMembershipTrap: users that the cluster would take for its own members are refused before anything is written.
func TestMembershipTrap(t *testing.T) {
	for member, admin := range map[string]bool{"CN=r,O=system,OU=root": false, "CN=r,OU=users,O=mongodb": true} {
		server := mongotest.Start(t, mongotest.Options{RouterDN: member, Config: mongotest.Config{NoClusterX509: true}})
		w := &world{t: t, server: server, Want: bootstrap.Want{Environment: "me", Services: []bootstrap.ServiceUser{{Service: "squall"}}}}
		client := w.connect(nil)
		if err := client.Probe(t.Context()); err != nil {
			t.Fatal(err)
		}
		var writes atomic.Int64
		server.Observe(func(command string) {
			if strings.HasPrefix(command, "create") || command == "addShardToZone" {
				writes.Add(1)
			}
		})
		refused := func(err error) {
			if err == nil || !strings.Contains(err.Error(), "the routers' certificate "+member+" has the same O, OU and DC as CN=") || hint.Of(err) == "" || writes.Load() > 0 {
				t.Errorf("%s: %v after %d writes", member, err, writes.Load())
			}
		}
		_, _, err := bootstrap.EnsureDatabase(t.Context(), client, w.Want, nil)
		refused(err)
		if admin {
			_, err = bootstrap.EnsureAdmin(t.Context(), client)
			refused(err)
		}
	}
}
