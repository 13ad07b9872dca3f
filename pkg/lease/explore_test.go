package lease

import (
	"flag"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

var (
	depth    = flag.Int("depth", 0, "ticks that TestExploration goes, 0 for each scenario's own depth")
	troubles = flag.Int("troubles", 1, "troubles that TestExploration makes at once")
)

// The exploration tries everything that can go wrong, up to a number of troubles at once, between two zones with one replica each, to a
// depth in ticks: at every moment a request may be lost, be performed at any later moment, lose its reply or have it delayed for up to
// C; a read may show the document as it was at any moment since it was sent; a replica may be cut off for one to four ticks, with its
// requests or only with its replies; an operator may order a switch and a process may be replaced. Each of these is one trouble; the
// order in which the two zones' requests come by, and how long a draining gate has work, are tried both ways for nothing. Times are
// whole ticks. The state that several ways lead to is looked at once.

// exTick is three seconds, so that clocks that are wrong by a third run by whole seconds.
const exTick = 3 * time.Second

func exTerm(rho float64) Term {
	return Term{T: 2 * exTick, R: exTick, P: exTick, C: exTick, J: exTick, D: 8 * exTick, Rho: rho}
}

// scenario is one tree.
type scenario struct {
	name    string
	rho     float64
	rate    [2]time.Duration // what each clock runs in a tick
	records [2]string        // where the zones' records point; their jobs confirm them at every tick
	depth   int
	broken  func(*Machine) // after each step; nil for the machine as it is
}

type exNode struct {
	m       *Machine
	boot    int
	cutTill int  // tick
	deaf    bool // only replies are cut off
}

// exRequest is on its way. A write that was performed has its reply on its way; one that was given up may still be performed.
type exRequest struct {
	node  int
	seq   uint64
	read  bool
	write Write
	docs  []Document // of a read: what it may show
	sent  int
	fate  fate
	reply Written
}

type fate int

const (
	fresh   fate = iota
	delayed      // the reply is on its way
	failed       // nothing will come back; the process does not know yet
	late         // the process gave up a write that may still be performed
)

type exState struct {
	tick   int
	begun  bool // a request was performed in this tick
	doc    Document
	nodes  [2]exNode
	flight []exRequest
	left   int // troubles
	path   *exStep
}

// exStep is one event of the way to a state, the latest first.
type exStep struct {
	before *exStep
	what   string
}

type explorer struct {
	s      scenario
	nonces int
	boots  int
	seen   map[[2]uint64]struct{}
	found  string // the way to the first violation
	opened [2]bool
	buf    []byte // of key
	names  []string
}

var exZones = [2]string{"a", "b"}

func (x *explorer) boot(node int) exNode {
	x.boots++
	return exNode{boot: x.boots, m: New(Config{
		Zone: exZones[node], Replica: exZones[node], Term: exTerm(x.s.rho), Drain: exTick,
		Nonce:  func() string { x.nonces++; return "n" + strconv.Itoa(x.nonces) },
		Jitter: func(time.Duration) time.Duration { return 0 },
	})}
}

func (x *explorer) now(s *exState, node int) Time {
	at := time.Duration(s.tick+1) * x.s.rate[node]
	return Time{Mono: at, Wall: at}
}

// clone copies s so that one of its machines can step. Machines change their intents in place, and nothing else.
func (s *exState) clone(what string, troubles int) *exState {
	c := *s
	for n := range c.nodes {
		m := *c.nodes[n].m
		m.intents.known = slices.Clone(m.intents.known)
		for _, p := range []**sent{&m.writing, &m.unsure} {
			if *p != nil {
				copied := **p
				*p = &copied
			}
		}
		c.nodes[n].m = &m
	}
	c.flight = slices.Clone(s.flight)
	c.left -= troubles
	c.path = &exStep{s.path, what}
	return &c
}

// step gives a machine an event and puts what it sends under way.
func (x *explorer) step(s *exState, node int, e Event) {
	n := s.nodes[node]
	for _, a := range n.m.Step(x.now(s, node), e) {
		switch a := a.(type) {
		case Read:
			s.flight = append(s.flight, exRequest{node: node, seq: a.Seq, read: true, docs: []Document{s.doc}, sent: s.tick})
		case Send:
			s.flight = append(s.flight, exRequest{node: node, seq: a.Seq, write: a.Write, sent: s.tick})
		}
	}
	if x.s.broken != nil {
		x.s.broken(n.m)
	}
	if n.m.phase == serving {
		x.opened[node] = true
	}
}

// active is as in the simulation.
func (x *explorer) active(s *exState, node int) bool {
	m := s.nodes[node].m
	return m.phase != closed && !x.now(s, node).Passed(m.deadline.Add(m.doc.Term.J))
}

// visit looks at s and everything that can follow from it.
func (x *explorer) visit(s *exState) {
	if x.found != "" {
		return
	}
	if x.active(s, 0) && x.active(s, 1) {
		x.fail(s, "two zones are active")
		return
	}
	key := x.key(s)
	if _, seen := x.seen[key]; seen {
		return
	}
	x.seen[key] = struct{}{}
	x.requests(s)
	for n := range s.nodes {
		if m := s.nodes[n].m; m.phase == draining || m.phase == cutting || m.phase == fenced {
			c := s.clone(exZones[n]+" is idle", 0)
			x.step(c, n, Idle{})
			x.visit(c)
		}
	}
	if s.left > 0 {
		x.environment(s)
	}
	x.pass(s)
}

func (x *explorer) fail(s *exState, what string) {
	steps := []string{what}
	for p := s.path; p != nil; p = p.before {
		steps = append(steps, p.what)
	}
	slices.Reverse(steps)
	x.found = strings.Join(steps, "\n")
}

// requests lets what is under way go on: the first fresh request of each zone, every reply and every late write.
func (x *explorer) requests(s *exState) {
	looked := [2]bool{}
	for i := range s.flight {
		switch r := &s.flight[i]; r.fate {
		case late:
			c := s.clone("late: "+r.String(), 0)
			x.perform(c, &c.flight[i])
			c.drop(i)
			x.visit(c)
		case delayed:
			c := s.clone("delayed reply: "+r.String(), 0)
			c.drop(i)
			x.step(c, r.node, r.reply)
			x.visit(c)
		case fresh:
			if !looked[r.node] {
				looked[r.node] = true
				x.request(s, i)
			}
		}
	}
}

func TestExploration(t *testing.T) {
	third := [2]time.Duration{2 * time.Second, 4 * time.Second}
	even := [2]time.Duration{exTick, exTick}
	toB := [2]string{"b", "b"}
	for _, s := range []scenario{
		{name: "both zones want it", rate: even, records: exZones, depth: 9},
		{name: "the holder's clock is slow, the other's fast", rho: 1. / 3, rate: third, records: exZones, depth: 12},
		{name: "the record moved", rate: even, records: toB, depth: 9},
	} {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			begin := time.Now()
			x := explore(s)
			if x.found != "" {
				t.Errorf("broken after\n%s", x.found)
			}
			t.Logf("%d states to depth %d with up to %d troubles in %v; opened: %v", len(x.seen), x.s.depth, *troubles, time.Since(begin).Round(time.Millisecond), x.opened)
		})
	}
}

// TestExplorationBites breaks the machine by as little as the exploration can resolve.
func TestExplorationBites(t *testing.T) {
	sooner := func(by time.Duration) func(*Machine) {
		return func(m *Machine) {
			if m.changedAt == m.now.Mono {
				m.changedAt -= by
			}
		}
	}
	even := [2]time.Duration{exTick, exTick}
	for _, s := range []scenario{
		{name: "waits a tick less", rate: even, records: exZones, depth: 9, broken: sooner(exTick)},
		{name: "waits without the bound of the rates", rho: 1. / 3, rate: [2]time.Duration{2 * time.Second, 4 * time.Second}, records: exZones, depth: 12,
			broken: sooner(exTerm(1./3).Wait() - exTerm(0).Wait())},
		{name: "takes a timeout for a renewal", rate: even, records: exZones, depth: 9, broken: func(m *Machine) {
			if m.unsure != nil {
				m.renewed(m.unsure)
			}
		}},
	} {
		t.Run(s.name, func(t *testing.T) {
			x := explore(s)
			if x.found == "" {
				t.Fatalf("not found in %d states", len(x.seen))
			}
			t.Logf("found after %d states:\n%s", len(x.seen), x.found)
		})
	}
}

func explore(s scenario) *explorer {
	if *depth > 0 {
		s.depth = *depth
	}
	x := &explorer{s: s, seen: map[[2]uint64]struct{}{}}
	first := &exState{doc: Document{Epoch: 1, Holder: "a", Nonce: "n", Open: Open{}, Term: exTerm(s.rho)}, left: *troubles}
	for n := range first.nodes {
		first.nodes[n] = x.boot(n)
	}
	for n := range first.nodes {
		x.step(first, n, nil)
	}
	x.visit(first)
	return x
}
