package mongotest

import (
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/mongo/options"
)

// setClock makes the server's sessions and caches believe that it is later.
func setClock(srv *Server, later time.Duration) {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	srv.now = func() time.Time { return time.Now().Add(later) }
}

// TestUserCache: a router believes a user as it was until its interval is over; a
// user that it never saw can log in at once.
func TestUserCache(t *testing.T) {
	srv := Start(t, Options{Routers: 2})
	here, there := dialLogin(t, srv, srv.Hosts()[0], AdminDN), dialRaw(t, srv, srv.Hosts()[1], service)
	insert := cmd("insert", "x", field("documents", bson.A{bson.D{}}))
	here.ok("$external", cmd("createUser", service, field("roles", bson.A{Role("readWrite", "d")})))
	there.ok("$external", loginX509)
	there.ok("d", insert)
	here.ok("$external", cmd("updateUser", service, field("roles", bson.A{Role("read", "d")})))
	there.ok("d", insert)
	setClock(srv, userCacheInterval-5*time.Second)
	there.ok("d", insert)
	setClock(srv, userCacheInterval+time.Second)
	there.fails(13, "not authorized on d", "d", insert)

	here.ok("$external", cmd("dropUser", service))
	there.ok("d", cmd("find", "x"))
	dialLogin(t, srv, srv.Hosts()[1], service)
	dialRaw(t, srv, srv.Hosts()[0], service).fails(11, "not found", "$external", loginX509)
	dialLogin(t, srv, srv.Hosts()[1], AdminDN).ok("admin", cmd("invalidateUserCache", 1))
	there.fails(13, "not authorized on d", "d", cmd("find", "x")) // not logged in any more; the exception words it so on loopback
}

// TestSessionTimeout: after half an hour without use a session is forgotten, with
// its cursors and with what it wrote.
func TestSessionTimeout(t *testing.T) {
	srv := Start(t, Options{})
	r := dialLogin(t, srv, srv.Hosts()[0], AdminDN)
	lsid := field("lsid", bson.D{field("id", newUUID())})
	add := cmd("findAndModify", "c", field("query", bson.D{field("_id", 1)}), field("update", increment), field("upsert", true), field("new", true),
		lsid, field("txnNumber", int64(1)))
	r.ok("d", cmd("insert", "many", field("documents", bson.A{bson.D{}, bson.D{}})))
	open := func() bson.D {
		cursor, _ := r.ok("d", cmd("find", "many", field("batchSize", 1), lsid))["cursor"].(bson.M)
		return cmd("getMore", cursor["id"], field("collection", "many"), lsid)
	}
	n := func() any { v, _ := r.ok("d", add)["value"].(bson.M); return v["n"] }
	n()
	more := open()
	setClock(srv, 29*time.Minute)
	if got := n(); got != int32(1) {
		t.Errorf("a retry within the time: n is %v", got)
	}
	setClock(srv, 29*time.Minute+sessionLife-time.Second)
	if got := n(); got != int32(1) {
		t.Errorf("a retry keeps the session: n is %v", got)
	}
	setClock(srv, 60*time.Minute+sessionLife)
	r.fails(43, "Cursor not found", "d", more)
	if got := n(); got != int32(2) {
		t.Errorf("a retry after the time: n is %v", got)
	}
}

// TestKillSessions: what a session has under way is interrupted, its cursors are
// closed, and it can be used again. Nobody kills another's without the right.
func TestKillSessions(t *testing.T) {
	srv := Start(t, Options{})
	srv.CreateUser(service, Role("readWrite", "d"))
	victim, killer := dialLogin(t, srv, srv.Hosts()[0], service), dialLogin(t, srv, srv.Hosts()[0], service)
	id := bson.D{field("id", newUUID())}
	lsid := field("lsid", id)
	victim.ok("d", cmd("insert", "c", field("documents", bson.A{bson.D{}, bson.D{}}), lsid))
	cursor, _ := victim.ok("d", cmd("find", "c", field("batchSize", 1), lsid))["cursor"].(bson.M)
	remove := srv.Inject(Fault{Command: "count", Slow: time.Hour})
	victim.send("d", cmd("count", "c", lsid))
	done := make(chan bson.M, 1)
	go func() { m, _ := victim.receive(); done <- m }()
	stranger := dialLogin(t, srv, srv.Hosts()[0], AdminDN)
	stranger.ok("admin", cmd("killSessions", bson.A{id})) // its own of that id, of which there is none
	killer.fails(13, "not authorized on admin", "admin", cmd("killAllSessions", bson.A{}))
	within(t, 10*time.Second, "killed", func() bool {
		killer.ok("admin", cmd("killSessions", bson.A{id}))
		select {
		case m := <-done:
			if m["code"] != int32(11601) {
				t.Errorf("killed: %v", m)
			}
			return true
		default:
			return false
		}
	})
	remove()
	victim.fails(43, "Cursor not found", "d", cmd("getMore", cursor["id"], field("collection", "c"), lsid))
	victim.ok("d", cmd("count", "c", lsid))
	cursor, _ = victim.ok("d", cmd("find", "c", field("batchSize", 1), lsid))["cursor"].(bson.M)
	stranger.ok("admin", cmd("killAllSessions", bson.A{bson.D{field("user", service), field("db", "$external")}}))
	victim.fails(43, "Cursor not found", "d", cmd("getMore", cursor["id"], field("collection", "c"), lsid))
	cursor, _ = victim.ok("d", cmd("find", "c", field("batchSize", 1), lsid))["cursor"].(bson.M)
	victim.ok("admin", cmd("endSessions", bson.A{id}))
	victim.fails(43, "Cursor not found", "d", cmd("getMore", cursor["id"], field("collection", "c")))
}

// TestRetryRefused: what a transaction number may not be on, and a retry that is
// not the same write.
func TestRetryRefused(t *testing.T) {
	srv := Start(t, Options{})
	r := dialLogin(t, srv, srv.Hosts()[0], AdminDN)
	lsid := field("lsid", bson.D{field("id", newUUID())})
	txn := func(n any) bson.E { return field("txnNumber", n) }
	insert := cmd("insert", "c", field("documents", bson.A{bson.D{field("_id", 1)}}), lsid)
	r.fails(50768, "count is not a retryable write command", "d", cmd("count", "c", lsid, txn(int64(1))))
	r.fails(72, "cannot be negative", "d", append(insert, txn(int64(-1))))
	r.fails(14, "expected type 'long'", "d", append(insert, txn(1)))
	r.fails(238, "transaction", "d", append(insert, txn(int64(1)), field("autocommit", false)))
	for _, id := range []bson.D{{}, {field("id", "x")}, {field("id", []byte("0123456789abcdef"))}} {
		if m := r.run("d", cmd("find", "c", field("lsid", id))); m["ok"] == 1.0 {
			t.Errorf("lsid %v: %v", id, m)
		}
	}
	modify := func(n int64, more ...bson.E) bson.D {
		return append(cmd("findAndModify", "c", field("query", bson.D{field("_id", 1)}), lsid, txn(n)), more...)
	}
	set := field("update", bson.D{field("$set", bson.D{field("a", 1)})})
	r.ok("d", modify(1, set, field("upsert", true)))
	r.fails(40608, "not compatible", "d", modify(1, set))
	r.ok("d", modify(2, set))
	r.fails(40609, "not compatible", "d", modify(2, field("remove", true)))
	r.fails(40611, "only before update document", "d", modify(2, set, field("new", true)))
	r.ok("d", modify(3, set, field("new", true)))
	r.fails(40612, "only after update document", "d", modify(3, set))
	r.ok("d", modify(4, field("remove", true)))
	r.fails(40606, "not compatible", "d", modify(4, set))
	r.ok("d", modify(4, field("remove", true)))

	// One that changed nothing left no trace: it is carried out again.
	if m := r.ok("d", modify(5, set)); m["value"] != nil {
		t.Errorf("nothing to modify: %v", m)
	}
	r.ok("d", insert)
	if m := r.ok("d", modify(5, set)); m["value"] == nil {
		t.Errorf("a retry of what changed nothing: %v", m)
	}
}

// TestRetryByLabel: a driver repeats a write that met an election, by the code of
// an old server and by the label of a newer one.
func TestRetryByLabel(t *testing.T) {
	for _, d := range []Dialect{Dialect40, Dialect44} {
		srv := Start(t, Options{Config: Config{Dialect: d}})
		coll := counter(t, srv, options.Client().SetRetryWrites(true))
		srv.Inject(Fault{Command: "update", Times: 1, Error: &CommandError{Code: 10107, Message: "not master"}})
		if err := increase(t, coll); err != nil || value(t, coll) != 1 {
			t.Errorf("%s: %v, n is %d", d, err, value(t, coll))
		}
	}
}

// TestAwaitedHello: a member of 4.4 answers who knows its topology already when
// that changes, or when the time to wait is over.
func TestAwaitedHello(t *testing.T) {
	srv := Start(t, Options{Config: Config{Dialect: Dialect44, Mongod: true}})
	r := dialLogin(t, srv, srv.Hosts()[0], AdminDN)
	first := r.ok("admin", cmd("hello", 1))
	wait := cmd("hello", 1, field("topologyVersion", first["topologyVersion"]), field("maxAwaitTimeMS", int64(300)))
	start := time.Now()
	if m := r.ok("admin", wait); time.Since(start) < 300*time.Millisecond || m["isWritablePrimary"] != true {
		t.Errorf("nothing changed: %v after %s", m, time.Since(start))
	}
	srv.Election(time.Minute)
	wait[2].Value = int64(60_000)
	if m := r.ok("admin", wait); m["secondary"] != true || time.Since(start) > 30*time.Second {
		t.Errorf("an election began: %v after %s", m, time.Since(start))
	}
	r.fails(13435, "not master and slaveOk=false", "d", cmd("find", "c"))
	r.fails(10107, "not master", "d", cmd("insert", "c", field("documents", bson.A{bson.D{}})))
}
