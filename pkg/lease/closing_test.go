package lease

import (
	"testing"
	"time"
)

const ms = time.Millisecond

// seeClose waits until the machine has seen the close. The intents no longer name this zone.
func (r *rig) seeClose() {
	r.t.Helper()
	r.intend("b", "a", "b")
	for r.m.drainAt == (Time{}) {
		r.wait(10 * ms)
	}
	r.is(Active)
}

func TestCloseWalksThroughGraceDrainCutAndOut(t *testing.T) {
	r := opened(t)
	order := map[string]int64{"a": 2, "b": 2}
	r.put(CloseWrite(r.doc, "b", order, "c"))
	r.seeClose()
	deadline := r.m.View().Deadline
	r.wait(1200 * ms) // of 1.25·P of grace
	r.is(Active)
	if r.m.View().Deadline != deadline {
		t.Error("renewed while closing")
	}
	r.wait(100 * ms)
	r.is(Draining)
	if r.cuts != 0 || len(r.doc.Open) != 1 {
		t.Fatalf("cuts %d, open %v", r.cuts, r.doc.Open)
	}
	r.wait(3100 * ms)
	r.is(Draining)
	if r.cuts != 1 || len(r.doc.Open) != 1 {
		t.Fatalf("after the drain: cuts %d, open %v", r.cuts, r.doc.Open)
	}
	r.step(Idle{})
	if r.doc.Epoch != 3 || r.doc.Holder != "b" || !r.doc.Override || r.doc.Basis["b"] != 2 || r.doc.Closing {
		t.Errorf("the last one out did not hand over: %+v", r.doc)
	}
	r.is(Locked)
	if v := r.m.View(); !v.OrderedAway || !v.Ready {
		t.Errorf("want ordered away and ready: %+v", v)
	}
}

func TestDrainEndsWithTheLastRequest(t *testing.T) {
	r := opened(t)
	r.put(CloseWrite(r.doc, "", nil, "c"))
	r.seeClose()
	r.wait(1250 * ms)
	r.is(Draining)
	r.step(Idle{})
	if r.cuts != 0 || !r.doc.Released {
		t.Errorf("cuts %d, document %+v", r.cuts, r.doc)
	}
}

func TestDrainIsCappedByTheLease(t *testing.T) {
	r := opened(t)
	r.m.cfg.Drain = time.Hour
	r.put(CloseWrite(r.doc, "", nil, "c"))
	r.seeClose()
	r.wait(1250 * ms)
	r.is(Draining)
	deadline := r.m.View().Deadline
	for r.cuts == 0 {
		r.wait(10 * ms)
	}
	if r.now.Mono > deadline.Mono-r.doc.Term.J+10*ms {
		t.Errorf("cut at %v, %v before the deadline", r.now.Mono, deadline.Mono-r.now.Mono)
	}
}

func TestLastOneOutReleases(t *testing.T) {
	r := opened(t)
	r.put(r.sibling("s1"))
	r.put(CloseWrite(r.doc, "", nil, "c"))
	r.seeClose()
	r.wait(1250 * ms)
	r.is(Draining)
	r.step(Idle{})
	if r.doc.Released || len(r.doc.Open) != 1 {
		t.Fatalf("the first one out ended the epoch: %+v", r.doc)
	}
	r.put(TakeOutWrite(r.doc, []string{"a-2~s~0"}, "last"))
	if !r.doc.Released {
		t.Fatalf("the last one out did not: %+v", r.doc)
	}
}

// Two replicas that are done at the same moment: the loser looks and tries again without waiting, for the gap is the user's.
func TestTakeOutThatLostARaceIsRepeatedAtOnce(t *testing.T) {
	r := opened(t)
	r.put(r.sibling("s1"))
	r.put(CloseWrite(r.doc, "", nil, "c"))
	r.seeClose()
	r.wait(1250 * ms)
	r.auto = false
	r.reads = nil
	r.m.reading = 0
	r.step(Idle{})
	r.wantSend(TakeOut)
	for len(r.reads) > 0 {
		r.answer()
	}
	r.put(TakeOutWrite(r.doc, []string{"a-2~s~0"}, "x"))
	at := r.now.Mono
	r.reply(r.apply())
	for len(r.reads) > 0 {
		r.answer()
	}
	r.wantSend(TakeOut)
	r.apply()
	if !r.doc.Released || r.now.Mono != at {
		t.Errorf("after %v: %+v", r.now.Mono-at, r.doc)
	}
}

func TestDeadNameIsReapedAfterW(t *testing.T) {
	for _, c := range []struct {
		name    string
		closing bool
	}{{"while open", false}, {"while closing, ends the epoch", true}} {
		t.Run(c.name, func(t *testing.T) {
			r := opened(t)
			r.put(r.sibling("s1"))
			if c.closing {
				r.put(CloseWrite(r.doc, "", nil, "c"))
				r.seeClose()
			}
			r.wait(1100 * ms)
			seen := r.now.Mono
			for r.doc.Open.Nonce("a-2~s~0") != "" && r.now.Mono-seen < time.Minute {
				if r.m.View().State == Draining {
					r.step(Idle{})
				}
				r.wait(50 * ms)
			}
			if got, w := r.now.Mono-seen, r.doc.Term.Wait(); got < w-1100*ms || got > w+1100*ms {
				t.Errorf("reaped %v after it was seen, want about %v", got, w)
			}
			if r.doc.Released != c.closing {
				t.Errorf("document %+v", r.doc)
			}
		})
	}
	t.Run("a name that is renewed stays", func(t *testing.T) {
		r := opened(t)
		for n := range 30 {
			r.put(r.sibling("s" + string(rune('A'+n))))
			r.wait(time.Second)
		}
		if len(r.doc.Open) != 2 {
			t.Errorf("open %v", r.doc.Open)
		}
	})
}

func TestAutomaticClose(t *testing.T) {
	for _, c := range []struct {
		name  string
		doc   Document
		own   string   // zone that a's record names
		other string   // zone that b's record names
		alive []string // whose jobs confirm
		want  bool
	}{
		{"both name the other", Document{}, "b", "b", []string{"a", "b"}, true},
		{"the other names itself, our record is silent", Document{}, "a", "b", []string{"b"}, true},
		{"the other's job is dead", Document{}, "b", "b", []string{"a"}, false},
		{"our record names the other, whose own does not", Document{}, "b", "a", []string{"a", "b"}, false},
		{"each names itself", Document{}, "a", "b", []string{"a", "b"}, false},
		{"an order stands", Document{Override: true, Basis: map[string]int64{"a": 1, "b": 1}}, "b", "b", []string{"a", "b"}, false},
		{"an order that ended", Document{Override: true, Basis: map[string]int64{}}, "b", "b", []string{"a", "b"}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			doc := c.doc
			doc.Epoch, doc.Holder, doc.Nonce, doc.Open = 2, "a", "n", Open{{"a-2~s~0", "n"}}
			r := newRig(t, "a", doc)
			r.point("a", c.own)
			r.point("b", c.other)
			r.alive, r.beat = c.alive, r.now.Mono
			r.step(nil)
			for range 40 {
				if r.doc.Epoch == 2 && !r.doc.Closing {
					r.put(r.sibling("s" + r.m.cfg.Nonce()))
				}
				r.wait(time.Second)
			}
			if r.doc.Closing != c.want {
				t.Errorf("closing is %v, want %v", r.doc.Closing, c.want)
			}
		})
	}
}

// A replica that just booted has seen the other zone's record confirmed and its own not yet: that is no reason to give way.
func TestFreshReplicaDoesNotCloseOnItsOwnIgnorance(t *testing.T) {
	r := newRig(t, "a", Document{Epoch: 2, Holder: "a", Nonce: "n", Open: Open{{"a-2~s~0", "n"}}})
	r.point("a", "a")
	r.point("b", "b")
	r.alive, r.beat = []string{"b"}, r.now.Mono
	r.step(nil)
	r.wait(5 * time.Second)
	r.confirm("a")
	r.wait(14 * time.Second)
	if r.doc.Closing {
		t.Error("closed although both zones record themselves")
	}
}

func TestUnwantedHolderThatNobodyServesReleases(t *testing.T) {
	r := newRig(t, "a", Document{Epoch: 2, Holder: "a", Nonce: "n"})
	r.point("a", "b")
	r.step(nil)
	if !r.doc.Released {
		t.Fatalf("%+v", r.doc)
	}
	r.wait(time.Minute)
	if r.doc.Epoch != 2 {
		t.Error("claimed although it is not intended")
	}
}

func TestLastIntentStandsWhenAllJobsAreDead(t *testing.T) {
	r := newRig(t, "a", Document{Epoch: 2, Holder: "a", Nonce: "n"})
	r.point("a", "a")
	r.point("b", "a")
	r.step(nil)
	r.wait(time.Hour)
	r.is(Active)
	if r.doc.Epoch != 2 {
		t.Errorf("epoch %d", r.doc.Epoch)
	}
}

func TestStandingIntent(t *testing.T) {
	r := newRig(t, "a", Document{})
	r.m.cfg.Standing = true
	r.step(nil)
	r.wait(DefaultTerm().Wait() + 2*time.Second)
	r.is(Active)
	r.point("a", "b") // a job that should not run says nonsense
	r.wait(time.Minute)
	r.is(Active)
	if r.doc.Epoch != 1 {
		t.Errorf("epoch %d", r.doc.Epoch)
	}
}

func TestStop(t *testing.T) {
	t.Run("while open: drains, leaves its name, never releases", func(t *testing.T) {
		r := opened(t)
		id := r.m.id
		r.step(Stop{})
		r.is(Draining)
		if r.m.View().Stopped {
			t.Error("stopped while draining")
		}
		nonce := r.doc.Open.Nonce(id)
		r.wait(2900 * ms)
		if r.doc.Open.Nonce(id) != nonce {
			t.Error("renewed while stopping")
		}
		r.step(Idle{})
		r.wait(time.Second)
		if !r.m.View().Stopped || r.doc.Closing || r.doc.Released || r.doc.Open.Nonce(id) == "" {
			t.Errorf("view %+v, document %+v", r.m.View(), r.doc)
		}
	})
	t.Run("while closing: takes itself out first", func(t *testing.T) {
		r := opened(t)
		r.put(CloseWrite(r.doc, "b", nil, "c"))
		r.wait(1100 * ms)
		r.step(Stop{})
		r.auto = false
		r.step(Idle{})
		if r.m.View().Stopped {
			t.Error("stopped before its name is out")
		}
		r.sends, r.reads = nil, nil
		r.m.writing, r.auto = nil, true
		r.step(nil)
		if !r.m.View().Stopped || r.doc.Holder != "b" {
			t.Errorf("view %+v, document %+v", r.m.View(), r.doc)
		}
	})
	t.Run("with a renewal under way: its reply does not open", func(t *testing.T) {
		r := newRig(t, "a", Document{Epoch: 2, Holder: "a", Nonce: "n"})
		r.auto = false
		r.step(nil)
		r.answer()
		r.wantSend(Renew)
		reply := r.apply()
		r.step(Stop{})
		r.reply(reply)
		if v := r.m.View(); v.Open || !v.Stopped {
			t.Errorf("view %+v", v)
		}
	})
	t.Run("passive: at once, and no claim", func(t *testing.T) {
		r := newRig(t, "b", Document{Epoch: 2, Holder: "a", Nonce: "n", Closing: true, Released: true})
		r.intend("b", "b")
		r.step(nil)
		r.step(Stop{})
		r.wait(time.Minute)
		if !r.m.View().Stopped || r.doc.Epoch != 2 {
			t.Errorf("view %+v, document %+v", r.m.View(), r.doc)
		}
	})
}

func TestReplacementUnderTheSameNameHasOtherIDs(t *testing.T) {
	r := opened(t)
	replacement := New(r.m.cfg)
	if replacement.id == r.m.id {
		t.Fatalf("both are %q", r.m.id)
	}
	replacement.doc = r.doc
	if ids := replacement.endedIDs(); len(ids) != 0 {
		t.Errorf("the replacement takes its predecessor's names %v for its own", ids)
	}
}
