package mongotest

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Fault is trouble for matching commands. Every field left zero matches
// anything; handshake and login commands are only matched by Command.
type Fault struct {
	// Command is a command's name as the server spells it (findAndModify).
	Command string
	// Collection is the collection a command names.
	Collection string
	// User is the DN logged in.
	User string
	// Router, when set by OnRouter, limits the fault to one listener.
	Router *int
	// Times is how many commands are hit before the fault ends; 0: until removed.
	Times int

	// Delay holds the request back before the server has seen it: it is carried
	// out late, even when its sender has gone.
	Delay time.Duration
	// Slow makes the server itself take that long; maxTimeMS interrupts it.
	Slow time.Duration
	// DropBefore closes the connection instead of carrying the command out.
	DropBefore bool
	// DropAfter carries the command out and closes the connection without a reply.
	DropAfter bool
	// ReplyDelay holds the reply back.
	ReplyDelay time.Duration
	// WriteConcernTimeout applies a write and reports writeConcernError 64.
	WriteConcernTimeout bool
	// Error is answered instead of carrying the command out.
	Error *CommandError
}

// OnRouter gives a pointer for Fault.Router.
func OnRouter(index int) *int { return &index }

// faults are those injected, and what holds for the whole server.
type faults struct {
	mu   sync.Mutex
	list []*activeFault
	// electionUntil is when writes work again.
	electionUntil time.Time
	elections     int64
	// stale, when set, answers reads that are not linearizable.
	stale *store
}

type activeFault struct {
	Fault
	left int
}

func newFaults() *faults { return &faults{} }

// Inject adds a fault and gives what removes it.
func (s *Standin) Inject(f Fault) (remove func()) {
	a := &activeFault{Fault: f, left: f.Times}
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.list = append(s.faults.list, a)
	return func() {
		s.faults.mu.Lock()
		defer s.faults.mu.Unlock()
		s.faults.list = slices.DeleteFunc(s.faults.list, func(x *activeFault) bool { return x == a })
	}
}

// Partition cuts routers off (all when none is named) until heal is called:
// connections stay open and silent, new ones are accepted by the kernel and get
// no handshake. A request sent meanwhile is carried out after the heal, as
// retransmission would have it.
func (s *Standin) Partition(routers ...int) (heal func()) {
	var heals []func()
	for i, rt := range s.listRouters() {
		if len(routers) == 0 || slices.Contains(routers, i) {
			heals = append(heals, rt.gate.close())
		}
	}
	return func() {
		for _, h := range heals {
			h()
		}
	}
}

func (s *Standin) listRouters() []*router {
	s.netMu.Lock()
	defer s.netMu.Unlock()
	return slices.Clone(s.routers)
}

// Election leaves the cluster without a primary for d: writes are answered with
// 10107 NotMaster, and so are reads that need the primary (by a mongod, with
// 13435 NotMasterNoSlaveOk).
func (s *Standin) Election(d time.Duration) {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.electionUntil = time.Now().Add(d)
	s.faults.elections++
}

// StaleReads freezes what reads see, unless they are linearizable, as a deposed
// primary's would, until heal is called. Writes go on.
func (s *Standin) StaleReads() (heal func()) {
	s.mu.Lock()
	frozen := s.store.snapshot()
	s.mu.Unlock()
	s.setStale(frozen)
	return func() { s.setStale(nil) }
}

func (s *Standin) setStale(st *store) {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.stale = st
}

func (f *faults) staleStore() *store {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.stale
}

// topology counts the elections that began and ended.
func (f *faults) topology() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 2 * f.elections
	if time.Now().Before(f.electionUntil) {
		n--
	}
	return n
}

func (f *faults) inElection() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return time.Now().Before(f.electionUntil)
}

// take gives the sum of the faults that hit a request, counting them.
func (f *faults) take(r *request) Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	var sum Fault
	coll, _ := r.first().(string)
	for _, a := range f.list {
		if !a.hits(r, coll) {
			continue
		}
		if a.Times > 0 {
			a.left--
		}
		sum.Delay += a.Delay
		sum.Slow += a.Slow
		sum.ReplyDelay += a.ReplyDelay
		sum.DropBefore = sum.DropBefore || a.DropBefore
		sum.DropAfter = sum.DropAfter || a.DropAfter
		sum.WriteConcernTimeout = sum.WriteConcernTimeout || a.WriteConcernTimeout
		if sum.Error == nil {
			sum.Error = a.Error
		}
	}
	return sum
}

func (a *activeFault) hits(r *request, coll string) bool {
	switch {
	case a.Times > 0 && a.left <= 0:
		return false
	case a.Command != "" && a.Command != r.cmd.name:
		return false
	case a.Command == "" && r.cmd.handshake:
		return false
	case a.Collection != "" && a.Collection != coll:
		return false
	case a.User != "" && a.User != r.conn.user:
		return false
	case a.Router != nil && *a.Router != r.conn.router.index:
		return false
	}
	return true
}

// gate blocks a router's traffic while it is partitioned; partitions nest.
type gate struct {
	mu     sync.Mutex
	closed int
	open   chan struct{}
}

// close blocks the gate and gives what undoes that, once.
func (g *gate) close() func() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed++; g.closed == 1 {
		g.open = make(chan struct{})
	}
	return sync.OnceFunc(func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.closed--; g.closed == 0 {
			close(g.open)
		}
	})
}

func (g *gate) wait(ctx context.Context) error {
	for {
		g.mu.Lock()
		blocked, open := g.closed > 0, g.open
		g.mu.Unlock()
		if !blocked {
			return ctx.Err()
		}
		select {
		case <-open:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
