package agentcli_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/agentcli"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/lease"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongo"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongo/mongotest"
)

// asAgent makes this test binary the agent, for tests that need it as a process of its own.
const asAgent = "APORETO_TEST_AS_AGENT"

func TestMain(m *testing.M) {
	if os.Getenv(asAgent) == "" {
		os.Exit(m.Run())
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	code := agentcli.Main(ctx, &agentcli.Env{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr, Getenv: os.Getenv, Version: "test"}, os.Args[1:])
	stop()
	os.Exit(code)
}

// newLease makes an environment's lease, whose first claim need not wait long, and returns the administrator's client.
func newLease(t *testing.T, server *mongotest.Server, environment string) *mongo.Client {
	t.Helper()
	certificate := server.Certificate(server.Admin())
	admin, err := mongo.Connect(t.Context(), mongo.Options{
		URI: server.URI(), CA: server.TrustPEM(), Certificate: func() (*tls.Certificate, error) { return &certificate, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = admin.Close(context.WithoutCancel(t.Context())) })
	first := lease.DefaultTerm()
	first.T = time.Second
	if _, err := admin.EnsureLease(t.Context(), environment, first); err != nil {
		t.Fatal(err)
	}
	return admin
}

// process is one gateway that runs by itself.
type process struct {
	t       *testing.T
	address string
	url     string
	pid     int
	http    *http.Client
	ended   func() // kills it and waits
}

// gatewayUser makes the database user of a zone's gateways and returns its DN.
func gatewayUser(server *mongotest.Server, zone string) string {
	dn := "CN=gateway-" + zone + ",OU=root,O=system"
	server.CreateUser(dn, mongotest.Role("readWrite", mongo.Database))
	return dn
}

// startProcess starts replica 1 of zone.
func startProcess(t *testing.T, server *mongotest.Server, environment, zone, upstream string) *process {
	t.Helper()
	ca, certKey := server.Files(gatewayUser(server, zone))
	return startReplica(t, server, environment, zone, "1", upstream, ca, certKey)
}

// startReplica starts a replica of zone. Zones are wanted always, so that what keeps another one from opening is the lease alone.
func startReplica(t *testing.T, server *mongotest.Server, environment, zone, replica, upstream, ca, certKey string) *process {
	t.Helper()
	routes := filepath.Join(t.TempDir(), "routes.json")
	if err := os.WriteFile(routes, fmt.Appendf(nil, `{"routes":[{"path":"/","upstream":%q}]}`, upstream), 0o600); err != nil {
		t.Fatal(err)
	}
	address := freeAddress(t)
	cmd := exec.CommandContext(t.Context(), os.Args[0], "gateway", "--environment="+environment, "--zone="+zone, "--replica="+zone+replica, "--listen="+address,
		"--status-listen="+freeAddress(t), "--tls-cert="+certKey, "--tls-key="+certKey, "--routes="+routes, "--standing-intent", "--linger=0s",
		"--mongodb-uri="+server.URI(), "--mongodb-ca="+ca, "--mongodb-cert-key="+certKey)
	cmd.Env = append(os.Environ(), asAgent+"=1")
	if testing.Verbose() {
		cmd.Stderr = os.Stderr
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	end := sync.OnceFunc(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	t.Cleanup(end)
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}}} //nolint:gosec // a test's certificate
	t.Cleanup(transport.CloseIdleConnections)
	return &process{t: t, address: address, ended: end, url: "https://" + address, pid: cmd.Process.Pid, http: &http.Client{Transport: transport}}
}

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := syscall.Kill(p.pid, s); err != nil {
		p.t.Fatal(err)
	}
}

// open asks once.
func (p *process) open() bool {
	ctx, cancel := context.WithTimeout(p.t.Context(), 2*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+"/", http.NoBody)
	if err != nil {
		p.t.Fatal(err)
	}
	response, err := p.http.Do(r)
	if err != nil {
		return false
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, response.Body)
	return response.StatusCode == http.StatusOK
}

func (p *process) waitOpen(what string) {
	p.t.Helper()
	for end := time.Now().Add(40 * time.Second); !p.open(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			p.t.Fatalf("%s never opened", what)
		}
	}
}

// upstream is a service that never stops sending events with its time, and one that records what bodies it gets.
type upstream struct {
	mu   sync.Mutex
	last time.Time // when a piece of a body came
}

func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/events":
		for r.Context().Err() == nil {
			if _, err := fmt.Fprintf(w, "%d\n", time.Now().UnixNano()); err != nil {
				return
			}
			_ = http.NewResponseController(w).Flush()
			time.Sleep(20 * time.Millisecond)
		}
	case "/body":
		for buffer := make([]byte, 1024); ; {
			_, err := r.Body.Read(buffer)
			if err != nil {
				return
			}
			u.mu.Lock()
			u.last = time.Now()
			u.mu.Unlock()
		}
	}
}

func (u *upstream) lastPiece() time.Time {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.last
}

// TestPausedProcessLetsNothingThrough stops the active zone's gateway, as a hypervisor or a long collection would, until the other zone
// serves, and lets it go on: from then on neither a new request nor anything that was under way may pass.
func TestPausedProcessLetsNothingThrough(t *testing.T) {
	t.Parallel()
	server := mongotest.Start(t, mongotest.Options{})
	const environment = "paused"
	newLease(t, server, environment)
	u := &upstream{}
	service := httptest.NewServer(u)
	t.Cleanup(service.Close)
	a := startProcess(t, server, environment, "a", service.URL)
	a.waitOpen("zone a")
	b := startProcess(t, server, environment, "b", service.URL)

	// Under way: events to clients, so many that some would pass in the moment before the gate is cut, and a body to the service.
	var streams []*bufio.Scanner
	for range 100 {
		events, err := a.http.Get(a.url + "/events") //nolint:noctx // ends with the process
		if err != nil {
			t.Fatal(err)
		}
		defer events.Body.Close()
		lines := bufio.NewScanner(events.Body)
		if !lines.Scan() {
			t.Fatal("no event came")
		}
		streams = append(streams, lines)
	}
	reader, writer := io.Pipe()
	defer writer.Close()
	go func() {
		if response, err := a.http.Post(a.url+"/body", "text/plain", reader); err == nil { //nolint:noctx // ends with the process
			response.Body.Close()
		}
		_ = reader.CloseWithError(io.ErrClosedPipe)
	}()
	go func() {
		for {
			if _, err := writer.Write([]byte("piece\n")); err != nil {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
	}()
	for u.lastPiece().IsZero() {
		time.Sleep(10 * time.Millisecond)
	}

	a.signal(syscall.SIGSTOP)
	stopped := time.Now()
	b.waitOpen("zone b, while zone a's process is stopped,")
	if waited := time.Since(stopped); waited < 6*time.Second {
		t.Errorf("zone b opened %v after zone a's last renewal at the latest: too early", waited)
	}
	a.signal(syscall.SIGCONT)
	goesOn := time.Now()
	for time.Since(goesOn) < time.Second {
		if a.open() {
			t.Fatal("zone a answered a request though zone b serves")
		}
	}
	for _, lines := range streams {
		for lines.Scan() { // ends, for the stream was cut
			stamp, err := strconv.ParseInt(strings.TrimSpace(lines.Text()), 10, 64)
			if err == nil && time.Unix(0, stamp).After(stopped.Add(time.Second)) {
				t.Fatalf("an event of %v after the stop came through", time.Unix(0, stamp).Sub(stopped))
			}
		}
	}
	if last := u.lastPiece(); last.After(stopped.Add(time.Second)) {
		t.Errorf("the service got a piece of a body %v after the stop", last.Sub(stopped))
	}
	if !b.open() {
		t.Error("zone b does not serve any more")
	}
}
