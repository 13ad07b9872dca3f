package gateway

import (
	"net/http"
	"sync"
	"time"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/lease"
)

// HeldPath is below what held services (aporeto-agent hold) ask, on the status address only: POST HeldPath/ID asks for a promise that
// the zone stays the active one for as long as the answer's remaining says, DELETE HeldPath/ID gives it back.
const HeldPath = "/held/"

// maxHeld bounds how many promises stand at once, and with them what a stranger in the cluster can cost.
const maxHeld = 1000

// held keeps the promises made to held services. A planned handover can give the lease away long before its deadline, so a promise
// counts as a request under way: the replica does not take itself out while one stands.
type held struct {
	gate  *Gate
	mu    sync.Mutex
	until map[string]*promise
}

// promise is a pass that leaves by itself when its time is over.
type promise struct {
	end *time.Timer
}

func newHeld(gate *Gate) *held { return &held{gate: gate, until: map[string]*promise{}} }

// promise gives id leave to run for what is left of the lease, and returns how long that is: 0 when the gate does not let new requests
// in, or the zone is being closed.
func (h *held) promise(id string, left func() time.Duration, closing func() bool) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.until[id] == nil && len(h.until) >= maxHeld {
		return 0
	}
	pass, open := h.gate.Enter()
	if !open {
		return 0
	}
	// Looked at after entering: a close that is seen from now on waits for this pass.
	remaining := left()
	if closing() || remaining <= 0 {
		pass.Leave()
		return 0
	}
	if before := h.until[id]; before != nil && before.end.Stop() {
		h.gate.leave()
	}
	p := &promise{}
	p.end = time.AfterFunc(remaining, func() { h.over(id, p) })
	h.until[id] = p
	return remaining
}

// over ends a promise whose time has come.
func (h *held) over(id string, p *promise) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.until[id] == p {
		delete(h.until, id)
	}
	h.gate.leave()
}

// giveBack ends the promise to id, if one stands.
func (h *held) giveBack(id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if p := h.until[id]; p != nil && p.end.Stop() {
		delete(h.until, id)
		h.gate.leave()
	}
}

// left returns how much of the lease is left to this replica, 0 when it is not open.
func left(v lease.View, now lease.Time) time.Duration {
	if !v.Open || now.Passed(v.Deadline) {
		return 0
	}
	return min(v.Deadline.Mono-now.Mono, v.Deadline.Wall-now.Wall)
}

// askHeld answers POST HeldPath/ID with the identity, its remaining being a promise.
func (g *Gateway) askHeld(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	if len(id) > maxNonce {
		http.Error(w, "id is too long", http.StatusBadRequest)
		return
	}
	remaining := g.held.promise(id,
		func() time.Duration { return left(g.keeper.View(), g.cfg.Clock()) },
		func() bool { return g.keeper.View().Closing })
	g.writeIdentity(w, r, remaining)
}

func (g *Gateway) giveBackHeld(w http.ResponseWriter, r *http.Request) {
	g.held.giveBack(r.PathValue("id"))
	w.WriteHeader(http.StatusNoContent)
}
