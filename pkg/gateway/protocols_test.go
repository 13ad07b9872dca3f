package gateway

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/lease"
)

func TestFenceCutsEveryKind(t *testing.T) {
	t.Parallel()
	l := newLab(t, service(nil))
	l.run(t)
	eventually(t, "gate open", l.isOpen)
	flows := l.startAll(t)
	beat(t, flows)
	l.store.set(func(s *memoryStore) { s.down = true })
	eventually(t, "gate closed", func() bool { return !l.isOpen() })
	closed := time.Now()
	for name, f := range flows {
		if err := ended(t, name, f); err == nil {
			t.Errorf("%s ended as if it were complete", name)
		}
	}
	if took := time.Since(closed); took > 5*time.Second {
		t.Errorf("cutting took %v", took)
	}
	eventually(t, "nothing under way", func() bool { return l.gate.Within() == 0 })
	if requests, upgraded := l.cuts(t, kindRequest), l.cuts(t, kindUpgraded); requests != 4 || upgraded != 1 {
		t.Errorf("counted %v requests and %v upgraded connections as cut", requests, upgraded)
	}
}

func TestPlannedCloseLetsEveryKindFinish(t *testing.T) {
	t.Parallel()
	over := make(chan struct{})
	l := newLab(t, service(over), func(c *Config) { c.Lease.Drain = 10 * time.Second })
	l.store.doc.Term.T = 10 * time.Second // a lease that leaves a busy machine time to drain
	l.store.doc.Released = true           // else the claim waits for W
	l.run(t)
	eventually(t, "gate open", l.isOpen)
	flows := l.startAll(t)
	beat(t, flows)
	l.order(t, "east")
	eventually(t, "draining", func() bool { return l.keeper.View().State == lease.Draining })
	beat(t, flows) // what is under way goes on
	close(over)
	for _, f := range flows {
		f.finish()
	}
	for name, f := range flows {
		if err := ended(t, name, f); err != nil {
			t.Errorf("%s was cut: %v", name, err)
		}
	}
	if cut := l.cuts(t, kindRequest) + l.cuts(t, kindUpgraded); cut != 0 {
		t.Errorf("%v were cut", cut)
	}
	eventually(t, "handed over", func() bool {
		doc, _, _ := l.store.Read(t.Context())
		return doc.Holder == "east"
	})
}

func TestPlannedCloseCutsWhatDoesNotFinish(t *testing.T) {
	t.Parallel()
	l := newLab(t, service(nil))
	l.run(t)
	eventually(t, "gate open", l.isOpen)
	flows := l.startAll(t)
	beat(t, flows)
	l.order(t, "east")
	for name, f := range flows {
		if err := ended(t, name, f); err == nil {
			t.Errorf("%s ended as if it were complete", name)
		}
	}
	eventually(t, "handed over", func() bool {
		doc, _, _ := l.store.Read(t.Context())
		return doc.Holder == "east" && l.gate.Within() == 0
	})
	if upgraded := l.cuts(t, kindUpgraded); upgraded != 1 {
		t.Errorf("counted %v upgraded connections as cut", upgraded)
	}
}

// TestKeepAliveAnswersLocked: connections that were made while open are not cut by a planned close; they answer 423.
func TestKeepAliveAnswersLocked(t *testing.T) {
	t.Parallel()
	l := newLab(t, service(nil))
	l.run(t)
	eventually(t, "gate open", l.isOpen)
	for _, version := range []int{1, 2} {
		c := protocolClient(t, version)
		var dials atomic.Int32
		dialer := &net.Dialer{}
		transport, _ := c.Transport.(*http.Transport)
		transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			dials.Add(1)
			return dialer.DialContext(ctx, network, address)
		}
		ask := func() int {
			response, err := c.Get(l.url + "/")
			if err != nil {
				t.Fatal(err)
			}
			_ = readAll(t, response.Body)
			response.Body.Close()
			return response.StatusCode
		}
		if code := ask(); code != http.StatusOK && version == 1 {
			t.Fatalf("open: %d", code)
		}
		if version == 1 {
			l.order(t, "east")
		}
		eventually(t, "423", func() bool { return ask() == http.StatusLocked })
		if n := dials.Load(); n != 1 {
			t.Errorf("HTTP/%d: %d connections were needed", version, n)
		}
	}
}

func TestLargeBodies(t *testing.T) {
	t.Parallel()
	l := newLab(t, service(nil))
	l.run(t)
	eventually(t, "gate open", l.isOpen)
	body := make([]byte, 24<<20)
	if _, err := rand.Read(body); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("%x", sha256.Sum256(body))
	for _, version := range []int{1, 2} {
		c := protocolClient(t, version)
		for name, reader := range map[string]io.Reader{"of known length": bytes.NewReader(body), "streamed": io.MultiReader(bytes.NewReader(body))} {
			response, err := c.Post(l.url+"/hash", "application/octet-stream", reader)
			if err != nil {
				t.Fatal(err)
			}
			if got := readAll(t, response.Body); got != want {
				t.Errorf("HTTP/%d: a body %s did not arrive as it was: %q", version, name, got)
			}
			response.Body.Close()
		}
		response, err := c.Post(l.url+"/echo", "application/octet-stream", bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		hash := sha256.New()
		if _, err := io.Copy(hash, response.Body); err != nil || fmt.Sprintf("%x", hash.Sum(nil)) != want {
			t.Errorf("HTTP/%d: the body did not come back as it was: %v", version, err)
		}
		response.Body.Close()
	}
}

// TestClientThatDoesNotReadIsCut: a copy that is stuck in a client's full buffers must not outlive the fence.
func TestClientThatDoesNotReadIsCut(t *testing.T) {
	t.Parallel()
	flood := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		piece := make([]byte, 1<<20)
		out := io.Writer(w)
		if r.Header.Get("Upgrade") != "" {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				return
			}
			defer conn.Close()
			fmt.Fprint(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
			out = conn
		}
		for {
			if _, err := out.Write(piece); err != nil {
				return
			}
		}
	})
	for name, start := range map[string]func(*testing.T, *lab){
		"HTTP/1.1":  func(t *testing.T, l *lab) { l.hold(t, 1) },
		"HTTP/2":    func(t *testing.T, l *lab) { l.hold(t, 2) },
		"websocket": func(t *testing.T, l *lab) { l.startSocketRaw(t) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, flood)
			l.run(t)
			eventually(t, "gate open", l.isOpen)
			start(t, l)
			time.Sleep(100 * time.Millisecond) // buffers fill
			l.store.set(func(s *memoryStore) { s.down = true })
			eventually(t, "nothing under way", func() bool { return !l.isOpen() && l.gate.Within() == 0 })
		})
	}
}

// hold asks for a body and reads none of it.
func (l *lab) hold(t *testing.T, version int) {
	t.Helper()
	response, err := protocolClient(t, version).Get(l.url + "/")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { response.Body.Close() })
}
