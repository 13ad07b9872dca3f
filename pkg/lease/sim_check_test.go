package lease

import "time"

// restHold is how long a healed world must stay as it came to rest.
const restHold = 15 * time.Second

// restBound is by when, after all troubles ended, the intended zone must be open (invariant 6): requests that are still under way
// arrive within 3T, an order that they carry takes up to 2W when its successor's names are dead, an intent D to count.
func (w *world) restBound() time.Duration {
	return 3*w.term.T + w.term.D + 3*w.term.Wait() + 5*time.Second
}

// checkGate holds the invariants of gates (1, 3 and 4) at every moment at which one may have begun to be active.
func (n *node) checkGate(before bool) {
	w := n.w
	if n.m.phase == serving && !w.mutant.active() {
		// Invariant 1: open only by this process's own renewal in this epoch, which the store applied, from before it was sent.
		if n.provedIn != n.m.epoch || n.m.deadline.Mono > n.proved.Mono {
			w.fail("%s is open until %v by its clock, proved is %v in epoch %d", n.label, n.m.deadline.Mono, n.proved.Mono, n.provedIn)
		}
	}
	if before || !n.active() {
		return
	}
	for _, o := range w.nodes {
		if o.zone != n.zone && o.active() {
			w.fail("two zones active: %s of epoch %d beside %s of epoch %d", n.label, n.m.epoch, o.label, o.m.epoch)
		}
	}
}

// prove notes what an applied renewal entitles its sender to.
func (n *node) prove(r *request) {
	deadline := r.first.Add(n.w.doc.Term.T)
	if epoch := r.write.Match.Epoch; epoch > n.provedIn || deadline.Mono > n.proved.Mono {
		n.proved, n.provedIn = deadline, epoch
	}
}

// checkWrite holds the invariants of the document (2 and 5) at every applied write.
func (w *world) checkWrite(wr Write, before, after Document) {
	switch {
	case after.Epoch == before.Epoch:
		if after.Holder != before.Holder {
			w.fail("epoch %d passed from %q to %q", after.Epoch, before.Holder, after.Holder)
		}
		if before.Closing && !after.Closing || before.Released && !after.Released {
			w.fail("a close was undone in epoch %d", after.Epoch)
		}
	case after.Epoch != before.Epoch+1:
		w.fail("epoch %d follows %d", after.Epoch, before.Epoch)
	default:
		w.stats.epochs++
	}
	if w.mutant.active() {
		return
	}
	ordered := before.Closing && before.Successor == after.Holder
	if before.pinnedTo() != "" && (wr.Kind == Claim && after.Holder != before.Holder && !ordered || wr.Kind == Close && after.Epoch == before.Epoch && after.Successor == "") {
		w.fail("%s moved a lease that is pinned to %s", wr.Kind, before.Holder)
	}
	// Invariant 5: what moves the lease without an order is an intent. It may have been stated a dwell ago, and the request late.
	window := time.Duration(float64(w.term.D)/(1-w.term.Rho)) + 3*w.term.T + 3*w.term.C + 2*w.term.P
	self := func(zone string) bool {
		for z, name := range zoneNames {
			if name == zone {
				return w.now-w.zones[z].selfAt <= window
			}
		}
		return false
	}
	byPin := after.Holder == before.Holder && (before.Pinned || w.now-w.unpinned <= window)
	if wr.Kind == Claim && !ordered && !byPin && !self(after.Holder) {
		w.fail("zone %s claimed without a fresh intent", after.Holder)
	}
	if wr.Kind == Close && after.Epoch == before.Epoch && after.Successor == "" {
		intended := false
		for z, name := range zoneNames {
			intended = intended || name != before.Holder && self(name)
			if name == before.Holder && len(before.Open) == 0 && w.now-w.zones[z].away <= schedule {
				intended = true
			}
		}
		if !intended {
			w.fail("zone %s closed although no other records itself", before.Holder)
		}
	}
}

// rest lets the healed world come to rest and holds invariant 6: the zone that is pointed at, or ordered, serves with all its replicas
// and no other does; then nothing moves any more.
func (w *world) rest() {
	healed := w.now
	rested := healed
	end := healed + w.restBound()
	for w.now < end && w.broken == "" {
		w.until(min(w.now+time.Second, end))
		if !w.settled() {
			rested = w.now
		}
	}
	if w.broken != "" {
		return
	}
	if !w.settled() {
		w.fail("zone %q is not open %v after the last trouble: %s, records %v", w.expected(), w.now-healed, describe(w.doc), w.recs)
		return
	}
	w.stats.settled = max(w.stats.settled, rested-healed)
	epoch := w.doc.Epoch
	for end := w.now + restHold; w.now < end && w.broken == ""; {
		w.until(min(w.now+time.Second, end))
		if w.broken == "" && (w.doc.Epoch != epoch || !w.settled()) {
			w.fail("a world at rest moved: epoch %d, then %s", epoch, describe(w.doc))
		}
	}
}

// expected is the zone that must serve when nothing is wrong.
func (w *world) expected() string {
	var i intents
	i.observe(0, 0, w.recs)
	if i.overrideStands(&w.doc) {
		return w.doc.Holder
	}
	return w.target
}

func (w *world) settled() bool {
	zone := w.expected()
	for _, n := range w.nodes {
		if (n.m.phase == serving) != (zoneNames[n.zone] == zone) {
			return false
		}
	}
	return w.doc.Holder == zone && !w.doc.Closing
}
