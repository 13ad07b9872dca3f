package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// freePort returns an address on loopback that nobody listens on.
func freePort(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// replica is one running gateway process, but for the process.
type replica struct {
	cfg  Config
	stop context.CancelFunc
	done chan error
}

func startReplica(t *testing.T, store Store, upstream, name string) *replica {
	t.Helper()
	cfg := testConfig(t, store, upstream)
	cfg.Listen, cfg.Status, cfg.Authz, cfg.Linger = freePort(t), freePort(t), freePort(t), time.Second
	cfg.Lease.Replica, cfg.Lease.Drain = name, 3*time.Second
	cfg.Lease.Term.T = 10 * time.Second
	ctx, cancel := context.WithCancel(t.Context())
	r := &replica{cfg: cfg, stop: cancel, done: make(chan error, 1)}
	go func() { r.done <- New(cfg).Run(ctx) }()
	t.Cleanup(cancel)
	return r
}

func (r *replica) ready() bool {
	response, err := http.Get("http://" + r.cfg.Status + "/healthz/ready")
	if err != nil {
		return false
	}
	response.Body.Close()
	return response.StatusCode == http.StatusOK
}

// TestRollingUpdateLosesNothing replaces one replica by another behind a load balancer that hears of it late, as Kubernetes' does, under
// requests that no client may repeat by itself.
func TestRollingUpdateLosesNothing(t *testing.T) {
	t.Parallel()
	var served atomic.Int64
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		if r.URL.Path == "/slow" {
			time.Sleep(1500 * time.Millisecond) // longer than the linger
		}
		served.Add(1)
		_, _ = w.Write(body)
	}))
	t.Cleanup(upstream.Close)
	store := newMemoryStore()
	store.doc.Term.T, store.doc.Released = 10*time.Second, true // without waiting for W
	old := startReplica(t, store, upstream.URL, "old")
	eventually(t, "the old replica is ready", old.ready)

	var target atomic.Pointer[replica]
	target.Store(old)
	ctx, cancel := context.WithCancel(t.Context())
	var answered atomic.Int64
	var workers sync.WaitGroup
	for worker := range 8 {
		c := protocolClient(t, 1+worker%2)
		transport, _ := c.Transport.(*http.Transport)
		transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, target.Load().cfg.Listen)
		}
		workers.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				path := "/fast"
				if worker < 2 {
					path = "/slow"
				}
				want := fmt.Sprintf("%d-%d", worker, n)
				// A body that cannot be read again: neither client nor gateway may send it twice.
				response, err := c.Post("https://gateway"+path, "text/plain", struct{ io.Reader }{strings.NewReader(want)})
				if err != nil {
					t.Errorf("worker %d, request %d: %v", worker, n, err)
					return
				}
				got, err := io.ReadAll(response.Body)
				response.Body.Close()
				if err != nil || response.StatusCode != http.StatusOK || string(got) != want {
					t.Errorf("worker %d, request %d: %d %q %v", worker, n, response.StatusCode, got, err)
					return
				}
				answered.Add(1)
			}
		})
	}
	eventually(t, "requests pass", func() bool { return answered.Load() > 50 })

	fresh := startReplica(t, store, upstream.URL, "fresh")
	eventually(t, "the new replica is ready", fresh.ready)
	old.stop()
	eventually(t, "the old replica says that it goes", func() bool { return !old.ready() })
	time.Sleep(200 * time.Millisecond) // the load balancer hears of it late
	target.Store(fresh)
	if err := <-old.done; err != nil {
		t.Errorf("the old replica ended with %v", err)
	}
	before := answered.Load()
	eventually(t, "requests pass through the new one", func() bool { return answered.Load() > before+50 })
	cancel()
	workers.Wait()
	if served.Load() != answered.Load() {
		t.Errorf("%d requests were served, %d answered", served.Load(), answered.Load())
	}
	doc, _, _ := store.Read(t.Context())
	if doc.Epoch != 1 || doc.Closing || doc.Released {
		t.Errorf("a rolling update must not touch the epoch: %+v", doc)
	}
}

func TestRunReportsAddressesInUse(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	for _, taken := range []func(*Config){
		func(c *Config) { c.Listen = listener.Addr().String() }, func(c *Config) { c.Status = listener.Addr().String() },
		func(c *Config) { c.Authz = listener.Addr().String() },
	} {
		cfg := testConfig(t, newMemoryStore(), "http://127.0.0.1:1")
		cfg.Listen, cfg.Status = "127.0.0.1:0", "127.0.0.1:0"
		taken(&cfg)
		var op *net.OpError
		if err := New(cfg).Run(t.Context()); !errors.As(err, &op) {
			t.Errorf("got %v", err)
		}
	}
}
