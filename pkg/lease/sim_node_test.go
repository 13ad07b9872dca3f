package lease

import (
	"fmt"
	"math"
	"time"
)

const never = time.Duration(math.MaxInt64)

// clock turns true time into what a machine's two clocks show.
type clock struct {
	since      time.Duration // true time of base
	base       Time
	mono, wall float64 // rates
}

func (c *clock) read(t time.Duration) Time {
	passed := float64(t - c.since)
	return Time{Mono: c.base.Mono + time.Duration(passed*c.mono), Wall: c.base.Wall + time.Duration(passed*c.wall)}
}

// rebase makes now the origin, so that rates and readings can be changed.
func (c *clock) rebase(now time.Duration) { c.base, c.since = c.read(now), now }

// when returns the true time at which the monotonic clock shows mono.
func (c *clock) when(mono time.Duration) time.Duration {
	if c.mono == 0 {
		return never
	}
	return c.since + time.Duration(math.Ceil(float64(mono-c.base.Mono)/c.mono))
}

// node is one gateway process.
type node struct {
	w           *world
	zone        int
	replica     int
	label       string
	m           *Machine
	clock       clock
	alive       bool
	paused      bool
	pauses      int
	rate        float64 // of the monotonic clock, while it is frozen
	backlog     []Event
	wake        time.Duration
	gate        int           // counts openings
	steppedBack time.Duration // true time of the latest step of the wall clock backwards
	cutTill     time.Duration // no way to or from the store until then
	muteTill    time.Duration // requests arrive, replies do not
	writesTill  time.Duration // reads work, writes are lost
	proved      Time          // deadline that this process's applied renewals prove
	provedIn    int64         // in which epoch
	// What mutants remember.
	replied     *request // whose reply the step takes
	sibling     Time
	outstanding *sent
	drained     int
	changedWall time.Duration
	shown       string // state last traced
}

// start boots a process for a zone's replica. A clock that never ran is drawn anew.
func (w *world) start(z, replica int, c clock) *node {
	w.born++
	n := &node{w: w, zone: z, replica: replica, clock: c, alive: true, steppedBack: -time.Hour}
	n.label = fmt.Sprintf("%s%d#%d", zoneNames[z], replica+1, w.born)
	if c.mono == 0 {
		rho := w.term.Rho
		rate := func() float64 {
			if w.kind.extremes() {
				return 1 + rho*float64(1-2*w.rng.IntN(2))
			}
			return 1 + rho*(2*w.rng.Float64()-1)
		}
		n.clock = clock{since: w.now, base: Time{Mono: w.between(0, time.Hour), Wall: w.between(0, 1000*time.Hour)}, mono: rate(), wall: rate()}
	}
	n.m = New(Config{
		Zone: zoneNames[z], Replica: fmt.Sprintf("%s%d", zoneNames[z], replica+1), Term: w.own[z], Drain: w.drain,
		Nonce: w.nonce, Jitter: func(limit time.Duration) time.Duration { return w.between(0, limit) },
	})
	w.nodes = append(w.nodes, n)
	w.logf("%s boots", n.label)
	w.mutant.booted(n)
	n.step(nil)
	return n
}

// die ends the process. What it sent may still arrive.
func (n *node) die(why string) {
	if !n.alive {
		return
	}
	n.alive, n.wake = false, never
	n.w.logf("%s %s", n.label, why)
	for i, other := range n.w.nodes {
		if other == n {
			n.w.nodes = append(n.w.nodes[:i:i], n.w.nodes[i+1:]...)
			break
		}
	}
}

func (n *node) time() Time { return n.clock.read(n.w.now) }

// active tells whether something that went through this gate may take effect now: until it is idle, and at the latest J after its
// deadline, for each write is checked; never while the process does not run.
func (n *node) active() bool {
	return n.alive && !n.paused && n.m.phase != closed && !n.time().Passed(n.m.deadline.Add(n.m.doc.Term.J))
}

// step gives the machine an event now and does what it asks for.
func (n *node) step(event Event) {
	if !n.alive {
		return
	}
	if n.paused {
		if event != nil {
			n.backlog = append(n.backlog, event)
		}
		return
	}
	before, phase := n.active(), n.m.phase
	n.w.mutant.before(n)
	now := n.time()
	actions := n.m.Step(now, event)
	n.w.mutant.after(n, event)
	if n.m.phase == serving && phase == closed {
		n.gate++
		n.w.stats.opened++
		if n.w.opened != nil {
			n.w.opened(n)
		}
	}
	if n.m.phase != serving && phase == serving && n.w.refused != nil {
		n.w.refused(n)
	}
	if n.m.phase == draining && phase != draining {
		n.idleWithin(n.w.workLeft())
	}
	if n.w.trace != nil {
		n.show()
	}
	for _, a := range actions {
		switch a := a.(type) {
		case Read:
			n.send(&request{n: n, seq: a.Seq, read: true})
		case Send:
			n.send(&request{n: n, seq: a.Seq, write: n.w.mutant.write(n, a.Write)})
		case Cut:
			if n.m.phase == fenced {
				n.w.stats.fenced++
			}
			n.idleWithin(n.w.between(0, n.w.term.J*9/10))
		}
	}
	n.checkGate(before)
	if n.m.stopping && n.m.View().Stopped {
		n.die("exits")
		return
	}
	n.plan()
}

// plan sets when the machine wants its next step.
func (n *node) plan() { n.wake = max(n.w.now+1, n.clock.when(n.m.Wake())) }

// idleWithin lets what is under way end after d on this machine's clock.
func (n *node) idleWithin(d time.Duration) {
	gate := n.gate
	n.w.after(time.Duration(float64(d)/max(n.clock.mono, 0.5)), func() {
		if n.gate == gate && n.m.phase != serving {
			n.step(Idle{})
		}
	})
}

// workLeft draws how long the requests of a draining gate last.
func (w *world) workLeft() time.Duration {
	if w.instant {
		return 0
	}
	if w.chance(0.3) {
		return w.between(0, 60*time.Second)
	}
	return w.between(0, 500*time.Millisecond)
}

// pause stops the process for d. Its clocks run on, or the monotonic one freezes. One that froze with both would be the exception that
// failover.md names, and so would be a wall clock that is set back in the same pause, before the process looks.
func (n *node) pause(d time.Duration, freeze bool) {
	if n.paused {
		return
	}
	if freeze && n.w.now-n.steppedBack < 2*n.w.term.P {
		freeze = false
	}
	n.paused, n.wake = true, never
	n.w.logf("%s pauses for %v%s", n.label, d, map[bool]string{true: ", its monotonic clock too"}[freeze])
	rate := n.clock.mono
	if freeze {
		n.clock.rebase(n.w.now)
		n.clock.mono = 0
	}
	n.rate = rate
	n.pauses++
	pauses := n.pauses
	n.w.after(d, func() {
		if n.pauses == pauses {
			n.resume()
		}
	})
}

func (n *node) resume() {
	if !n.paused || !n.alive {
		return
	}
	n.clock.rebase(n.w.now)
	n.clock.mono, n.paused = n.rate, false
	n.w.logf("%s resumes", n.label)
	n.checkGate(false)
	backlog := n.backlog
	n.backlog = nil
	if n.w.chance(0.5) {
		n.step(nil)
	}
	for _, e := range backlog {
		n.step(e)
	}
	n.step(nil)
}

// stepWall sets the wall clock by d.
func (n *node) stepWall(d time.Duration) {
	if n.clock.mono == 0 {
		return // frozen: see pause
	}
	before := n.active()
	n.clock.rebase(n.w.now)
	n.clock.base.Wall += d
	if d < 0 {
		n.steppedBack = n.w.now
	}
	n.w.logf("%s's wall clock steps by %v", n.label, d)
	n.checkGate(before)
	if !n.paused {
		n.plan()
	}
}

// show traces a change of the machine's state.
func (n *node) show() {
	v := n.m.View()
	s := fmt.Sprintf("%s, epoch %d of %q", v.State, v.Epoch, v.Holder)
	if v.Closing {
		s += ", closing"
	}
	if s == n.shown {
		return
	}
	n.shown = s
	if v.Open {
		s += fmt.Sprintf(", until %.3f", n.clock.when(v.Deadline.Mono).Seconds())
	}
	n.w.logf("%s is %s", n.label, s)
}
