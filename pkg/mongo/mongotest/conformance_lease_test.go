package mongotest

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/mongo"
	"go.mongodb.org/mongo-driver/mongo/options"
	"go.mongodb.org/mongo-driver/mongo/readconcern"
	"go.mongodb.org/mongo-driver/mongo/writeconcern"
)

// conformLease is what the lease is built on: compare-and-set by findAndModify
// with majority, and linearizable reads.
func conformLease(t *testing.T, f *facts) {
	ctx := t.Context()
	db := f.admin.Database(f.db, options.Database().SetWriteConcern(writeconcern.Majority()).SetReadConcern(readconcern.Linearizable()))
	coll := db.Collection("lease")
	const writers, tries = 8, 50
	if _, err := coll.InsertOne(ctx, bson.D{field("_id", "env"), field("epoch", int64(0)), field("open", bson.D{})}); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	won := map[int64]int{}
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for range tries {
				epoch, err := claim(ctx, coll)
				if err != nil {
					if !errors.Is(err, mongo.ErrNoDocuments) {
						t.Error(err)
					}
					continue
				}
				mu.Lock()
				won[epoch]++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	var last struct{ Epoch int64 }
	if err := coll.FindOne(ctx, bson.D{field("_id", "env")}, options.FindOne().SetMaxTime(5*time.Second)).Decode(&last); err != nil {
		t.Fatal(err)
	}
	if int64(len(won)) != last.Epoch || last.Epoch == 0 {
		t.Errorf("%d claims won, epoch is %d", len(won), last.Epoch)
	}
	for epoch, n := range won {
		if n != 1 {
			t.Errorf("epoch %d was won %d times", epoch, n)
		}
	}

	// Embedded documents match as a whole, field order too; dotted paths reach
	// into them.
	if _, err := coll.UpdateOne(ctx, bson.D{field("_id", "env")},
		bson.D{field("$set", bson.D{field("open.a", "1"), field("open.b", "2"), field("successor", nil)})}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		filter bson.D
		want   int64
	}{
		{bson.D{field("open", bson.D{field("a", "1"), field("b", "2")})}, 1},
		{bson.D{field("open", bson.D{field("b", "2"), field("a", "1")})}, 0},
		{bson.D{field("open.a", "1")}, 1},
		{bson.D{field("open.c", nil)}, 1},
		{bson.D{field("successor", nil)}, 1},
		{bson.D{field("override", nil)}, 1},
		{bson.D{field("epoch", last.Epoch), field("open.a", bson.D{field("$exists", false)})}, 0},
	} {
		if n, err := coll.CountDocuments(ctx, c.filter); err != nil || n != c.want {
			t.Errorf("%v: %d, %v, want %d", c.filter, n, err, c.want)
		}
	}
}

// claim reads the epoch and moves it up by exact match.
func claim(ctx context.Context, coll *mongo.Collection) (int64, error) {
	var doc struct{ Epoch int64 }
	if err := coll.FindOne(ctx, bson.D{field("_id", "env")}, options.FindOne().SetMaxTime(5*time.Second)).Decode(&doc); err != nil {
		return 0, err
	}
	err := coll.FindOneAndUpdate(ctx, bson.D{field("_id", "env"), field("epoch", doc.Epoch)},
		bson.D{field("$set", bson.D{field("epoch", doc.Epoch+1)})}, options.FindOneAndUpdate().SetMaxTime(5*time.Second)).Err()
	return doc.Epoch + 1, err
}

// conformReplay is the memory of retryable writes.
func conformReplay(t *testing.T, f *facts) {
	r := dialLogin(t, f.srv, f.host, f.srv.Admin())
	session := field("lsid", bson.D{field("id", newUUID())})
	txn := func(n int64) bson.E { return field("txnNumber", n) }
	insert := cmd("insert", "replay", field("documents", bson.A{bson.D{field("_id", 1), field("n", 0)}}), session, txn(1))
	for range 2 {
		if m := r.ok(f.db, insert); m["n"] != int32(1) || m["writeErrors"] != nil {
			t.Errorf("insert: %v", m)
		}
	}
	add := cmd("findAndModify", "replay", field("query", bson.D{field("_id", 1)}), field("update", bson.D{field("$inc", bson.D{field("n", 1)})}),
		field("new", true), session, txn(2))
	for range 3 {
		if v, _ := r.ok(f.db, add)["value"].(bson.M); v["n"] != int32(1) {
			t.Errorf("findAndModify: %v", v)
		}
	}
	update := cmd("update", "replay", field("updates", bson.A{bson.D{field("q", bson.D{field("_id", 1)}),
		field("u", bson.D{field("$inc", bson.D{field("n", 1)})})}}), session, txn(3))
	for range 2 {
		if m := r.ok(f.db, update); m["n"] != int32(1) || m["nModified"] != int32(1) {
			t.Errorf("update: %v", m)
		}
	}
	cursor, _ := r.ok(f.db, cmd("find", "replay"))["cursor"].(bson.M)
	batch, _ := cursor["firstBatch"].(bson.A)
	if len(batch) != 1 || batch[0].(bson.M)["n"] != int32(2) {
		t.Errorf("after the retries: %v", batch)
	}
	r.fails(225, "", f.db, add) // older than the session's latest
}
