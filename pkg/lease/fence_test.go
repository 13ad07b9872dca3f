package lease

import (
	"slices"
	"testing"
	"time"
)

func TestFencedAtTheDeadlineByEitherClock(t *testing.T) {
	for _, c := range []struct {
		name string
		pass func(*rig)
	}{
		{"cut off from the database", func(r *rig) { r.wait(r.doc.Term.T) }},
		{"paused, clocks running", func(r *rig) { r.now = r.now.Add(time.Minute) }},
		{"paused, monotonic clock frozen", func(r *rig) { r.now.Wall += time.Minute }},
		{"paused, wall clock frozen", func(r *rig) { r.now.Mono += time.Minute }},
		{"wall clock stepped forward", func(r *rig) { r.now.Wall += time.Hour }},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := opened(t)
			id := r.m.View().Opening
			r.auto = false
			c.pass(r)
			r.reads, r.sends = nil, nil
			r.step(nil)
			r.is(Fenced)
			if r.cuts != 1 {
				t.Errorf("cut %d times, want once", r.cuts)
			}
			r.wantNoSend("what was fenced is still being cut")
			r.step(Idle{})
			if got := r.m.View().Opening; got == id {
				t.Errorf("id %q is used again", got)
			}
		})
	}
	t.Run("paused, monotonic clock frozen, wall clock then set back", func(t *testing.T) {
		r := opened(t)
		r.auto = false
		r.now.Wall += 5 * time.Second
		r.step(nil)
		r.is(Active)
		r.now.Wall -= 5 * time.Second
		r.step(nil)
		r.now = r.now.Add(3 * time.Second)
		r.step(nil)
		r.is(Fenced)
	})
	t.Run("wall clock set back, then paused, monotonic clock frozen", func(t *testing.T) {
		r := opened(t)
		r.now.Wall -= time.Hour
		r.step(nil)
		r.is(Active)
		r.now.Wall += 9 * time.Second
		r.step(nil)
		r.is(Fenced)
	})
	t.Run("wall clock stepped back", func(t *testing.T) {
		r := opened(t)
		r.now.Wall -= time.Hour
		r.step(nil)
		r.is(Active)
	})
}

func TestFencedZoneOpensAgainIfNobodyClaimed(t *testing.T) {
	r := opened(t)
	old := r.m.id
	r.auto = false
	r.now = r.now.Add(time.Minute)
	r.step(nil)
	r.step(Idle{})
	r.auto = true
	r.sends = nil // lost
	r.m.writing = nil
	for len(r.reads) > 0 {
		r.answer()
	}
	r.wait(3 * time.Second)
	r.is(Active)
	if r.doc.Epoch != 2 || r.doc.Open.Nonce(old) != "" {
		t.Errorf("want the same epoch and the ended name dropped: %+v", r.doc)
	}
}

func TestLateRepliesForEndedIDs(t *testing.T) {
	t.Run("renewal", func(t *testing.T) {
		r := opened(t)
		r.auto = false
		for len(r.sends) == 0 {
			r.wait(100 * time.Millisecond)
		}
		reply := r.apply()
		r.now.Wall += time.Hour
		r.step(nil)
		r.is(Fenced)
		r.step(Idle{})
		r.sends = nil
		r.reply(reply)
		if r.m.View().Open {
			t.Error("the reply to an ended id's renewal opened the gate")
		}
	})
	t.Run("confirming read", func(t *testing.T) {
		r := opened(t)
		r.auto = false
		for len(r.sends) == 0 {
			r.wait(100 * time.Millisecond)
		}
		reply := r.apply()
		reply.Outcome, reply.Doc = Unknown, Document{}
		r.reply(reply)
		r.now.Wall += time.Hour
		r.step(nil)
		r.step(Idle{})
		for len(r.reads) > 0 {
			r.answer()
		}
		if r.m.View().Open {
			t.Error("a read that confirms an ended id's renewal opened the gate")
		}
	})
}

func TestRenewalTooLateToOpen(t *testing.T) {
	r := newRig(t, "a", Document{Epoch: 4, Holder: "a", Nonce: "n"})
	r.auto = false
	r.step(nil)
	r.answer()
	r.wantSend(Renew)
	reply := r.apply()
	r.now = r.now.Add(r.doc.Term.T)
	r.reply(reply)
	if r.m.View().Open {
		t.Error("a renewal older than the term opened the gate")
	}
}

func TestSomebodyElsesEpochFences(t *testing.T) {
	r := opened(t)
	r.put(ClaimWrite(r.doc, "b", "other", DefaultTerm()))
	r.wait(1100 * time.Millisecond)
	r.is(Fenced)
	r.step(Idle{})
	r.is(Candidate)
	if !slices.Equal(r.doc.Open, Open{}) || r.doc.Holder != "b" {
		t.Errorf("the new epoch was touched: %+v", r.doc)
	}
}
