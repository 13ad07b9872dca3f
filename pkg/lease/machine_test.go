package lease

import (
	"math"
	"testing"
	"time"
)

func TestBootIsClosed(t *testing.T) {
	r := newRig(t, "a", Document{Epoch: 4, Holder: "a", Nonce: "n"})
	r.auto = false
	if v := r.m.View(); v.Open || v.State != Locked || v.Known {
		t.Fatalf("before the first step: %+v", v)
	}
	r.step(nil)
	r.is(Locked)
	if len(r.reads) != 1 {
		t.Fatalf("reads under way: %d, want 1", len(r.reads))
	}
	if r.m.View().Ready {
		t.Error("ready before the document was looked at")
	}
	// Nothing but its own confirmed renewal opens it: neither the document nor a sibling's renewal.
	r.put(r.sibling("s1"))
	r.answer()
	r.is(Acquiring)
	if r.m.View().Ready {
		t.Error("ready while the zone holds the lease and this replica has not confirmed it")
	}
	r.wantSend(Renew)
	r.reply(r.apply())
	r.is(Active)
	if !r.m.View().Ready {
		t.Error("not ready although open")
	}
}

func TestReadyWhenPassiveNotWhenBlind(t *testing.T) {
	r := newRig(t, "b", Document{Epoch: 4, Holder: "a", Nonce: "n"})
	r.step(nil)
	r.is(Locked)
	if !r.m.View().Ready {
		t.Error("a passive zone's replica is not ready")
	}
	blind := newRig(t, "b", Document{})
	blind.auto = false
	blind.step(nil)
	blind.wait(10 * DefaultTerm().T)
	blind.is(Locked)
	if blind.m.View().Ready {
		t.Error("ready without ever having seen the document: during a rollout it would replace a replica that serves")
	}
}

func TestClaimWaitsOutTheHolder(t *testing.T) {
	w := DefaultTerm().Wait()
	for _, c := range []struct {
		name  string
		doc   Document
		wait  time.Duration // from the first sight of the document to the claim; -1: never
		setup func(*rig)
	}{
		{name: "a holder", doc: Document{Epoch: 4, Holder: "b", Nonce: "n", Open: Open{{"b1", "n"}}}, wait: w},
		{name: "a document that nobody ever held", doc: Document{}, wait: w},
		{name: "released", doc: Document{Epoch: 4, Holder: "b", Nonce: "n", Closing: true, Released: true}, wait: 0},
		{name: "closing for nobody", doc: Document{Epoch: 4, Holder: "b", Nonce: "n", Open: Open{{"b1", "n"}}, Closing: true}, wait: w},
		{name: "closing for this zone", doc: Document{Epoch: 4, Holder: "b", Nonce: "n", Open: Open{{"b1", "n"}}, Closing: true, Successor: "a"}, wait: w,
			setup: func(r *rig) { r.intend("b", "a", "b") }},
		{name: "closing for another zone", doc: Document{Epoch: 4, Holder: "b", Nonce: "n", Open: Open{{"b1", "n"}}, Closing: true, Successor: "c"}, wait: 2 * w},
		{name: "ordered and never opened", doc: Document{Epoch: 4, Holder: "b", Nonce: "n", Override: true, Basis: map[string]int64{"a": 1, "b": 1}}, wait: 2 * w},
		{name: "ordered and opened", doc: Document{Epoch: 4, Holder: "b", Nonce: "n", Open: Open{{"b1", "n"}}, Override: true, Basis: map[string]int64{"a": 1, "b": 1}}, wait: -1},
		{name: "an order that ended", doc: Document{Epoch: 4, Holder: "b", Nonce: "n", Open: Open{{"b1", "n"}}, Override: true, Basis: map[string]int64{"a": 1}}, wait: w},
		{name: "intended elsewhere", doc: Document{Epoch: 4, Holder: "b", Nonce: "n"}, wait: -1, setup: func(r *rig) { r.intend("b", "a", "b") }},
		{name: "intent never confirmed", doc: Document{Epoch: 4, Holder: "b", Nonce: "n"}, wait: -1, setup: func(r *rig) { r.alive = nil }},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, "a", c.doc)
			r.intend("a", "a", "b")
			if c.setup != nil {
				c.setup(r)
			}
			seen := r.now.Mono
			r.step(nil)
			r.auto = false
			for r.now.Mono-seen < 4*w && len(r.sends) == 0 {
				r.wait(100 * time.Millisecond)
				for len(r.reads) > 0 {
					r.answer()
				}
			}
			if c.wait < 0 {
				r.wantNoSend("no candidate")
				return
			}
			r.wantSend(Claim)
			// A confirmation of the intent, and the sampling of this test, come on top.
			if got := r.now.Mono - seen; got < c.wait || got > c.wait+2200*time.Millisecond {
				t.Errorf("claimed after %v, want %v", got, c.wait)
			}
		})
	}
}

func TestClaimCountsFromTheReceiptOfTheLatestChange(t *testing.T) {
	r := newRig(t, "a", Document{Epoch: 4, Holder: "b", Nonce: "n", Open: Open{{"b1", "n"}}})
	r.intend("a", "a")
	r.step(nil)
	r.wait(6 * time.Second)
	r.auto = false
	r.put(RenewWrite(4, "b", "b1", "n2", nil)) // just before a read that takes a second to answer
	r.wait(2 * time.Second)
	r.answer()
	received := r.now.Mono
	for len(r.sends) == 0 {
		r.wait(50 * time.Millisecond)
		for len(r.reads) > 0 {
			r.answer()
		}
	}
	if got := r.now.Mono - received; got < DefaultTerm().Wait() {
		t.Errorf("claimed %v after the receipt of the renewal", got)
	}
	// The holder renews before the claim arrives.
	r.put(RenewWrite(4, "b", "b1", "n3", nil))
	late := r.pop()
	if _, applied := late.Write.Apply(r.doc); applied {
		t.Error("the claim took a renewed epoch")
	}
}

func TestFailedClaimBacksOff(t *testing.T) {
	for _, outcome := range []Outcome{Refused, Unknown} {
		r := newRig(t, "a", Document{Epoch: 4, Holder: "b", Nonce: "n", Closing: true, Released: true})
		r.intend("a", "a")
		r.step(nil)
		r.auto = false
		for len(r.sends) == 0 {
			r.wait(100 * time.Millisecond)
			for len(r.reads) > 0 {
				r.answer()
			}
		}
		r.reply(Written{Seq: r.pop().Seq, Outcome: outcome})
		failed := r.now.Mono
		if len(r.reads) != 1 {
			t.Fatalf("after a failed claim %d reads are under way, want 1", len(r.reads))
		}
		r.answer()
		r.wantNoSend("a claim just failed")
		r.wait(time.Second)
		for len(r.reads) > 0 {
			r.answer()
		}
		r.wantSend(Claim)
		if r.now.Mono-failed < r.m.cfg.Term.P/10 {
			t.Error("claimed again at once")
		}
	}
}

func TestRenewExtendsFromBeforeItWasSent(t *testing.T) {
	r := opened(t)
	r.auto = false
	for len(r.sends) == 0 {
		r.wait(100 * time.Millisecond)
	}
	before := r.m.View().Deadline
	sent := r.now
	r.now = r.now.Add(time.Second)
	r.reply(r.apply())
	if got, want := r.m.View().Deadline, sent.Add(r.doc.Term.T); got != want {
		t.Errorf("deadline %v, want %v (was %v)", got, want, before)
	}
}

func TestUnknownRenewalCountsOnlyWhenRead(t *testing.T) {
	for _, c := range []struct {
		name    string
		applied bool
	}{{"applied", true}, {"lost", false}} {
		t.Run(c.name, func(t *testing.T) {
			r := opened(t)
			r.auto = false
			r.reads = nil
			for len(r.sends) == 0 {
				r.wait(100 * time.Millisecond)
			}
			before, sent := r.m.View().Deadline, r.now
			s := r.wantSend(Renew)
			if c.applied {
				r.apply()
			} else {
				r.pop()
			}
			r.now = r.now.Add(r.doc.Term.C)
			r.reply(Written{Seq: s.Seq, Outcome: Unknown})
			if got := r.m.View().Deadline; got != before {
				t.Fatalf("a timeout moved the deadline from %v to %v", before, got)
			}
			for len(r.reads) > 0 {
				r.answer()
			}
			want := before
			if c.applied {
				want = sent.Add(r.doc.Term.T)
			}
			if got := r.m.View().Deadline; got != want {
				t.Errorf("after the read the deadline is %v, want %v", got, want)
			}
		})
	}
}

func TestUnknownRenewalIsReadAgainWhenAReadWasUnderWay(t *testing.T) {
	r := opened(t)
	r.auto = false
	for len(r.sends) == 0 || len(r.reads) == 0 {
		r.wait(100 * time.Millisecond)
		if len(r.sends) == 0 && len(r.reads) > 0 {
			r.answer()
		}
	}
	early := r.doc // what the read under way brings: the document before the renewal
	s := r.wantSend(Renew)
	r.apply()
	r.reply(Written{Seq: s.Seq, Outcome: Unknown})
	read := r.reads[0]
	r.reads = nil
	r.step(Observed{Seq: read.Seq, Doc: early, Records: r.records})
	if len(r.reads) != 1 {
		t.Error("the outcome is still unknown, and nobody looks")
	}
}

func TestLateSightsOfThePastAreLeftOut(t *testing.T) {
	r := opened(t)
	past := r.doc
	r.put(CloseWrite(r.doc, "b", nil, "c"))
	r.wait(1100 * time.Millisecond)
	r.m.learn(past)
	if !r.m.doc.Closing {
		t.Error("a close was undone by an old reply")
	}
	past.Epoch--
	r.m.learn(past)
	if r.m.doc.Epoch != past.Epoch+1 {
		t.Error("the epoch went back")
	}
}

// An older epoch is never believed: it might be the past. A gateway in front of a restored database closes, and does not hammer it.
func TestRestoredDatabaseKeepsTheGateClosed(t *testing.T) {
	r := opened(t)
	past := r.doc
	past.Epoch, past.Nonce, past.Open = 1, "past", Open{{"a-1~gone~0", "past"}}
	r.doc = past
	r.auto = false
	writes := 0
	for end := r.now.Mono + time.Minute; r.now.Mono < end; {
		r.wait(10 * time.Millisecond)
		for len(r.reads)+len(r.sends) > 0 {
			if len(r.reads) > 0 {
				r.answer()
				continue
			}
			writes++
			r.reply(r.apply())
			r.now = r.now.Add(time.Millisecond)
		}
		if r.m.View().State == Fenced {
			r.step(Idle{})
		}
	}
	if v := r.m.View(); v.Open || r.doc.Epoch != 1 || r.doc.Nonce != "past" {
		t.Errorf("view %+v, document %+v", v, r.doc)
	}
	if writes > 200 {
		t.Errorf("%d writes in a minute", writes)
	}
}

func TestDocumentWithoutUsableConstantsIsNotClaimedAtOnce(t *testing.T) {
	edited := func(change func(*Term)) Term {
		term := DefaultTerm()
		change(&term)
		return term
	}
	for name, term := range map[string]Term{
		"none":          {},
		"T alone":       {T: time.Second},
		"negative T":    edited(func(t *Term) { t.T = -time.Minute }),
		"negative J":    edited(func(t *Term) { t.J = -8 * time.Second }),
		"rho above 1":   edited(func(t *Term) { t.Rho = 1.5 }),
		"rho no number": edited(func(t *Term) { t.Rho = math.NaN() }),
	} {
		r := newRig(t, "a", Document{Epoch: 3, Nonce: "n"})
		r.doc.Term = term
		r.intend("a", "a")
		r.step(nil)
		r.wait(DefaultTerm().Wait() - 100*time.Millisecond)
		if r.doc.Epoch != 3 {
			t.Errorf("%s: claimed without waiting", name)
		}
	}
}

func TestNewConstantsTakeANewEpoch(t *testing.T) {
	r := newRig(t, "a", Document{Epoch: 3, Holder: "b", Nonce: "n", Open: Open{{"b1", "n"}}, Term: CalmTerm()})
	r.intend("a", "a")
	r.step(nil)
	r.wait(CalmTerm().Wait() - 100*time.Millisecond)
	if r.doc.Epoch != 3 {
		t.Error("claimed before the holder's own constants allow it")
	}
	r.wait(3 * time.Second)
	r.is(Active)
	if r.doc.Term != DefaultTerm() {
		t.Errorf("the new epoch runs by %+v", r.doc.Term)
	}
}
