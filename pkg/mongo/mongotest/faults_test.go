package mongotest

import (
	"context"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/mongo"
	"go.mongodb.org/mongo-driver/mongo/options"
	"go.mongodb.org/mongo-driver/mongo/readconcern"
	"go.mongodb.org/mongo-driver/mongo/writeconcern"
)

var increment = bson.D{field("$inc", bson.D{field("n", 1)})}

// counter gives a collection with one document {_id: 1, n: 0}.
func counter(t *testing.T, srv *Server, more ...*options.ClientOptions) *mongo.Collection {
	t.Helper()
	coll := srv.AdminClient(more...).Database("d").Collection("c")
	if _, err := coll.InsertOne(t.Context(), bson.D{field("_id", 1), field("n", 0)}); err != nil {
		t.Fatal(err)
	}
	return coll
}

func increase(t *testing.T, coll *mongo.Collection) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, err := coll.UpdateOne(ctx, bson.D{field("_id", 1)}, increment)
	return err
}

func value(t *testing.T, coll *mongo.Collection) int {
	t.Helper()
	var doc struct{ N int }
	if err := coll.FindOne(t.Context(), bson.D{field("_id", 1)}).Decode(&doc); err != nil {
		t.Fatal(err)
	}
	return doc.N
}

// TestDropAfter: the reply is lost. A driver with retryable writes repeats and
// is answered from the table; one without sees an error, and the write is done.
func TestDropAfter(t *testing.T) {
	for _, retry := range []bool{true, false} {
		srv := Start(t, Options{})
		coll := counter(t, srv, options.Client().SetRetryWrites(retry))
		srv.Inject(Fault{Command: "update", Collection: "c", Times: 1, DropAfter: true})
		if err := increase(t, coll); (err == nil) != retry {
			t.Errorf("retry %t: %v", retry, err)
		}
		if n := value(t, coll); n != 1 {
			t.Errorf("retry %t: n is %d", retry, n)
		}
	}
}

func TestDropBefore(t *testing.T) {
	srv := Start(t, Options{})
	coll := counter(t, srv, options.Client().SetRetryWrites(false))
	remove := srv.Inject(Fault{Command: "update", DropBefore: true})
	if err := increase(t, coll); err == nil {
		t.Error("no error")
	}
	remove()
	if n := value(t, coll); n != 0 {
		t.Errorf("n is %d", n)
	}
}

// TestDelay: a request carried out after its sender gave up, by a fault for one
// user only.
func TestDelay(t *testing.T) {
	srv := Start(t, Options{})
	coll := counter(t, srv, options.Client().SetRetryWrites(false))
	srv.Inject(Fault{Command: "update", User: service, Delay: time.Hour}) // somebody else
	srv.Inject(Fault{Command: "update", User: AdminDN, Times: 1, Delay: 300 * time.Millisecond})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := coll.UpdateOne(ctx, bson.D{field("_id", 1)}, increment); !mongo.IsTimeout(err) {
		t.Errorf("got %v", err)
	}
	if n := value(t, coll); n != 0 {
		t.Errorf("carried out at once")
	}
	for deadline := time.Now().Add(5 * time.Second); value(t, coll) != 1; {
		if time.Now().After(deadline) {
			t.Fatal("the late request was never carried out")
		}
		<-time.After(10 * time.Millisecond)
	}
}

// TestSlow: maxTimeMS interrupts the server's own slowness.
func TestSlow(t *testing.T) {
	srv := Start(t, Options{})
	coll := counter(t, srv)
	srv.Inject(Fault{Command: "find", Slow: time.Hour})
	err := coll.FindOne(t.Context(), bson.D{}, options.FindOne().SetMaxTime(30*time.Millisecond)).Err()
	wantCode(t, err, 50, "operation exceeded time limit")
}

// TestWriteConcernTimeout: the write is applied and reported as unsure.
func TestWriteConcernTimeout(t *testing.T) {
	srv := Start(t, Options{})
	coll := counter(t, srv)
	srv.Inject(Fault{Times: 1, Command: "findAndModify", WriteConcernTimeout: true})
	err := coll.FindOneAndUpdate(t.Context(), bson.D{field("_id", 1)}, increment).Err()
	wantCode(t, err, 64, "waiting for replication timed out")
	if n := value(t, coll); n != 1 {
		t.Errorf("n is %d", n)
	}
}

// TestElection: no primary for a while; then everything as before.
func TestElection(t *testing.T) {
	srv := Start(t, Options{})
	coll := counter(t, srv, options.Client().SetRetryWrites(false).SetRetryReads(false))
	r := dialLogin(t, srv, srv.Hosts()[0], AdminDN) // a driver would look for the new primary before its next try
	srv.Election(200 * time.Millisecond)
	wantCode(t, increase(t, coll), 10107, "not master")
	r.fails(10107, "not master", "d", cmd("find", "c"))
	r.ok("d", cmd("find", "c", field("$readPreference", bson.D{field("mode", "secondaryPreferred")})))
	for deadline := time.Now().Add(5 * time.Second); increase(t, coll) != nil; {
		if time.Now().After(deadline) {
			t.Fatal("no primary after the election")
		}
		<-time.After(10 * time.Millisecond)
	}
}

// TestPartition: one router is cut off; what was sent to it arrives after the
// heal, its new connections get nothing, the other router is not touched.
func TestPartition(t *testing.T) {
	srv := Start(t, Options{Routers: 2})
	via := func(i int) *options.ClientOptions {
		return options.Client().ApplyURI(srv.RouterURI(i)).SetTLSConfig(srv.TLSConfig(AdminDN)).SetRetryWrites(false).
			SetServerSelectionTimeout(10 * time.Second)
	}
	cut, free := counter(t, srv, via(0)), srv.AdminClient(via(1)).Database("d").Collection("c")
	heal := srv.Partition(0)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := cut.UpdateOne(ctx, bson.D{field("_id", 1)}, increment); !mongo.IsTimeout(err) {
		t.Errorf("through the cut router: %v", err)
	}
	if n := value(t, free); n != 0 {
		t.Errorf("n is %d", n)
	}
	fresh := srv.AdminClient(via(0), options.Client().SetServerSelectionTimeout(100*time.Millisecond))
	if err := fresh.Ping(t.Context(), nil); !mongo.IsTimeout(err) {
		t.Errorf("a new connection through the cut router: %v", err)
	}
	heal()
	heal() // twice is once
	for deadline := time.Now().Add(5 * time.Second); value(t, free) != 1; {
		if time.Now().After(deadline) {
			t.Fatal("the request of the cut router was never carried out")
		}
		<-time.After(10 * time.Millisecond)
	}
	if err := increase(t, cut); err != nil {
		t.Errorf("after the heal: %v", err)
	}
}

// TestStaleReads: a deposed primary answers old; linearizable reads do not.
func TestStaleReads(t *testing.T) {
	srv := Start(t, Options{})
	coll := counter(t, srv)
	fresh := must(coll.Clone(options.Collection().SetReadConcern(readconcern.Linearizable()).SetWriteConcern(writeconcern.Majority())))(t)
	heal := srv.StaleReads()
	if err := increase(t, coll); err != nil {
		t.Fatal(err)
	}
	if stale, now := value(t, coll), value(t, fresh); stale != 0 || now != 1 {
		t.Errorf("stale %d, linearizable %d", stale, now)
	}
	heal()
	if n := value(t, coll); n != 1 {
		t.Errorf("after heal %d", n)
	}
}
