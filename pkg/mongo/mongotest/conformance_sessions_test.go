package mongotest

import (
	"context"
	"sync"
	"testing"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/event"
	"go.mongodb.org/mongo-driver/mongo/options"
)

// writeCodes gives the codes of the statements that failed, or the command's own.
func writeCodes(m bson.M) []float64 {
	if m["ok"] != 1.0 {
		return []float64{number(m, "code")}
	}
	var out []float64
	list, _ := m["writeErrors"].(bson.A)
	for _, v := range list {
		e, _ := v.(bson.M)
		out = append(out, number(e, "code"))
	}
	return out
}

// conformRetryable is the memory of retryable writes: one that is sent again is
// answered as before and done once, statement by statement.
func conformRetryable(t *testing.T, f *facts) {
	r := dialLogin(t, f.srv, f.host, f.srv.Admin())
	session := field("lsid", bson.D{field("id", newUUID())})
	txn := func(n int64) bson.E { return field("txnNumber", n) }
	doc := func(id int) bson.D { return bson.D{field("_id", id), field("n", 0)} }
	insert := func(n int64, docs ...any) bson.D {
		return cmd("insert", "replay", field("documents", bson.A(docs)), session, txn(n))
	}
	for range 2 {
		if m := r.ok(f.db, insert(1, doc(1))); number(m, "n") != 1 || m["writeErrors"] != nil {
			t.Errorf("insert: %v", m)
		}
	}
	// A batch of which the first statement was carried out before.
	if m := r.ok(f.db, insert(1, doc(1), doc(2))); number(m, "n") != 2 || m["writeErrors"] != nil {
		t.Errorf("the rest of a batch: %v", m)
	}
	add := cmd("findAndModify", "replay", field("query", bson.D{field("_id", 1)}), field("update", increment), field("new", true), session, txn(2))
	for range 3 {
		if v, _ := r.ok(f.db, add)["value"].(bson.M); number(v, "n") != 1 {
			t.Errorf("findAndModify: %v", v)
		}
	}
	one := func(q bson.D) bson.D { return bson.D{field("q", q), field("u", increment)} }
	update := cmd("update", "replay", field("updates", bson.A{one(bson.D{field("_id", 1)}), one(bson.D{field("_id", 2)})}), session, txn(3))
	for range 2 {
		if m := r.ok(f.db, update); number(m, "n") != 2 || number(m, "nModified") != 2 {
			t.Errorf("update: %v", m)
		}
	}
	remove := func(limit int, n int64) bson.D {
		return cmd("delete", "replay", field("deletes", bson.A{bson.D{field("q", bson.D{field("_id", 2)}), field("limit", limit)}}), session, txn(n))
	}
	for range 2 {
		if m := r.ok(f.db, remove(1, 4)); number(m, "n") != 1 {
			t.Errorf("delete: %v", m)
		}
	}
	cursor, _ := r.ok(f.db, cmd("find", "replay"))["cursor"].(bson.M)
	batch, _ := cursor["firstBatch"].(bson.A)
	if len(batch) != 1 || number(batch[0].(bson.M), "n") != 2 {
		t.Errorf("after the retries: %v", batch)
	}

	// A number that is older than the session's latest; as a router words it, for a
	// batch by statement.
	r.fails(225, "", f.db, add)
	if codes := writeCodes(r.run(f.db, insert(1, doc(9)))); len(codes) != 1 || codes[0] != 225 {
		t.Errorf("an old batch: %v", codes)
	}
	// What may change several documents cannot be retried.
	multi := append(one(bson.D{}), field("multi", true))
	if codes := writeCodes(r.run(f.db, cmd("update", "replay", field("updates", bson.A{multi}), session, txn(5)))); len(codes) != 1 || codes[0] != 72 {
		t.Errorf("a retryable multi-update: %v", codes)
	}
	if codes := writeCodes(r.run(f.db, remove(0, 6))); len(codes) != 1 || codes[0] != 72 {
		t.Errorf("a retryable delete of all: %v", codes)
	}
	r.fails(72, "", f.db, cmd("insert", "replay", field("documents", bson.A{doc(7)}), txn(1))) // no session
}

// conformSessions: sessions by hand, and those that a driver opens unasked.
func conformSessions(t *testing.T, f *facts) {
	r := dialLogin(t, f.srv, f.host, f.srv.Admin())
	m := r.ok("admin", cmd("startSession", 1))
	id, _ := m["id"].(bson.M)
	if number(m, "timeoutMinutes") != 30 || id["id"] == nil {
		t.Fatalf("startSession: %v", m)
	}
	mine := bson.D{field("id", id["id"])}
	r.ok(f.db, cmd("insert", "sessions", field("documents", bson.A{bson.D{}, bson.D{}, bson.D{}}), field("lsid", mine)))
	r.ok("admin", cmd("refreshSessions", bson.A{mine}))
	find := cmd("find", "sessions", field("batchSize", 1), field("lsid", mine))
	more := func(lsid ...bson.E) bson.D {
		cursor, _ := r.ok(f.db, find)["cursor"].(bson.M)
		return append(cmd("getMore", cursor["id"], field("collection", "sessions")), lsid...)
	}
	r.ok(f.db, more(field("lsid", mine)))
	// A cursor is read on in its own session only.
	other := field("lsid", bson.D{field("id", newUUID())})
	for what, command := range map[string]bson.D{"none": more(), "another": more(other)} {
		if m := r.run(f.db, command); m["ok"] == 1.0 || f.observed() && (number(m, "code") < 50799 || number(m, "code") > 50801) {
			t.Errorf("getMore in session %s: %v", what, m)
		}
	}
	r.fails(14, "lsid", f.db, cmd("find", "sessions", field("lsid", 1)))
	r.ok("admin", cmd("killSessions", bson.A{mine}))
	r.ok("admin", cmd("endSessions", bson.A{mine}))
	r.ok(f.db, cmd("find", "sessions", field("lsid", mine))) // the same id begins anew

	// A driver opens sessions of its own, and ends them when it disconnects.
	var mu sync.Mutex
	seen := map[string]bson.Raw{}
	monitor := &event.CommandMonitor{Started: func(_ context.Context, e *event.CommandStartedEvent) {
		mu.Lock()
		defer mu.Unlock()
		seen[e.CommandName] = append(bson.Raw{}, e.Command...)
	}, Failed: func(_ context.Context, e *event.CommandFailedEvent) { t.Errorf("%s: %s", e.CommandName, e.Failure) }}
	c := f.srv.AdminClient(options.Client().SetMonitor(monitor))
	if _, err := c.Database(f.db).Collection("sessions").InsertOne(t.Context(), bson.D{}); err != nil {
		t.Fatal(err)
	}
	if err := c.Disconnect(t.Context()); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	insert, end := seen["insert"], seen["endSessions"]
	if insert.Lookup("lsid", "id").Type == 0 || insert.Lookup("txnNumber").Type == 0 {
		t.Errorf("the driver's insert: %v", insert)
	}
	ended, _ := end.Lookup("endSessions").ArrayOK()
	if values, err := ended.Values(); err != nil || len(values) == 0 {
		t.Errorf("the driver's endSessions: %v, %v", end, err)
	}
}
