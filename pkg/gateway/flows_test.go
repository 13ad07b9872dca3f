package gateway

import (
	"bufio"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/lease"
)

// service answers as the services behind a gateway do: /echo streams the body back as it comes, /events sends server-sent events until
// over is closed, /socket takes over the connection as a websocket would and echoes, /hash reads it all first.
func service(over <-chan struct{}) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		_ = control.EnableFullDuplex()
		buffer := make([]byte, 32<<10)
		for {
			n, err := r.Body.Read(buffer)
			if _, wrong := w.Write(buffer[:n]); wrong != nil || err != nil {
				if err != io.EOF { //nolint:errorlint // a Reader returns io.EOF itself
					panic(http.ErrAbortHandler)
				}
				return
			}
			_ = control.Flush()
		}
	})
	mux.HandleFunc("/events", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		ticker := time.NewTicker(5 * time.Millisecond)
		defer ticker.Stop()
		for n := 0; ; n++ {
			fmt.Fprintf(w, "data: %d\n\n", n)
			_ = http.NewResponseController(w).Flush()
			select {
			case <-over:
				return
			case <-r.Context().Done():
				return
			case <-ticker.C:
			}
		}
	})
	mux.HandleFunc("/socket", func(w http.ResponseWriter, r *http.Request) {
		if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
			http.Error(w, "no upgrade", http.StatusUpgradeRequired)
			return
		}
		conn, buffer, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		fmt.Fprint(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		for {
			line, err := buffer.ReadString('\n')
			if err != nil || line == "bye\n" {
				return
			}
			fmt.Fprint(conn, line)
		}
	})
	mux.HandleFunc("/hash", func(w http.ResponseWriter, r *http.Request) {
		hash := sha256.New()
		if _, err := io.Copy(hash, r.Body); err != nil {
			panic(http.ErrAbortHandler)
		}
		fmt.Fprintf(w, "%x", hash.Sum(nil))
	})
	mux.HandleFunc("/", func(http.ResponseWriter, *http.Request) {})
	return mux
}

// flow is something under way through a gateway that goes on until it is finished or cut.
type flow struct {
	beats  atomic.Int64 // pieces that came through
	finish func()       // from the client's side; the service's events end by themselves
	ended  chan error   // nil for an end in order
}

func protocolClient(t *testing.T, version int) *http.Client {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: version == 2} //nolint:gosec // a test's certificate
	if version == 1 {
		transport.TLSClientConfig.NextProtos = []string{"http/1.1"}
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func (l *lab) startEvents(t *testing.T, version int) *flow {
	t.Helper()
	f := &flow{finish: func() {}, ended: make(chan error, 1)}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, l.url+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := protocolClient(t, version).Do(r)
	if err != nil || response.ProtoMajor != version {
		t.Fatalf("events over HTTP/%d: %v %v", version, response, err)
	}
	go func() {
		defer response.Body.Close()
		lines := bufio.NewScanner(response.Body)
		for lines.Scan() {
			f.beats.Add(1)
		}
		f.ended <- lines.Err()
	}()
	return f
}

func (l *lab) startEcho(t *testing.T, version int) *flow {
	t.Helper()
	f := &flow{ended: make(chan error, 1)}
	reader, writer := io.Pipe()
	t.Cleanup(func() { writer.Close() })
	ctx, cancel := context.WithCancel(t.Context())
	f.finish = cancel
	go func() {
		for ctx.Err() == nil {
			if _, err := writer.Write([]byte("beat\n")); err != nil {
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
		writer.Close()
	}()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, l.url+"/echo", reader)
	if err != nil {
		t.Fatal(err)
	}
	response, err := protocolClient(t, version).Do(r)
	if err != nil || response.ProtoMajor != version || response.StatusCode != http.StatusOK {
		t.Fatalf("echo over HTTP/%d: %v %v", version, response, err)
	}
	go func() {
		defer response.Body.Close()
		lines := bufio.NewScanner(response.Body)
		for lines.Scan() {
			f.beats.Add(1)
		}
		f.ended <- lines.Err()
	}()
	return f
}

// startSocketRaw upgrades a connection and leaves it at that.
func (l *lab) startSocketRaw(t *testing.T) (net.Conn, *bufio.Reader) {
	t.Helper()
	config := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}} //nolint:gosec // a test's certificate
	conn, err := tls.Dial("tcp", strings.TrimPrefix(l.url, "https://"), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	fmt.Fprint(conn, "GET /socket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	reader := bufio.NewReader(conn)
	if response, err := http.ReadResponse(reader, nil); err != nil || response.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("upgrade: %v %v", response, err)
	}
	return conn, reader
}

func (l *lab) startSocket(t *testing.T) *flow {
	t.Helper()
	f := &flow{ended: make(chan error, 1)}
	conn, reader := l.startSocketRaw(t)
	var finish atomic.Bool
	f.finish = func() { finish.Store(true) }
	go func() {
		for !finish.Load() {
			fmt.Fprint(conn, "beat\n")
			if _, err := reader.ReadString('\n'); err != nil {
				f.ended <- err
				return
			}
			f.beats.Add(1)
			time.Sleep(5 * time.Millisecond)
		}
		fmt.Fprint(conn, "bye\n")
		_, err := reader.ReadString('\n')
		if errors.Is(err, io.EOF) {
			err = nil
		}
		f.ended <- err
	}()
	return f
}

func (l *lab) startAll(t *testing.T) map[string]*flow {
	t.Helper()
	return map[string]*flow{
		"events over HTTP/1.1": l.startEvents(t, 1), "events over HTTP/2": l.startEvents(t, 2),
		"echo over HTTP/1.1": l.startEcho(t, 1), "echo over HTTP/2": l.startEcho(t, 2), "websocket": l.startSocket(t),
	}
}

func (l *lab) order(t *testing.T, successor string) {
	t.Helper()
	l.store.set(func(s *memoryStore) {
		doc, applied := lease.CloseWrite(s.doc, successor, nil, "n").Apply(s.doc)
		if !applied {
			t.Error("close did not match")
		}
		s.doc = doc
	})
}

// beat waits until each flow has moved on.
func beat(t *testing.T, flows map[string]*flow) {
	t.Helper()
	for name, f := range flows {
		before := f.beats.Load()
		eventually(t, name+" moves on", func() bool { return f.beats.Load() > before+2 })
	}
}

func ended(t *testing.T, name string, f *flow) error {
	t.Helper()
	select {
	case err := <-f.ended:
		return err
	case <-time.After(10 * time.Second):
		t.Fatalf("%s goes on", name)
		return nil
	}
}

// cuts returns what the metric of connections cut says of kind.
func (l *lab) cuts(t *testing.T, kind string) float64 {
	t.Helper()
	return l.metric(t, `aporeto_gate_connections_cut_total{kind="`+kind+`",zone="West"}`)
}

// metric returns the value of the series, as /metrics shows it.
func (l *lab) metric(t *testing.T, series string) float64 {
	t.Helper()
	w := httptest.NewRecorder()
	l.Status().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	for line := range strings.Lines(w.Body.String()) {
		if value, found := strings.CutPrefix(line, series+" "); found {
			n, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("no series %s in\n%s", series, w.Body)
	return 0
}
