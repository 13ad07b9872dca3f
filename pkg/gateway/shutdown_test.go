package gateway

import (
	"context"
	"crypto/tls"
	"encoding/json"
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

	"github.com/aporeto-inc/kubectl-aporeto/pkg/lease"
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

// state returns what r says of itself, "" when it does not answer.
func (r *replica) state() lease.State {
	response, err := http.Get("http://" + r.cfg.Status + IdentityPath)
	if err != nil {
		return ""
	}
	defer response.Body.Close()
	var identity Identity
	_ = json.NewDecoder(response.Body).Decode(&identity)
	return identity.State
}

func (r *replica) ready() bool {
	response, err := http.Get("http://" + r.cfg.Status + "/healthz/ready")
	if err != nil {
		return false
	}
	response.Body.Close()
	return response.StatusCode == http.StatusOK
}

// TestRollingUpdateLosesNothing replaces one replica by another behind a load balancer that hears of it later than the replica lingers, under
// requests that no client may repeat by itself, on connections that are new, busy or idle, and while an ingress asks for the gate's decision.
func TestRollingUpdateLosesNothing(t *testing.T) {
	t.Parallel()
	var served atomic.Int64
	holding := make(chan struct{})
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		if r.URL.Path == "/slow" {
			time.Sleep(1500 * time.Millisecond) // longer than the linger
		}
		if r.URL.Path == "/held" {
			<-holding // keeps the old replica draining
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
	through := func(version int, address func(*replica) string) *http.Client {
		c := protocolClient(t, version)
		transport, _ := c.Transport.(*http.Transport)
		transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, address(target.Load()))
		}
		return c
	}
	public := func(r *replica) string { return r.cfg.Listen }
	// A body that cannot be read again: neither client nor gateway may send it twice.
	post := func(c *http.Client, path, want string) error {
		r, err := http.NewRequest(http.MethodPost, "https://gateway"+path, struct{ io.Reader }{strings.NewReader(want)})
		if err != nil {
			return err
		}
		if want == "" { // what a lane takes
			r.Method, r.Body = http.MethodGet, http.NoBody
		}
		response, err := c.Do(r)
		if err != nil {
			return err
		}
		got, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil || response.StatusCode != http.StatusOK || string(got) != want {
			return fmt.Errorf("%d %q %w", response.StatusCode, got, err)
		}
		answered.Add(1)
		return nil
	}
	for worker := range 12 {
		c := through(1+worker%2, public)
		workers.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				path := "/fast"
				if worker < 2 {
					path = "/slow"
				}
				if worker >= 8 {
					time.Sleep(10 * time.Millisecond)
					c.CloseIdleConnections()
				}
				if err := post(c, path, fmt.Sprintf("%d-%d", worker, n)); err != nil {
					t.Errorf("worker %d, request %d: %v", worker, n, err)
					return
				}
			}
		})
	}
	ingress := through(1, func(r *replica) string { return r.cfg.Authz })
	workers.Go(func() {
		for ctx.Err() == nil {
			response, err := ingress.Get("http://gateway/authz")
			if err != nil {
				t.Errorf("authz: %v", err)
				return
			}
			_, _ = io.Copy(io.Discard, response.Body)
			response.Body.Close()
			if response.StatusCode != http.StatusOK {
				t.Errorf("authz: %d", response.StatusCode)
			}
		}
	})
	idle := []*http.Client{through(1, public), through(2, public), through(1, public)}
	asked := func(when string) {
		for i, c := range idle {
			body := when
			if i == 2 {
				body = ""
			}
			if err := post(c, "/fast", body); err != nil {
				t.Errorf("idle client %d, %s: %v", i, when, err)
			}
		}
	}
	asked("before")
	eventually(t, "requests pass", func() bool { return answered.Load() > 50 })

	fresh := startReplica(t, store, upstream.URL, "fresh")
	eventually(t, "the new replica is ready", fresh.ready)
	old.stop()
	eventually(t, "the old replica says that it goes", func() bool { return !old.ready() })
	workers.Go(func() {
		if err := post(through(1, public), "/held", "held"); err != nil {
			t.Error(err)
		}
	})
	time.Sleep(2 * old.cfg.Linger) // the load balancer hears of it late
	target.Store(fresh)
	eventually(t, "the old replica's gate has closed", func() bool { return old.state() == lease.Draining })
	asked("after being idle")
	close(holding)
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

// TestReplicaLeavesThoughClientsKeepComing has a load balancer that never forgets the replica.
func TestReplicaLeavesThoughClientsKeepComing(t *testing.T) {
	t.Parallel()
	upstream := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(upstream.Close)
	store := newMemoryStore()
	store.doc.Term.T, store.doc.Released = 10*time.Second, true
	r := startReplica(t, store, upstream.URL, "old")
	eventually(t, "the replica is ready", r.ready)
	r.stop()
	c := protocolClient(t, 1)
	for began, served := time.Now(), 0; ; served++ {
		response, err := c.Get("https://" + r.cfg.Listen)
		if err != nil {
			if served == 0 || time.Since(began) < r.cfg.Linger+lingerMore {
				t.Errorf("after %v and %d requests: %v", time.Since(began), served, err)
			}
			break
		}
		response.Body.Close()
		if response.StatusCode != http.StatusOK {
			t.Fatalf("after %v and %d requests: %d", time.Since(began), served, response.StatusCode)
		}
		time.Sleep(50 * time.Millisecond)
	}
	if err := <-r.done; err != nil {
		t.Errorf("the replica ended with %v", err)
	}
}

// TestConnectionsEndWithAFIN has clients that said more than was read when the gateway closes: what they see is the connection's end, and no
// RST before it. See parting.
func TestConnectionsEndWithAFIN(t *testing.T) {
	t.Parallel()
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "served") }))
	t.Cleanup(upstream.Close)
	store := newMemoryStore()
	store.doc.Term.T, store.doc.Released = 10*time.Second, true
	r := startReplica(t, store, upstream.URL, "only")
	eventually(t, "the replica is ready", r.ready)
	for _, path := range []string{"/", IdentityPath} {
		raw, err := net.Dial("tcp", r.cfg.Listen)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { raw.Close() })
		conn := tls.Client(raw, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}}) //nolint:gosec // a test's certificate
		if err := conn.Handshake(); err != nil {
			t.Fatal(err)
		}
		tooMuch := strings.Repeat("x", 64<<10)
		// The connection may have ended before all of it is sent.
		_, _ = io.WriteString(conn, "GET "+path+" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"+tooMuch)
		answer, err := io.ReadAll(conn)
		if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 200 OK\r\n") {
			t.Fatalf("%s: %q, %v", path, answer, err)
		}
		if n, err := raw.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
			t.Errorf("%s: after the answer: %d bytes, %v", path, n, err)
		}
	}
}
