package gateway

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/lease"
)

// Gate lets requests through while this replica's lease is confirmed, and cuts them when it is not.
//
// Invariant: Enter succeeds only before the deadline of the current opening, by both clocks; after Cut returns, everything that
// entered is being cancelled and nothing more of it is written.
type Gate struct {
	clock   func() lease.Time
	current atomic.Pointer[opening]
	within  atomic.Int64 // requests between Enter and Leave
	idle    chan struct{}
}

// opening is one stay open, from the first confirmed renewal to the cut.
type opening struct {
	id     string
	refuse atomic.Bool // draining: those under way go on, new ones are refused
	mono   atomic.Int64
	wall   atomic.Int64
	over   atomic.Bool // it was cut

	mu    sync.Mutex // over is set with it held
	first *underWay  // what a cut ends
}

// underWay is something that a cut ends, while it is in its opening's list. A list, not a context's children: every request enters it.
type underWay struct {
	end        func() // may be called once, on a goroutine of its own
	next, prev *underWay
	listed     bool
}

// NewGate returns a closed gate.
func NewGate(clock func() lease.Time) *Gate { return &Gate{clock: clock, idle: make(chan struct{}, 1)} }

// Pass is one request's leave to be proxied.
type Pass struct {
	gate    *Gate
	opening *opening
}

// Enter returns a pass when the gate is open, which the caller must Leave.
func (g *Gate) Enter() (Pass, bool) {
	// Counted before it is looked at: the keeper looks in the other order, so that no request slips past an idle gate.
	g.within.Add(1)
	o := g.current.Load() // what Open asks, of one and the same opening
	if o == nil || o.refuse.Load() || !o.alive(g.clock()) {
		g.leave()
		return Pass{}, false
	}
	return Pass{gate: g, opening: o}, true
}

// watch has u ended when the opening that p belongs to is cut, at once where it is, until forget.
func (p Pass) watch(u *underWay) {
	o := p.opening
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.over.Load() {
		go u.end()
		return
	}
	if u.listed, u.next = true, o.first; u.next != nil {
		u.next.prev = u
	}
	o.first = u
}

// forget takes u out of the list. Its end may be under way.
func (p Pass) forget(u *underWay) {
	o := p.opening
	o.mu.Lock()
	defer o.mu.Unlock()
	if !u.listed {
		return
	}
	if u.next != nil {
		u.next.prev = u.prev
	}
	if u.prev != nil {
		u.prev.next = u.next
	} else {
		o.first = u.next
	}
	u.listed, u.next, u.prev = false, nil, nil
}

// end cuts the opening.
func (o *opening) end() {
	o.refuse.Store(true)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.over.Store(true)
	for u := o.first; u != nil; {
		next := u.next
		u.listed, u.next, u.prev = false, nil, nil
		go u.end()
		u = next
	}
	o.first = nil
}

// Alive tells whether p's opening still holds: it is asked before every write that goes through the gate.
func (p Pass) Alive() bool {
	return !p.opening.over.Load() && p.opening.alive(p.gate.clock())
}

// Leave says that the request is over.
func (p Pass) Leave() { p.gate.leave() }

func (g *Gate) leave() {
	if g.within.Add(-1) == 0 {
		select {
		case g.idle <- struct{}{}:
		default:
		}
	}
}

func (o *opening) alive(now lease.Time) bool {
	return !now.Passed(lease.Time{Mono: time.Duration(o.mono.Load()), Wall: time.Duration(o.wall.Load())})
}

// Open tells whether Enter would succeed now.
func (g *Gate) Open() bool {
	o := g.current.Load()
	return o != nil && !o.refuse.Load() && o.alive(g.clock())
}

// Alive tells whether anything that entered may still be proxied: the gate is open or draining, and the deadline has not passed.
func (g *Gate) Alive() bool {
	o := g.current.Load()
	return o != nil && o.alive(g.clock())
}

// follow brings the gate in line with the machine's view. Only the keeper calls it.
func (g *Gate) follow(v lease.View) {
	o := g.current.Load()
	switch {
	case v.Open:
		if o == nil || o.id != v.Opening {
			o = &opening{id: v.Opening}
			o.extend(v.Deadline)
			g.current.Store(o)
			return
		}
		o.extend(v.Deadline)
	case o != nil && v.State == lease.Draining:
		o.refuse.Store(true)
		o.extend(v.Deadline)
	case o != nil:
		g.Cut()
	}
}

func (o *opening) extend(deadline lease.Time) {
	o.mono.Store(int64(deadline.Mono))
	o.wall.Store(int64(deadline.Wall))
}

// Cut ends the current opening: everything that entered through it is cancelled at once.
func (g *Gate) Cut() {
	if o := g.current.Swap(nil); o != nil {
		o.end()
	}
}

// Within returns how many requests are under way.
func (g *Gate) Within() int64 { return g.within.Load() }
