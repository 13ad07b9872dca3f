package hold

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// status is what the endpoint needs to know of the holder.
type status struct {
	mu      sync.Mutex
	phase   phase
	since   time.Time // when the phase began
	started bool      // the startup probe has succeeded since then
	run     int       // counts starts
}

func (s *status) become(p phase) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.phase, s.since, s.started = p, time.Now(), false
	if p == running {
		s.run++
	}
}

func (s *status) now() (p phase, since time.Duration, started bool, run int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.phase, time.Since(s.since), s.started, s.run
}

// start notes that run's startup probe has succeeded.
func (s *status) start(run int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.run == run {
		s.started = true
	}
}

// endpoint answers the kubelet's probes at /readiness and /liveness: well while the command is held, and by the user's own probes while
// it runs. The startup probe is asked from here too, after each start of the command and not only after the container's.
type endpoint struct {
	probes Probes
	status *status
	kids   *children
}

// serve listens on address until ctx ends.
func (e *endpoint) serve(ctx context.Context, address string) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("listen for probes: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /readiness", func(w http.ResponseWriter, r *http.Request) { say(w, e.readiness(r.Context())) })
	mux.HandleFunc("GET /liveness", func(w http.ResponseWriter, r *http.Request) { say(w, e.liveness(r.Context())) })
	server := &http.Server{
		Handler: mux, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: maxBody,
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	go func() { _ = server.Serve(listener) }() // it returns when it is closed
	context.AfterFunc(ctx, func() { server.Close() })
	return nil
}

func say(w http.ResponseWriter, trouble error) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if trouble != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = w.Write([]byte(trouble.Error() + "\n")) // an error means that the kubelet went away
		return
	}
	_, _ = w.Write([]byte("ok\n"))
}

// readiness is nil while the command is held: such a pod does what it shall, and a deploy must not wait for it.
func (e *endpoint) readiness(ctx context.Context) error {
	phase, since, _, _ := e.status.now()
	switch phase {
	case held:
		return nil
	case running:
	default:
		return fmt.Errorf("the command is %s", phase)
	}
	if err := e.startup(ctx); err != nil {
		return err
	}
	if since < e.probes.Readiness.delay() {
		return errors.New("the command has only just started")
	}
	return e.check(ctx, e.probes.Readiness)
}

// liveness is nil unless the command runs and its own probes say that it should be started anew.
func (e *endpoint) liveness(ctx context.Context) error {
	phase, since, _, _ := e.status.now()
	if phase != running || since < e.probes.Liveness.delay() {
		return nil
	}
	if err := e.startup(ctx); err != nil {
		if since < e.probes.Startup.allowance() {
			return nil
		}
		return err
	}
	return e.check(ctx, e.probes.Liveness)
}

// startup is nil once the startup probe has succeeded since the command was started, or where there is none.
func (e *endpoint) startup(ctx context.Context) error {
	_, since, started, run := e.status.now()
	if started || e.probes.Startup == nil {
		return nil
	}
	if since < e.probes.Startup.delay() {
		return errors.New("the command has only just started")
	}
	if err := e.check(ctx, e.probes.Startup); err != nil {
		return fmt.Errorf("startup: %w", err)
	}
	e.status.start(run)
	return nil
}

// check asks what p says, as the kubelet would.
func (e *endpoint) check(ctx context.Context, p *Probe) error {
	switch {
	case p == nil:
		return nil
	case p.HTTPGet != nil:
		return e.httpGet(ctx, p)
	case p.TCPSocket != nil:
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", e.address(p.TCPSocket.Host, p.TCPSocket.Port))
		if err != nil {
			return fmt.Errorf("probe: %w", err)
		}
		conn.Close()
		return nil
	}
	return e.run(ctx, p.Exec.Command)
}

func (e *endpoint) address(host string, port uint16) string {
	if host == "" {
		host = e.probes.Host
	}
	return net.JoinHostPort(host, strconv.Itoa(int(port)))
}

func (e *endpoint) httpGet(ctx context.Context, p *Probe) error {
	scheme := "http"
	if strings.EqualFold(p.HTTPGet.Scheme, "https") {
		scheme = "https"
	}
	target := scheme + "://" + e.address(p.HTTPGet.Host, p.HTTPGet.Port) + "/" + strings.TrimPrefix(p.HTTPGet.Path, "/")
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, http.NoBody)
	if err != nil {
		return fmt.Errorf("probe: %w", err)
	}
	req.Header.Set("User-Agent", "kube-probe/aporeto-agent")
	for _, h := range p.HTTPGet.Headers {
		if strings.EqualFold(h.Name, "host") {
			req.Host = h.Value
			continue
		}
		req.Header.Add(h.Name, h.Value)
	}
	transport := &http.Transport{
		DisableKeepAlives: true, DisableCompression: true,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // the kubelet does not verify a probe's certificate either
	}
	defer transport.CloseIdleConnections()
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return fmt.Errorf("probe: %w", err)
	}
	resp.Body.Close()
	if resp.StatusCode < 200 || resp.StatusCode >= 400 {
		return fmt.Errorf("probe: %s answered %q", target, resp.Status)
	}
	return nil
}

// run executes a probe's command, and kills it when ctx ends.
func (e *endpoint) run(ctx context.Context, command []string) error {
	path, err := exec.LookPath(command[0])
	if err != nil {
		return fmt.Errorf("probe: %w", err)
	}
	pid, dead, err := e.kids.start(path, command)
	if err != nil {
		return fmt.Errorf("probe: %w", err)
	}
	select {
	case s := <-dead:
		if !s.Exited() || s.ExitStatus() != 0 {
			return fmt.Errorf("probe: %q ended with status %d", command[0], s.ExitStatus())
		}
		return nil
	case <-ctx.Done():
		e.kids.signal(-pid, syscall.SIGKILL)
		return fmt.Errorf("probe: %q: %w", command[0], ctx.Err())
	}
}
