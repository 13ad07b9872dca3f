package lease

import (
	"slices"
	"testing"
	"time"
)

// gaps plays a world without other trouble: the zone that holds the lease by then is struck at an arbitrary moment, and what is measured
// is how long it takes from the moment that strike returns until another zone opens. strike returns -1 for the end of the old zone's
// last gate.
func gaps(t *testing.T, runs int, setup func(*world), strike func(w *world, zone int) time.Duration) []time.Duration {
	t.Helper()
	var all []time.Duration
	for seed := range uint64(runs) {
		kind := profile{name: "gap", trouble: func(*world) {}, setup: func(w *world) {
			w.net = weather{delay: w.between(2*time.Millisecond, 40*time.Millisecond)}
			w.instant, w.drain = true, 3*time.Second // so that neither drain nor cut is in the figures
			if setup != nil {
				setup(w)
			}
		}}
		w := newWorld(seed, kind, nil, nil)
		w.until(40*time.Second + w.between(0, 10*time.Second))
		if !w.settled() {
			t.Fatalf("seed %d: not open after %v: %s", seed, w.now, describe(w.doc))
		}
		old := w.zoneOf(w.doc.Holder)
		from := strike(w, old)
		var opened, closedAt time.Duration
		w.opened = func(n *node) {
			if n.zone != old && opened == 0 {
				opened = w.now
			}
		}
		w.refused = func(n *node) {
			if n.zone == old {
				closedAt = w.now
			}
		}
		w.until(w.now + 60*time.Second)
		switch {
		case w.broken != "":
			t.Fatalf("seed %d: %s", seed, w.broken)
		case opened == 0:
			t.Fatalf("seed %d: nobody opened: %s", seed, describe(w.doc))
		case from < 0:
			from = closedAt
		}
		all = append(all, opened-from)
	}
	slices.Sort(all)
	n := len(all)
	t.Logf("%d runs: min %v, median %v, p99 %v, max %v", n, round(all[0]), round(all[n/2]), round(all[n*99/100]), round(all[n-1]))
	return all
}

func round(d time.Duration) time.Duration { return d.Round(10 * time.Millisecond) }

func (w *world) zoneOf(name string) int { return slices.Index(zoneNames[:], name) }

// TestCrashTakeover holds the target of ten seconds at the most, from the fault, when the record moves at once.
func TestCrashTakeover(t *testing.T) {
	lost := func(w *world, zone int) time.Duration {
		for _, n := range w.ofZone(zone) {
			n.die("crashes")
		}
		w.zones[zone].jobDead = never
		w.target = zoneNames[(zone+1)%zoneCount]
		return w.now
	}
	t.Run("whole zone lost", func(t *testing.T) {
		if all := gaps(t, 300, nil, lost); all[len(all)-1] > 10*time.Second {
			t.Errorf("the longest takes %v", all[len(all)-1])
		}
	})
	t.Run("cut off from the database", func(t *testing.T) {
		all := gaps(t, 300, nil, func(w *world, zone int) time.Duration {
			for _, n := range w.ofZone(zone) {
				n.cutTill = never
			}
			w.zones[zone].cutTill = never
			w.target = zoneNames[(zone+1)%zoneCount]
			return w.now
		})
		if all[len(all)-1] > 10*time.Second {
			t.Errorf("the longest takes %v", all[len(all)-1])
		}
	})
	t.Run("calm profile", func(t *testing.T) {
		all := gaps(t, 100, func(w *world) { w.term = CalmTerm() }, lost)
		if limit := CalmTerm().Wait() + CalmTerm().P + time.Second; all[len(all)-1] > limit {
			t.Errorf("the longest takes %v, want at most %v", all[len(all)-1], limit)
		}
	})
}

// TestPlannedGap holds the target of 0.3 s beyond drain and cut.
func TestPlannedGap(t *testing.T) {
	near := func(w *world) { w.net.delay = w.between(time.Millisecond, 15*time.Millisecond) }
	all := gaps(t, 300, near, func(w *world, zone int) time.Duration {
		w.order(zoneNames[(zone+1)%zoneCount])
		return -1
	})
	if all[len(all)-1] > 300*time.Millisecond {
		t.Errorf("the longest is %v", all[len(all)-1])
	}
	t.Run("far from the database", func(t *testing.T) {
		all := gaps(t, 300, func(w *world) { w.net.delay = 40 * time.Millisecond }, func(w *world, zone int) time.Duration {
			w.order(zoneNames[(zone+1)%zoneCount])
			return -1
		})
		if limit := pollClosing + 6*120*time.Millisecond; all[len(all)-1] > limit { // a round trip takes up to 120 ms there
			t.Errorf("the longest is %v, want at most %v", all[len(all)-1], limit)
		}
	})
	t.Run("moved by the record alone", func(t *testing.T) {
		all := gaps(t, 300, nil, func(w *world, zone int) time.Duration {
			w.target = zoneNames[(zone+1)%zoneCount]
			return -1
		})
		if all[len(all)-1] > 1500*time.Millisecond {
			t.Errorf("the longest is %v", all[len(all)-1])
		}
	})
}
