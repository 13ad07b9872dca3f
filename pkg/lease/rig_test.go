package lease

import (
	"strconv"
	"testing"
	"time"
)

// rig is one machine with a document beside it. Requests wait until the test lets them through, or pass at once while auto is set.
type rig struct {
	t       *testing.T
	m       *Machine
	now     Time
	doc     Document
	records []Record
	alive   []string // zones whose records are confirmed every second
	beat    time.Duration
	auto    bool
	reads   []Read
	sends   []Send
	cuts    int
	nonces  int
}

// newRig returns zone's machine at its first step, an hour after its clock's origin.
func newRig(t *testing.T, zone string, doc Document) *rig {
	r := &rig{t: t, doc: doc, auto: true, now: Time{Mono: time.Hour, Wall: 1000 * time.Hour}}
	if r.doc.Term.T == 0 {
		r.doc.Term = DefaultTerm()
	}
	r.m = New(r.config(zone))
	return r
}

func (r *rig) config(zone string) Config {
	return Config{
		Zone: zone, Replica: zone + "-1", Term: DefaultTerm(), Drain: 3 * time.Second,
		Nonce:  func() string { r.nonces++; return "n" + strconv.Itoa(r.nonces) },
		Jitter: func(limit time.Duration) time.Duration { return limit / 2 },
	}
}

// step gives the machine an event and collects what it wants.
func (r *rig) step(event Event) {
	r.t.Helper()
	for _, a := range r.m.Step(r.now, event) {
		switch a := a.(type) {
		case Read:
			r.reads = append(r.reads, a)
		case Send:
			r.sends = append(r.sends, a)
		case Cut:
			r.cuts++
		}
	}
	for r.auto && len(r.reads)+len(r.sends) > 0 {
		if len(r.reads) > 0 {
			r.answer()
		} else {
			r.reply(r.apply())
		}
	}
}

// answer replies to the oldest read with the document as it is now.
func (r *rig) answer() {
	r.t.Helper()
	if len(r.reads) == 0 {
		r.t.Fatal("no read is under way")
	}
	read := r.reads[0]
	r.reads = r.reads[1:]
	r.step(Observed{Seq: read.Seq, Doc: r.doc, Records: append([]Record(nil), r.records...)})
}

// apply lets the oldest write through to the document and returns its reply.
func (r *rig) apply() Written {
	r.t.Helper()
	s := r.pop()
	after, applied := s.Write.Apply(r.doc)
	r.doc = after
	if !applied {
		return Written{Seq: s.Seq, Outcome: Refused}
	}
	return Written{Seq: s.Seq, Outcome: Applied, Doc: after}
}

// pop takes the oldest write away: it is lost unless the test applies it.
func (r *rig) pop() Send {
	r.t.Helper()
	if len(r.sends) == 0 {
		r.t.Fatal("no write is under way")
	}
	s := r.sends[0]
	r.sends = r.sends[1:]
	return s
}

func (r *rig) reply(w Written) { r.t.Helper(); r.step(w) }

// wait lets d pass, with a step whenever the machine wants one.
func (r *rig) wait(d time.Duration) {
	r.t.Helper()
	for end := r.now.Mono + d; r.now.Mono < end; {
		next := min(r.m.Wake(), end)
		if len(r.alive) > 0 {
			next = min(next, r.beat)
		}
		r.now = r.now.Add(max(next-r.now.Mono, time.Millisecond))
		if len(r.alive) > 0 && r.now.Mono >= r.beat {
			r.beat = r.now.Mono + time.Second
			for _, zone := range r.alive {
				r.confirm(zone)
			}
		}
		r.step(nil)
	}
}

// point makes zone's record name at.
func (r *rig) point(zone, at string) {
	for i := range r.records {
		if r.records[i].Zone == zone {
			r.records[i].PointsAt = at
			r.records[i].Seq++
			r.records[i].Confirmed++
			return
		}
	}
	r.records = append(r.records, Record{Zone: zone, PointsAt: at, Seq: 1, Confirmed: 1})
}

func (r *rig) confirm(zone string) {
	for i := range r.records {
		if r.records[i].Zone == zone {
			r.records[i].Confirmed++
		}
	}
}

// intend points every record of zones at one, and keeps the jobs alive.
func (r *rig) intend(at string, zones ...string) {
	for _, z := range zones {
		r.point(z, at)
	}
	r.alive = zones
	r.beat = r.now.Mono
}

// put writes somebody else's change into the document.
func (r *rig) put(w Write) {
	r.t.Helper()
	after, applied := w.Apply(r.doc)
	if !applied {
		r.t.Fatalf("%s does not match %+v", w.Kind, r.doc)
	}
	r.doc = after
}

// opened brings the machine of zone a to an open gate in epoch 2 of its own claim, with both jobs pointing at it.
func opened(t *testing.T) *rig {
	t.Helper()
	r := newRig(t, "a", Document{Epoch: 1, Nonce: "old", Released: true})
	r.intend("a", "a", "b")
	r.step(nil)
	r.wait(3 * time.Second)
	r.is(Active)
	return r
}

func (r *rig) is(want State) {
	r.t.Helper()
	if v := r.m.View(); v.State != want || v.Open != (want == Active) {
		r.t.Fatalf("state is %s (open %v), want %s; document %+v", v.State, v.Open, want, r.doc)
	}
}

// sibling returns the renewal of another replica of the holder.
func (r *rig) sibling(nonce string) Write {
	return RenewWrite(r.doc.Epoch, r.doc.Holder, r.doc.Holder+"-2~s~0", nonce, nil)
}

func (r *rig) wantSend(kind Kind) Send {
	r.t.Helper()
	if len(r.sends) != 1 || r.sends[0].Write.Kind != kind {
		r.t.Fatalf("writes under way: %+v, want one %s", r.sends, kind)
	}
	return r.sends[0]
}

func (r *rig) wantNoSend(why string) {
	r.t.Helper()
	if len(r.sends) != 0 {
		r.t.Fatalf("%s, yet %+v", why, r.sends)
	}
}
