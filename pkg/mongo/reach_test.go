package mongo_test

import (
	"context"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongo"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongo/mongotest"
)

// silent returns the address of somebody who takes connections and says nothing.
func silent(t *testing.T) string {
	t.Helper()
	return listen(t, func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) })
}

// reached returns how long it took until a client of one of hosts had an answer, whose it is proved by an operation.
func reached(t *testing.T, server *mongotest.Server, hosts ...string) time.Duration {
	t.Helper()
	began := time.Now()
	client, err := mongo.Reach(t.Context(), optionsFor(t, server, strings.Join(hosts, ","), server.TrustPEM()))
	if err != nil {
		t.Fatal(err)
	}
	took := time.Since(began)
	if client.Member() != mongotest.RouterDN {
		t.Errorf("the router's certificate is %q", client.Member())
	}
	if _, err := client.ClusterID(t.Context()); err != nil {
		t.Error(err)
	}
	if err := client.Close(t.Context()); err != nil {
		t.Error(err)
	}
	return took
}

// TestReachAsksOne: the first router is healthy, and the others hear nothing.
func TestReachAsksOne(t *testing.T) {
	server, other := mongotest.Start(t, mongotest.Options{}), mongotest.Start(t, mongotest.Options{})
	var mu sync.Mutex
	var heard []string
	defer other.Observe(func(command string) {
		mu.Lock()
		defer mu.Unlock()
		heard = append(heard, command)
	})()
	took := reached(t, server, server.Hosts()[0], other.Hosts()[0])
	mu.Lock()
	defer mu.Unlock()
	if took < 400*time.Millisecond && len(heard) > 0 { // a machine that stalls gives the next one its turn
		t.Errorf("after %v the second router had heard %v", took, heard)
	}
}

// TestReachTakesWhoAnswers: routers that refuse, are silent, or have a certificate of nobody, come first.
func TestReachTakesWhoAnswers(t *testing.T) {
	server := mongotest.Start(t, mongotest.Options{})
	stranger := mongotest.Start(t, mongotest.Options{})
	reached(t, server, "127.0.0.1:1", stranger.Hosts()[0], silent(t), server.Hosts()[0])
}

// TestReachNamesAll: nobody is a router, and each one's trouble is named, those of the silent one within its time.
func TestReachNamesAll(t *testing.T) {
	server := mongotest.Start(t, mongotest.Options{Config: mongotest.Config{Mongod: true, ReplicaSet: "data"}})
	hosts := []string{"127.0.0.1:1", silent(t), server.Hosts()[0], "cluster0-shard-00-00.abcde.mongodb.net:27017"}
	began := time.Now()
	_, err := mongo.Reach(t.Context(), optionsFor(t, server, strings.Join(hosts, ","), server.TrustPEM()))
	if err == nil {
		t.Fatal("reached a router where there is none")
	}
	for _, text := range []string{"nothing listens there", "does not answer", "mongos", "Atlas"} {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("%q is not in: %v", text, err)
		}
	}
	for _, host := range hosts {
		if !strings.Contains(err.Error(), host) {
			t.Errorf("%s is not named in: %v", host, err)
		}
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("took %v", took)
	}
}

// TestReachEnds with its context, whatever it waits for.
func TestReachEnds(t *testing.T) {
	server := mongotest.Start(t, mongotest.Options{})
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	began := time.Now()
	if _, err := mongo.Reach(ctx, optionsFor(t, server, silent(t), server.TrustPEM())); err == nil {
		t.Error("reached somebody who says nothing")
	}
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("took %v after its context had ended", took)
	}
}

// muted is a connection that loses what is written to it from some moment on, as one to a router that hangs.
type muted struct {
	net.Conn
	mute *atomic.Bool
}

func (m muted) Write(p []byte) (int, error) {
	if m.mute.Load() {
		return len(p), nil
	}
	return m.Conn.Write(p)
}

// TestSilenceEnds: a router that answered and then hangs holds nobody up whose context has no end, in a request or in the farewell.
func TestSilenceEnds(t *testing.T) {
	t.Parallel()
	server := mongotest.Start(t, mongotest.Options{})
	var mute atomic.Bool
	o := optionsFor(t, server, server.Hosts()[0], server.TrustPEM())
	o.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		return muted{conn, &mute}, err
	}
	for _, asked := range []bool{true, false} {
		mute.Store(false)
		o.Silence = 0 // longer than a farewell may take
		if asked {
			o.Silence = 500 * time.Millisecond
		}
		client, err := mongo.Connect(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.ClusterID(t.Context()); err != nil {
			t.Fatal(err)
		}
		mute.Store(true)
		done := make(chan error, 1)
		go func() {
			var err error
			if asked {
				_, err = client.ClusterID(context.Background()) //nolint:usetesting // without an end
			}
			_ = client.Close(context.Background()) //nolint:usetesting // without an end
			done <- err
		}()
		select {
		case err := <-done:
			if asked && !mongo.Passing(err) {
				t.Errorf("a request to a router that hangs: %v", err)
			}
		case <-time.After(8 * time.Second):
			t.Fatalf("asked %v: still waiting", asked)
		}
	}
}
