package gateway

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/clock"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/lease"
)

// viewUntil is the view of a replica that is open until deadline.
func viewUntil(deadline lease.Time) lease.View {
	return lease.View{State: lease.Active, Open: true, Deadline: deadline, Opening: "o", Epoch: 1, Holder: "west", Known: true}
}

// TestGateByBothClocks: whichever clock ran further closes the gate, without the keeper.
func TestGateByBothClocks(t *testing.T) {
	for name, jump := range map[string]lease.Time{
		"monotonic": {Mono: 2 * time.Second, Wall: time.Second / 2}, "wall": {Mono: time.Second / 2, Wall: 2 * time.Second},
	} {
		var now atomic.Pointer[lease.Time]
		now.Store(&lease.Time{})
		gate := NewGate(func() lease.Time { return *now.Load() })
		if _, open := gate.Enter(); open {
			t.Errorf("%s: open before the first lease", name)
		}
		gate.follow(viewUntil(lease.Time{Mono: time.Second, Wall: time.Second}))
		pass, open := gate.Enter()
		if !open || !pass.Alive() || !gate.Open() || !gate.Alive() {
			t.Errorf("%s: closed within the lease", name)
		}
		now.Store(&jump)
		if _, open := gate.Enter(); open || pass.Alive() || gate.Open() || gate.Alive() {
			t.Errorf("%s: open after the deadline", name)
		}
		if pass.Leave(); gate.Within() != 0 {
			t.Errorf("%s: %d are still counted", name, gate.Within())
		}
	}
}

// TestDrainingRefusesAndKeeps: what is under way goes on while new requests are refused, until the cut.
func TestDrainingRefusesAndKeeps(t *testing.T) {
	gate := NewGate(clock.System())
	until := clock.System()().Add(time.Hour)
	gate.follow(viewUntil(until))
	pass, _ := gate.Enter()
	gate.follow(lease.View{State: lease.Draining, Deadline: until, Opening: "o"})
	if _, open := gate.Enter(); open || gate.Open() || !gate.Alive() || !pass.Alive() || pass.opening.over.Load() {
		t.Error("draining must refuse what is new and keep what is under way")
	}
	gate.Cut()
	if pass.Alive() || gate.Alive() || !pass.opening.over.Load() {
		t.Error("not cut")
	}
}

func BenchmarkEnterLeave(b *testing.B) {
	gate := NewGate(clock.System())
	gate.follow(viewUntil(clock.System()().Add(time.Hour)))
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			pass, open := gate.Enter()
			if !open {
				b.Error("closed")
				return
			}
			pass.Leave()
		}
	})
}

// discard is a client of a benchmark: it takes everything.
type discard struct{ header http.Header }

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
func (d *discard) WriteHeader(int)             {}
func (d *discard) Flush()                      {}

// BenchmarkProxied measures the gateway's own part of a request and the service's, over loopback: no TLS and no client.
func BenchmarkProxied(b *testing.B) {
	for _, size := range []int{0, 1 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("body=%d", size), func(b *testing.B) {
			body := make([]byte, size)
			upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(body) }))
			b.Cleanup(upstream.Close)
			g := New(testConfig(b, newMemoryStore(), upstream.URL))
			g.gate.follow(viewUntil(g.cfg.Clock().Add(time.Hour)))
			handler := g.Public()
			b.ReportAllocs()
			b.SetBytes(int64(size))
			b.RunParallel(func(p *testing.PB) {
				for p.Next() {
					r := httptest.NewRequestWithContext(b.Context(), http.MethodGet, "https://a/x", nil)
					handler.ServeHTTP(&discard{header: http.Header{}}, r)
				}
			})
		})
	}
}
