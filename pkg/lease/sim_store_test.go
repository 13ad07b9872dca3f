package lease

import (
	"fmt"
	"time"
)

// request is one operation on its way between a process and the store.
type request struct {
	n       *node
	seq     uint64
	read    bool
	write   Write
	first   Time // the process's clock before the first attempt
	last    Time // and before the latest
	limit   time.Duration
	recs    []Record // the zones' records are read before the document
	done    bool     // performed by the store, which recognises a repetition
	reply   Event
	doc     Document      // that the reply shows
	settled bool          // the process was told something
	back    time.Duration // the reply takes at least that
	unheard bool          // sent by a mutant behind its machine's back
}

// send starts a request. A reply that is not back within C counts as none.
func (n *node) send(r *request) {
	w := n.w
	r.first, r.recs = n.time(), w.recs
	r.last = r.first
	r.limit = w.now + time.Duration(float64(w.term.C)/max(n.clock.mono, 0.5))
	w.attempt(r)
}

func (w *world) attempt(r *request) {
	n := r.n
	switch {
	case w.now < n.cutTill || !r.read && w.now < n.writesTill || w.chance(w.net.lost):
		r.giveUp()
	case w.chance(w.net.late):
		r.giveUp()
		d := w.between(w.term.C, 3*w.term.T)
		if w.trace != nil {
			w.logf("%s: %s is on its way for %v", n.label, r, d)
		}
		w.after(d, func() { w.perform(r) })
	default:
		d := w.latency()
		if !r.read && r.write.Kind == w.net.slow {
			d += w.between(0, 4*w.term.P)
		}
		if w.now+d >= r.limit {
			r.giveUp()
		}
		w.after(d, func() { w.arrive(r) })
	}
}

func (w *world) latency() time.Duration {
	if w.chance(w.net.tail) {
		return w.between(w.net.delay, w.term.C)
	}
	return w.net.delay/2 + w.between(0, w.net.delay)
}

// arrive is a request's arrival at the store, which may be down, and its reply's way back.
func (w *world) arrive(r *request) {
	n := r.n
	if w.now < w.down {
		if w.chance(0.5) { // it waits in the store until there is a primary again
			w.after(w.down-w.now+w.between(0, time.Second), func() { w.perform(r) })
		}
		r.giveUp()
		return
	}
	w.perform(r)
	if w.chance(w.net.retry) && n.alive { // the connection broke: the driver sees an error, and asks again
		again := w.between(0, w.term.C)
		if w.now+again >= r.limit {
			r.giveUp()
			return
		}
		w.after(again, func() {
			if !r.settled {
				r.last = n.time()
				w.attempt(r)
			}
		})
		return
	}
	back := max(w.latency(), r.back)
	if w.now < n.cutTill || w.now < n.muteTill || w.chance(w.net.lost) || w.now+back >= r.limit {
		r.giveUp()
		return
	}
	w.after(back, func() {
		if !r.settled {
			r.settled = true
			r.n.deliver(r, r.reply)
		}
	})
}

// perform does r at the store, once.
func (w *world) perform(r *request) {
	if r.done {
		return
	}
	r.done = true
	if r.read {
		r.doc = w.doc
		r.reply = Observed{Seq: r.seq, Doc: w.doc, Records: r.recs}
		return
	}
	before := w.doc
	after, applied := r.write.Apply(before)
	if !applied {
		r.reply = Written{Seq: r.seq, Outcome: Refused}
		return
	}
	w.doc = after
	w.checkWrite(r.write, before, after)
	if r.write.Kind == Renew {
		r.n.prove(r)
	}
	if w.trace != nil {
		w.logf("%s: %s applied: %s", r.n.label, r, describe(after))
	}
	r.doc = after
	r.reply = Written{Seq: r.seq, Outcome: Applied, Doc: after}
	if w.kind.applied != nil && w.faults {
		w.kind.applied(w, r)
	}
}

// giveUp tells the process at its limit, or when its driver sees an error before, that nothing came back.
func (r *request) giveUp() {
	w := r.n.w
	left := r.limit - w.now
	if left > 0 && w.chance(0.2) {
		left = w.between(0, left)
	}
	w.after(max(left, 0), func() {
		if r.settled {
			return
		}
		r.settled = true
		if r.read {
			r.n.deliver(r, ReadFailed{Seq: r.seq})
		} else {
			r.n.deliver(r, Written{Seq: r.seq, Outcome: Unknown})
		}
	})
}

// deliver hands the machine a reply.
func (n *node) deliver(r *request, e Event) {
	if !n.alive || r.unheard {
		return
	}
	e = n.w.mutant.deliver(n, r, e)
	n.replied = r
	n.step(e)
	n.replied = nil
}

func (r *request) String() string {
	if r.read {
		return "read"
	}
	return fmt.Sprintf("%s of epoch %d", r.write.Kind, r.write.Match.Epoch)
}

func describe(d Document) string {
	s := fmt.Sprintf("epoch %d of %q, nonce %s, open %v", d.Epoch, d.Holder, d.Nonce, d.Open)
	if d.Closing {
		s += fmt.Sprintf(", closing for %q", d.Successor)
	}
	if d.Released {
		s += ", released"
	}
	if d.Override {
		s += fmt.Sprintf(", ordered over %v", d.Basis)
	}
	return s
}

// jobTick is one round of a zone's auto-maintenance job: probe, hysteresis, conditional write.
func (w *world) jobTick(z int) {
	zn := &w.zones[z]
	w.after(w.term.P+w.between(0, w.term.P/10), func() { w.jobTick(z) })
	if w.now < zn.jobDead || w.now < zn.cutTill || w.now < w.down {
		return
	}
	seen := w.target
	if w.now < zn.seesTill {
		seen = zn.sees
	}
	if !w.answers(seen) {
		return
	}
	name := zoneNames[z]
	have := Record{Zone: name}
	at := -1
	for i, r := range w.recs {
		if r.Zone == name {
			have, at = r, i
		}
	}
	if seen == have.PointsAt {
		zn.agreed = 0
		if w.rng.IntN(2) == 0 {
			return
		}
	} else {
		if zn.probed != seen {
			zn.probed, zn.agreed = seen, 0
		}
		if zn.agreed++; zn.agreed < 3 {
			return
		}
		zn.agreed = 0
		have.PointsAt = seen
		have.Seq++
		w.logf("zone %s records %s (%d)", name, seen, have.Seq)
	}
	have.Confirmed++
	recs := append([]Record(nil), w.recs...)
	if at < 0 {
		recs = append(recs, have)
	} else {
		recs[at] = have
	}
	w.recs = recs
	if have.PointsAt == name {
		zn.selfAt = w.now
	} else {
		zn.away = w.now
	}
}

// answers tells whether some gateway of the zone is there to say who it is.
func (w *world) answers(zone string) bool {
	for _, n := range w.nodes {
		if zoneNames[n.zone] == zone && !n.paused {
			return true
		}
	}
	return false
}
