package gateway

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/lease"
)

// askHeld asks l's status address, as aporeto-agent hold does.
func (l *lab) heldRequest(t *testing.T, method, id string) Identity {
	t.Helper()
	w := httptest.NewRecorder()
	l.Status().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, HeldPath+id+"?nonce=n", nil))
	var said Identity
	if method == http.MethodPost {
		if err := json.Unmarshal(w.Body.Bytes(), &said); err != nil || said.Nonce != "n" || said.Environment != "env-1" {
			t.Fatalf("%s %s: %d %s", method, id, w.Code, w.Body)
		}
	}
	return said
}

// close asks the zone to close, as a planned switch does.
func (l *lab) close(t *testing.T) {
	t.Helper()
	l.store.set(func(s *memoryStore) {
		s.doc.Closing, s.doc.Successor = true, "east"
	})
}

func (l *lab) holder() string {
	var holder string
	l.store.set(func(s *memoryStore) { holder = s.doc.Holder })
	return holder
}

// A planned handover waits for what was promised: a held command runs on until it has been stopped or its promise is over.
func TestHandoverWaitsForPromises(t *testing.T) {
	for _, giveBack := range []bool{true, false} {
		l := newLab(t, http.NotFoundHandler())
		if said := l.heldRequest(t, http.MethodPost, "worker"); said.Remaining != 0 || said.State != lease.Locked {
			t.Fatalf("a closed gate promised %+v", said)
		}
		l.run(t)
		eventually(t, "open", l.isOpen)
		said := l.heldRequest(t, http.MethodPost, "worker")
		promised := time.Now().Add(time.Duration(said.Remaining) * time.Millisecond)
		if said.Remaining <= 0 || said.Remaining > fastTerm().T.Milliseconds() || said.State != lease.Active {
			t.Fatalf("an open gate promised %+v", said)
		}
		l.heldRequest(t, http.MethodPost, "worker") // renewed, not doubled
		if within := l.gate.Within(); within != 1 {
			t.Fatalf("%d under way after two promises to one", within)
		}
		l.close(t)
		eventually(t, "closing", func() bool { return l.keeper.View().Closing })
		if said := l.heldRequest(t, http.MethodPost, "worker"); said.Remaining != 0 {
			t.Errorf("promised while closing: %+v", said)
		}
		eventually(t, "draining", func() bool { return l.keeper.View().State == lease.Draining })
		if l.holder() != "west" {
			t.Fatal("handed over beside a promise")
		}
		if giveBack {
			l.heldRequest(t, http.MethodDelete, "worker")
		}
		eventually(t, "handed over", func() bool { return l.holder() == "east" })
		if early := time.Until(promised); !giveBack && early > 0 {
			t.Errorf("handed over %s before the promise was over", early)
		}
		if within := l.gate.Within(); within != 0 {
			t.Errorf("%d under way at the end", within)
		}
	}
}

// The time limit of a promise is the lease's, whatever is asked for and however often.
func TestPromisesEnd(t *testing.T) {
	gate := NewGate(func() lease.Time { return lease.Time{} })
	gate.follow(lease.View{Open: true, Opening: "1", Deadline: lease.Time{Mono: time.Hour, Wall: time.Hour}})
	h := newHeld(gate)
	left, open := func() time.Duration { return 20 * time.Millisecond }, func() bool { return false }
	for range 3 {
		if got := h.promise("a", left, open); got != 20*time.Millisecond {
			t.Fatalf("promised %s", got)
		}
	}
	if got := h.promise("b", left, func() bool { return true }); got != 0 || gate.Within() != 1 {
		t.Errorf("promised %s while closing, %d under way", got, gate.Within())
	}
	eventually(t, "over", func() bool { return gate.Within() == 0 })
	h.giveBack("a")
	if len(h.until) != 0 || gate.Within() != 0 {
		t.Errorf("%d promises, %d under way", len(h.until), gate.Within())
	}
	for i := range maxHeld {
		h.until[string(rune('0'+i))] = &promise{}
	}
	if got := h.promise("one too many", left, open); got != 0 {
		t.Errorf("promised %s beyond the bound", got)
	}
	view := lease.View{Open: true, Deadline: lease.Time{Mono: 5 * time.Second, Wall: 3 * time.Second}}
	if got := leftOf(view, time.Second); got != 2*time.Second {
		t.Errorf("left by the clock that ran further: got %s", got)
	}
	if got := leftOf(lease.View{Deadline: view.Deadline}, time.Second); got != 0 {
		t.Errorf("a closed gate has %s left", got)
	}
}

func leftOf(v lease.View, now time.Duration) time.Duration {
	return left(v, lease.Time{Mono: now, Wall: now})
}
