package gateway

import (
	"bytes"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestComplaintsAreFew(t *testing.T) {
	c, now := &complaints{}, time.Unix(1000, 0)
	for n, want := range []struct {
		upstream string
		after    time.Duration
		tell     bool
		left     int
	}{
		{"a", 0, true, 0}, {"a", 0, false, 0}, {"b", 0, true, 0}, {"a", complaintPause - 1, false, 0}, {"a", complaintPause, true, 2}, {"a", 2 * complaintPause, true, 0},
		{"b", 2 * complaintPause, true, 0},
	} {
		if tell, left := c.due(want.upstream, now.Add(want.after)); tell != want.tell || left != want.left {
			t.Errorf("%d: %v %d, want %v %d", n, tell, left, want.tell, want.left)
		}
	}
}

// lockedBuffer is a buffer that several goroutines write to.
type lockedBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

// TestDeadServiceDoesNotFloodTheLog: by both ways that requests go.
func TestDeadServiceDoesNotFloodTheLog(t *testing.T) {
	t.Parallel()
	var log lockedBuffer
	l := newLab(t, http.NotFoundHandler(), func(cfg *Config) {
		cfg.Log = slog.New(slog.NewTextHandler(&log, nil))
		routes, err := ParseRoutes([]byte(`{"routes":[{"path":"/","upstream":"http://127.0.0.1:1"}]}`))
		if err != nil {
			t.Fatal(err)
		}
		cfg.Routes = routes
	})
	l.store.doc.Released = true
	l.run(t)
	eventually(t, "gate open", l.isOpen)
	for range 5 {
		if response, _ := get(t, l.url+"/x"); response.StatusCode != 502 {
			t.Fatalf("%d", response.StatusCode)
		}
		response, err := client(t).Post(l.url+"/x", "text/plain", strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != 502 {
			t.Fatalf("%d", response.StatusCode)
		}
	}
	log.mu.Lock()
	defer log.mu.Unlock()
	if n := strings.Count(log.String(), "upstream does not answer"); n != 1 {
		t.Errorf("%d lines for ten requests:\n%s", n, log.String())
	}
}
