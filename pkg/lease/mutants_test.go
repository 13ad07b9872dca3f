package lease

import (
	"flag"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

var mutantSeeds = flag.Uint64("mutant-seeds", 1, "series of 1,000 schedules within each of which TestMutants must catch every mutant")

// mutantSchedules is within how many schedules a mutant must be caught.
const mutantSchedules = 1000

// mutant is a machine with one sentence of failover.md broken. It acts on the machine from outside, so that production code knows
// nothing of it. What catches it is what a user would see: two zones active, an epoch with two holders, or nobody open where somebody
// must be; not the invariant that restates the code. A nil mutant does nothing.
type mutant struct {
	name     string
	profiles []string // kinds of schedules that show it soon; empty: all
	onBoot   func(n *node)
	onBefore func(n *node)
	onAfter  func(n *node, e Event)
	// onWrite changes what is sent, onDeliver the machine, or the reply, just before the reply to r is handed over.
	onWrite   func(n *node, w Write) Write
	onDeliver func(n *node, r *request, e Event) Event
}

// TestMutants shows that the simulation bites: each mutant is caught within 1,000 schedules.
func TestMutants(t *testing.T) {
	for _, mut := range mutants() {
		t.Run(mut.name, func(t *testing.T) {
			kinds := mut.kinds()
			for series := range *mutantSeeds {
				caught := false
				for n := uint64(0); n < mutantSchedules && !caught; n++ {
					seed := *firstSeed + series*mutantSchedules + n
					if w := simulate(seed, kinds, &mut, nil); w.broken != "" {
						t.Logf("series %d: schedule %d, seed %d (%s): %s", series, n+1, seed, w.kind.name, w.broken)
						caught = true
					}
				}
				if !caught {
					t.Errorf("series %d: not caught within %d schedules", series, mutantSchedules)
				}
			}
		})
	}
}

// TestMutantsAreTheDesigns holds the names against docs/failover.md, so that none is forgotten.
func TestMutantsAreTheDesigns(t *testing.T) {
	text, err := os.ReadFile("../../docs/failover.md")
	if err != nil {
		t.Fatal(err)
	}
	_, list, found := strings.Cut(string(text), "(`TestMutants/<name>`):")
	list, _, ends := strings.Cut(list, ".\n")
	if !found || !ends {
		t.Fatal("docs/failover.md lists no mutants")
	}
	var want, have []string
	for _, name := range regexp.MustCompile("`([a-z-]+)`").FindAllStringSubmatch(list, -1) {
		want = append(want, name[1])
	}
	for _, m := range mutants() {
		have = append(have, m.name)
	}
	slices.Sort(want)
	slices.Sort(have)
	if len(want) < 20 || !slices.Equal(want, have) {
		t.Errorf("the design has %v\nthe test has %v", want, have)
	}
}

func mutantNamed(name string) *mutant {
	for _, m := range mutants() {
		if m.name == name {
			return &m
		}
	}
	return nil
}

func (m *mutant) kinds() []profile {
	if len(m.profiles) == 0 {
		return profiles()
	}
	return kindsNamed(m.profiles...)
}

// shorterWait counts less than W, by the given part of the constants.
func shorterWait(wait func(Term) time.Duration) func(*node, Event) {
	return func(n *node, _ Event) {
		early := n.m.doc.Term.Wait() - wait(n.m.doc.Term)
		n.sightedAt(n.m.now.Mono - early)
	}
}

// sightedAt moves what the machine's latest step saw for the first time to another time.
func (n *node) sightedAt(at time.Duration) {
	if n.m.changedAt == n.m.now.Mono {
		n.m.changedAt = at
	}
	for i := range n.m.entryAt {
		if n.m.entryAt[i] == n.m.now.Mono {
			n.m.entryAt[i] = at
		}
	}
}

// openAnyway opens the gate, or keeps it open, until deadline.
func (n *node) openAnyway(deadline Time) {
	m := n.m
	if m.stopping || m.now.Passed(deadline) {
		return
	}
	if m.phase != serving {
		m.phase, m.drainAt, m.epoch = serving, Time{}, m.doc.Epoch
		n.gate++
	}
	if deadline.Mono > m.deadline.Mono {
		m.deadline = deadline
	}
	n.plan()
}

// renewal returns e as the reply to the renewal that the machine waits for, if it is that.
func (n *node) renewal(e Event) (Written, bool) {
	w, ok := e.(Written)
	return w, ok && n.m.writing != nil && n.m.writing.seq == w.Seq && n.m.writing.write.Kind == Renew
}

func mutants() []mutant {
	return []mutant{
		{name: "deadline-from-reply", profiles: []string{"replies"}, onDeliver: func(n *node, _ *request, e Event) Event {
			if _, ok := n.renewal(e); ok {
				n.m.writing.at = n.time()
			}
			return e
		}},
		{name: "deadline-from-last-attempt", profiles: []string{"replies"}, onDeliver: func(n *node, r *request, e Event) Event {
			if _, ok := n.renewal(e); ok {
				n.m.writing.at = r.last
			}
			return e
		}},
		{name: "observation-from-send", profiles: []string{"replies"}, onAfter: func(n *node, e Event) {
			if _, ok := e.(Observed); ok && n.replied != nil {
				n.sightedAt(n.replied.first.Mono)
			}
		}},
		{name: "timeout-taken-as-renewed", onDeliver: func(n *node, r *request, e Event) Event {
			if w, ok := n.renewal(e); ok && w.Outcome == Unknown {
				if doc, applies := r.write.Apply(n.m.doc); applies {
					return Written{Seq: w.Seq, Outcome: Applied, Doc: doc}
				}
			}
			return e
		}},
		{name: "short-wait", profiles: []string{"storm"}, onAfter: shorterWait(func(t Term) time.Duration { return t.T * 8 / 10 })},
		{name: "wait-without-rate-bound", profiles: []string{"storm"}, onAfter: shorterWait(func(t Term) time.Duration { return t.T })},
		{name: "sibling-renewal-counts", onDeliver: func(n *node, r *request, e Event) Event {
			o, ok := e.(Observed)
			if !ok || o.Doc.Holder != n.m.cfg.Zone || o.Doc.Epoch != n.m.doc.Epoch || o.Doc.Closing || o.Doc.Nonce == n.m.doc.Nonce {
				return e
			}
			n.sibling = r.first.Add(n.w.term.T)
			return e
		}, onAfter: func(n *node, e Event) {
			if _, ok := e.(Observed); ok && n.sibling != (Time{}) {
				n.openAnyway(n.sibling)
				n.sibling = Time{}
			}
		}},
		{name: "confirm-from-read-time", profiles: []string{"replies"}, onDeliver: func(n *node, r *request, e Event) Event {
			if _, ok := e.(Observed); ok && n.m.unsure != nil {
				n.m.unsure.at = r.first
			}
			return e
		}},
		{name: "claim-opens-claimer", profiles: []string{"claims"}, onAfter: func(n *node, e Event) {
			if w, ok := e.(Written); ok && w.Outcome == Applied && n.replied != nil && n.replied.write.Kind == Claim && n.m.doc.Holder == n.m.cfg.Zone {
				n.openAnyway(n.replied.first.Add(n.w.term.T))
			}
		}},
		{name: "claim-matches-epoch-only", onWrite: func(_ *node, w Write) Write {
			if w.Kind == Claim {
				w.Match.Nonce = nil
			}
			return w
		}},
		{name: "claim-keeps-closing", onWrite: func(_ *node, w Write) Write {
			if w.Kind == Claim {
				w.Change.Closing = nil
			}
			return w
		}},
		{name: "first-out-releases", onWrite: func(n *node, w Write) Write {
			if w.Kind == TakeOut && len(w.Change.Drop) > 0 {
				w.Change = endEpoch(Change{}, n.m.doc.Epoch, n.m.doc.Successor, n.w.nonce())
			}
			return w
		}},
		{name: "removed-before-cut", onAfter: func(n *node, _ Event) {
			m := n.m
			if (m.phase == draining || m.phase == cutting) && m.doc.Closing && m.doc.Open.Nonce(m.id) != "" {
				n.send(&request{n: n, write: TakeOutWrite(m.doc, []string{m.id}, n.w.nonce()), unheard: true})
			}
		}},
		{name: "id-reused", onBoot: func(n *node) {
			n.m.boot = n.m.cfg.Replica + "~"
			n.m.id = n.m.boot + "0"
		}, onWrite: func(n *node, w Write) Write {
			if w.Change.Put != nil {
				w.Change.Put = &Entry{ID: n.m.boot + "0", Nonce: w.Change.Put.Nonce}
			}
			return w
		}, onAfter: func(n *node, _ Event) {
			m := n.m
			m.opening, m.id = 0, m.boot+"0"
			if m.writing != nil {
				m.writing.id = m.id
				if m.writing.write.Kind == Renew {
					m.writing.write.Change.Put.ID = m.id
				}
			}
		}},
		{name: "late-reply-accepted", profiles: []string{"late replies"}, onBefore: func(n *node) {
			if w := n.m.writing; w != nil && w.write.Kind == Renew {
				n.outstanding = w
			}
		}, onAfter: func(n *node, e Event) {
			w, ok := e.(Written)
			if !ok || n.outstanding == nil || w.Seq != n.outstanding.seq {
				return
			}
			if o := n.outstanding; w.Outcome == Applied && o.id != n.m.id && w.Doc.Epoch == o.write.Match.Epoch {
				n.openAnyway(o.at.Add(n.w.term.T))
			}
			n.outstanding = nil
		}},
		{name: "drain-past-deadline", onAfter: func(n *node, _ Event) {
			m := n.m
			if m.phase == draining && m.doc.Closing && n.drained != n.gate {
				n.drained = n.gate
				m.cutAt = m.now.Add(m.cfg.Drain)
				m.deadline = Time{Mono: max(m.deadline.Mono, m.cutAt.Mono+n.w.term.J), Wall: max(m.deadline.Wall, m.cutAt.Wall+n.w.term.J)}
			}
		}},
		{name: "wait-on-wall-clock", onBefore: func(n *node) {
			if n.m.known {
				now := n.time()
				n.m.changedAt = now.Mono - (now.Wall - n.changedWall)
			}
		}, onAfter: func(n *node, _ Event) {
			if n.m.changedAt == n.m.now.Mono {
				n.changedWall = n.m.now.Wall
			}
		}},
		{name: "reap-without-exact-match", profiles: []string{"reaps"}, onWrite: func(_ *node, w Write) Write {
			if w.Kind == Reap {
				w.Match.Entry = nil
			}
			return w
		}},
		{name: "renew-keeps-nonce", onWrite: func(_ *node, w Write) Write {
			if w.Kind == Renew {
				w.Change.Nonce = nil
			}
			return w
		}},
		{name: "renew-ignores-closing-and-released", onWrite: func(_ *node, w Write) Write {
			if w.Kind == Renew {
				w.Match.Closing, w.Match.Released = nil, nil
			}
			return w
		}, onAfter: func(n *node, e Event) {
			w, ok := e.(Written)
			if ok && w.Outcome == Applied && n.replied != nil && n.replied.write.Kind == Renew && n.m.phase == closed && n.m.doc.Epoch == w.Doc.Epoch {
				n.openAnyway(n.replied.first.Add(n.w.term.T))
			}
		}},
	}
}

func (m *mutant) active() bool { return m != nil }

func (m *mutant) booted(n *node) {
	if m != nil && m.onBoot != nil {
		m.onBoot(n)
	}
}

func (m *mutant) before(n *node) {
	if m != nil && m.onBefore != nil {
		m.onBefore(n)
	}
}

func (m *mutant) after(n *node, e Event) {
	if m != nil && m.onAfter != nil {
		m.onAfter(n, e)
	}
}

func (m *mutant) write(n *node, w Write) Write {
	if m != nil && m.onWrite != nil {
		return m.onWrite(n, w)
	}
	return w
}

func (m *mutant) deliver(n *node, r *request, e Event) Event {
	if m != nil && m.onDeliver != nil {
		return m.onDeliver(n, r, e)
	}
	return e
}
