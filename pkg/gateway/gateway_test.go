package gateway

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/clock"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/lease"
)

// fastTerm is short enough for tests and long enough for a busy machine.
func fastTerm() lease.Term {
	return lease.Term{T: 800 * time.Millisecond, R: 100 * time.Millisecond, P: 50 * time.Millisecond, C: 200 * time.Millisecond, J: 50 * time.Millisecond, D: 2 * time.Second, Rho: 0.01}
}

// memoryStore is a lease document in memory.
type memoryStore struct {
	mu      sync.Mutex
	doc     lease.Document
	records []lease.Record
	down    bool
}

func newMemoryStore() *memoryStore {
	return &memoryStore{doc: lease.Document{Nonce: "first", Term: fastTerm()}}
}

func (s *memoryStore) Read(context.Context) (lease.Document, []lease.Record, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return lease.Document{}, nil, errors.New("unreachable")
	}
	return s.doc, s.records, nil
}

func (s *memoryStore) Write(_ context.Context, w lease.Write) (lease.Document, lease.Outcome, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return lease.Document{}, lease.Unknown, errors.New("unreachable")
	}
	doc, applied := w.Apply(s.doc)
	if !applied {
		return doc, lease.Refused, nil
	}
	s.doc = doc
	return doc, lease.Applied, nil
}

func (s *memoryStore) set(change func(*memoryStore)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

// lab is one running gateway in front of a service.
type lab struct {
	*Gateway
	url   string
	store *memoryStore
}

func newLab(t *testing.T, service http.Handler, change ...func(*Config)) *lab {
	t.Helper()
	upstream := httptest.NewServer(service)
	t.Cleanup(upstream.Close)
	store := newMemoryStore()
	cfg := testConfig(t, store, upstream.URL)
	for _, c := range change {
		c(&cfg)
	}
	g := New(cfg)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := g.publicServer()
	go func() { _ = server.ServeTLS(bundling{listener}, "", "") }() // ends with Close
	t.Cleanup(func() { server.Close() })
	return &lab{Gateway: g, url: "https://" + listener.Addr().String(), store: store}
}

// testConfig is that of a replica of a single zone whose every request goes to upstream.
func testConfig(t testing.TB, store Store, upstream string) Config {
	t.Helper()
	routes, err := ParseRoutes(fmt.Appendf(nil, `{"routes":[{"host":"","path":"/","upstream":%q}]}`, upstream))
	if err != nil {
		t.Fatal(err)
	}
	pair := selfSigned(t, "gateway")
	return Config{
		Environment: "env-1", Zone: "West", Version: "test", Routes: routes, Store: store, Clock: clock.System(), Log: slog.New(slog.DiscardHandler),
		Certificate: func() (*tls.Certificate, error) { return pair, nil },
		Lease: lease.Config{
			Zone: "west", Replica: "pod-1", Term: fastTerm(), Standing: true, Drain: 300 * time.Millisecond, Nonce: rand.Text,
			Jitter: func(time.Duration) time.Duration { return 0 },
		},
	}
}

// run starts the keeper and returns a function that asks it to stop and waits.
func (l *lab) run(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	asked, done := make(chan struct{}), make(chan struct{})
	go func() { defer close(done); l.keeper.Run(ctx, asked) }()
	once := sync.OnceFunc(func() { close(asked); <-done; cancel() })
	t.Cleanup(once)
	return once
}

func client(t *testing.T) *http.Client {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true} //nolint:gosec // httptest's certificate
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 10 * time.Second}
}

func get(t *testing.T, url string, headers ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	response, err := client(t).Do(r)
	if err != nil {
		t.Fatalf("GET %s: %v", url, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(body)
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("never came true: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (l *lab) isOpen() bool { return l.keeper.View().Open }

func TestClosedSurface(t *testing.T) {
	l := newLab(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a closed gate let a request through") }))
	response, body := get(t, l.url+"/anything")
	var problems []Problem
	if err := json.Unmarshal([]byte(body), &problems); err != nil || len(problems) != 1 {
		t.Fatalf("body %q is not the platform's error form: %v", body, err)
	}
	p := problems[0]
	if response.StatusCode != 423 || p.Code != 423 || p.Title != "Service Locked" || p.Subject != "gateway" || !strings.Contains(p.Description, "maintenance") {
		t.Errorf("got %d %+v", response.StatusCode, p)
	}
	if response.Header.Get("Retry-After") == "" || response.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("headers %v", response.Header)
	}
	if response, body := get(t, l.url+"/", "Accept", "text/html,application/xhtml+xml"); response.StatusCode != 423 || !strings.Contains(body, "<h1>") {
		t.Errorf("browser got %d %q", response.StatusCode, body)
	}
	if response, _ := get(t, l.url+"/healthz/active"); response.StatusCode != 423 {
		t.Errorf("active %d", response.StatusCode)
	}
	if response, _ := get(t, l.url+"/healthz/active?lockedcode=503"); response.StatusCode != 503 {
		t.Errorf("active with lockedcode=503: %d", response.StatusCode)
	}
	if response, _ := get(t, l.url+"/healthz/active?lockedcode=9"); response.StatusCode != 400 {
		t.Errorf("active with lockedcode=9: %d", response.StatusCode)
	}
	if response, _ := get(t, l.url+"/healthz/live"); response.StatusCode != 200 {
		t.Errorf("live %d", response.StatusCode)
	}
	if response, _ := get(t, l.url+"/healthz/eligible"); response.StatusCode != 503 {
		t.Errorf("eligible before the database was read: %d", response.StatusCode)
	}
	var identity Identity
	response, body = get(t, l.url+IdentityPath+"?nonce=n1")
	if err := json.Unmarshal([]byte(body), &identity); err != nil {
		t.Fatal(err)
	}
	if want := (Identity{Environment: "env-1", Zone: "West", State: lease.Locked, Nonce: "n1"}); response.StatusCode != 200 || identity != want {
		t.Errorf("identity %d %+v, want %+v", response.StatusCode, identity, want)
	}
	options, err := http.NewRequestWithContext(t.Context(), http.MethodOptions, l.url+"/x", nil)
	if err != nil {
		t.Fatal(err)
	}
	options.Header.Set("Origin", "https://ui.example.com")
	answer, err := client(t).Do(options)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != 200 || answer.Header.Get("Access-Control-Allow-Origin") != "https://ui.example.com" {
		t.Errorf("OPTIONS %d %v", answer.StatusCode, answer.Header)
	}
}

func TestOpensOnlyAfterTheWait(t *testing.T) {
	l := newLab(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s %s", r.Host, r.URL.EscapedPath(), r.Header.Get("X-Forwarded-For"))
	}))
	start := time.Now()
	l.run(t)
	eventually(t, "gate open", l.isOpen)
	if waited := time.Since(start); waited < fastTerm().Wait() {
		t.Errorf("opened after %v, before W = %v", waited, fastTerm().Wait())
	}
	response, body := get(t, l.url+"//a/../b%2Fc", "X-Forwarded-For", "6.6.6.6")
	if response.StatusCode != 200 || !strings.Contains(body, "//a/../b%2Fc 127.0.0.1") {
		t.Errorf("got %d %q: the path must pass as it is, the forged header must not", response.StatusCode, body)
	}
}

func TestUnreachableDatabaseCutsEverything(t *testing.T) {
	reached := make(chan struct{}, 2)
	l := newLab(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			fmt.Fprint(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
			reached <- struct{}{}
			_, _ = io.Copy(conn, conn)
			return
		}
		w.WriteHeader(200)
		_ = http.NewResponseController(w).Flush()
		reached <- struct{}{}
		<-r.Context().Done() // a stream without end
	}))
	l.run(t)
	eventually(t, "gate open", l.isOpen)

	stream := make(chan error, 1)
	go func() {
		response, err := client(t).Get(l.url + "/stream")
		if err == nil {
			_, err = io.ReadAll(response.Body)
			response.Body.Close()
		}
		stream <- err
	}()
	upgraded, err := tls.Dial("tcp", strings.TrimPrefix(l.url, "https://"), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}}) //nolint:gosec // httptest's certificate
	if err != nil {
		t.Fatal(err)
	}
	defer upgraded.Close()
	fmt.Fprint(upgraded, "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	reader := bufio.NewReader(upgraded)
	if response, err := http.ReadResponse(reader, nil); err != nil || response.StatusCode != 101 {
		t.Fatalf("upgrade: %v %v", response, err)
	}
	<-reached
	<-reached
	fmt.Fprint(upgraded, "hello\n")
	if line, err := reader.ReadString('\n'); line != "hello\n" {
		t.Fatalf("echo %q %v", line, err)
	}

	l.store.set(func(s *memoryStore) { s.down = true })
	eventually(t, "gate closed", func() bool { return !l.isOpen() })
	if err := <-stream; err == nil {
		t.Error("the stream ended as if it were complete")
	}
	if err := upgraded.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	var timeout net.Error
	if _, err := reader.ReadByte(); err == nil || errors.As(err, &timeout) && timeout.Timeout() {
		t.Errorf("the upgraded connection was not cut: %v", err)
	}
	if response, _ := get(t, l.url+"/"); response.StatusCode != 423 {
		t.Errorf("after the fence: %d", response.StatusCode)
	}
	eventually(t, "nothing under way", func() bool { return l.gate.Within() == 0 })

	l.store.set(func(s *memoryStore) { s.down = false })
	eventually(t, "open again, nobody else having claimed", l.isOpen)
}

func TestPlannedCloseDrains(t *testing.T) {
	entered, finish := make(chan struct{}), make(chan struct{})
	l := newLab(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(entered)
		<-finish
		fmt.Fprint(w, "done")
	}))
	l.run(t)
	eventually(t, "gate open", l.isOpen)
	slow := make(chan string, 1)
	go func() {
		_, body := get(t, l.url+"/slow")
		slow <- body
	}()
	<-entered
	l.store.set(func(s *memoryStore) {
		doc, applied := lease.CloseWrite(s.doc, "east", nil, "n").Apply(s.doc)
		if !applied {
			t.Error("close did not match")
		}
		s.doc = doc
	})
	eventually(t, "draining", func() bool { return l.keeper.View().State == lease.Draining })
	if response, _ := get(t, l.url+"/new"); response.StatusCode != 423 {
		t.Errorf("a new request while draining: %d", response.StatusCode)
	}
	close(finish)
	if body := <-slow; body != "done" {
		t.Errorf("the request under way got %q", body)
	}
	eventually(t, "handed over", func() bool {
		doc, _, _ := l.store.Read(t.Context())
		return doc.Holder == "east" && doc.Override && len(doc.Open) == 0
	})
	if _, body := get(t, l.url+"/"); !strings.Contains(body, "east") {
		t.Errorf("the 423 does not name the active zone: %s", body)
	}
}

func TestStopLetsRequestsFinish(t *testing.T) {
	entered, finish := make(chan struct{}), make(chan struct{})
	l := newLab(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(entered)
		<-finish
		fmt.Fprint(w, "done")
	}))
	stop := l.run(t)
	eventually(t, "gate open", l.isOpen)
	slow := make(chan string, 1)
	go func() {
		_, body := get(t, l.url+"/slow")
		slow <- body
	}()
	<-entered
	go stop()
	eventually(t, "refusing", func() bool { return !l.isOpen() })
	close(finish)
	if body := <-slow; body != "done" {
		t.Errorf("the request under way got %q", body)
	}
	doc, _, _ := l.store.Read(t.Context())
	if doc.Released || doc.Closing || doc.Holder != "west" {
		t.Errorf("a stopping replica must leave the epoch as it is: %+v", doc)
	}
}

func readAll(t *testing.T, r io.Reader) string {
	t.Helper()
	all, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(all)
}
