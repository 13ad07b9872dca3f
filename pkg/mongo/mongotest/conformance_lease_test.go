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
