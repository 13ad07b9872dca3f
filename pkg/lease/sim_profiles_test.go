package lease

import "time"

// profiles are the kinds of schedules; a seed draws one by weight.
func profiles() []profile {
	calm := func(w *world) {
		w.net = weather{delay: w.between(2*time.Millisecond, 40*time.Millisecond), tail: 0.02, lost: 0.01, late: 0.01, retry: 0.02}
		w.drain = []time.Duration{0, time.Second, 3 * time.Second, 30 * time.Second}[w.rng.IntN(4)]
	}
	clocks := []trouble{{3, stepWallClock}, {2, drift}, {3, pause}}
	network := []trouble{{4, cutOff}, {2, cutOffZone}, {1, cutOffHolder}, {2, election}, {2, storms}}
	processes := []trouble{{3, crash}, {3, zombie}, {1, region}, {2, terminate}}
	intent := []trouble{{3, move}, {2, flap}, {2, disagree}, {1, killJobs}, {3, planned}}
	var all []trouble
	for _, some := range [][]trouble{clocks, network, processes, intent} {
		all = append(all, some...)
	}
	tight := func(w *world) {
		calm(w)
		w.term.P, w.term.D = 200*time.Millisecond, 3*time.Second
		w.net = weather{delay: time.Millisecond, tail: 0.02, lost: 0.01, late: 0.01, retry: 0.02}
	}
	everyZoneACandidate := func(w *world) {
		for z := range w.zones {
			w.zones[z].sees, w.zones[z].seesTill = zoneNames[z], never
		}
	}
	slowly := func(w *world) time.Duration { return w.between(w.term.C/4, w.term.C*9/10) }
	return []profile{
		{name: "everything", setup: calm, trouble: func(w *world) { w.keep(w.between(2*time.Second, 10*time.Second), all...) }},
		{name: "intents", setup: calm, trouble: func(w *world) {
			w.keep(10*time.Second, intent...)
			w.keep(15*time.Second, trouble{1, planned}, trouble{1, region}, trouble{1, crash})
		}},
		{name: "zombies", setup: calm, trouble: func(w *world) {
			w.keep(6*time.Second, processes...)
			w.keep(10*time.Second, trouble{2, planned}, trouble{1, move}, trouble{1, cutOff}, trouble{1, pause})
		}},
		{name: "clocks", setup: calm, trouble: func(w *world) {
			w.keep(4*time.Second, clocks...)
			w.keep(12*time.Second, trouble{2, move}, trouble{1, cutOffHolder}, trouble{1, planned}, trouble{1, disagree})
		}},
		{name: "constants", setup: func(w *world) {
			calm(w)
			w.term, w.own[0], w.own[1] = CalmTerm(), DefaultTerm(), DefaultTerm()
			w.own[1].T, w.own[1].R = 5*time.Second, time.Second
		}, trouble: func(w *world) {
			w.keep(8*time.Second, all...)
			w.keep(15*time.Second, trouble{1, cutOffHolder}, trouble{1, move})
		}},
		// Pins come and go, before, during and after moves of every kind.
		{name: "pins", setup: calm, trouble: func(w *world) {
			w.keep(20*time.Second, trouble{1, pinned})
			w.keep(10*time.Second, intent...)
			w.keep(15*time.Second, trouble{2, cutOffHolder}, trouble{1, crash}, trouble{1, region}, trouble{1, zombie})
		}},
		// Clocks at both ends of ρ, short looks, the holder cut off again and again, every zone a candidate: what is too early by
		// little shows here.
		{name: "storm", extreme: true, setup: tight, trouble: func(w *world) {
			everyZoneACandidate(w)
			w.keep(10*time.Second, trouble{6, cutOffHolder}, trouble{2, cutOff}, trouble{1, zombie}, trouble{1, pause}, trouble{1, planned}, trouble{1, drift})
		}},
		// The same with replies that are lost, slow, or come at the driver's second attempt, just before the holder is cut off.
		{name: "replies", extreme: true, setup: func(w *world) {
			tight(w)
			w.net = weather{delay: time.Millisecond, tail: 0.15, lost: 0.15, retry: 0.25}
		}, trouble: func(w *world) {
			everyZoneACandidate(w)
			w.keep(8*time.Second, trouble{1, cutOffHolder})
		}},
		// A replica is cut off until its sibling takes its name for dead, and comes back while the removal is on its way; as soon as
		// that has arrived it is cut off again, and a switch is ordered.
		{name: "reaps", setup: func(w *world) {
			calm(w)
			w.net = weather{delay: 10 * time.Millisecond, slow: Reap}
		}, trouble: func(w *world) {
			w.keep(3*w.term.T, trouble{1, func(w *world) {
				n, till := w.anyOpen(), w.now+w.term.Wait()+w.between(-w.term.P, 3*w.term.P)
				n.cutTill = till
				w.logf("%s is cut off until %v", n.label, till)
			}})
		}, applied: func(w *world, r *request) {
			if r.write.Kind != Reap {
				return
			}
			for _, n := range w.nodes {
				if n != r.n && n.zone == r.n.zone && n.m.phase == serving {
					n.cutTill = w.now + w.term.T
					w.logf("%s is cut off until %v", n.label, n.cutTill)
				}
			}
			w.order(zoneNames[(r.n.zone+1)%zoneCount])
		}},
		// A switch is ordered while the reply to a renewal is on its way, and takes its time.
		{name: "late replies", setup: tight, trouble: func(w *world) {
			w.keep(20*time.Second, trouble{1, move})
		}, applied: func(w *world, r *request) {
			if r.write.Kind == Renew && w.chance(0.05) {
				r.back = slowly(w)
				w.order(zoneNames[(r.n.zone+1)%zoneCount])
			}
		}},
		// A zone that has just claimed cannot write for a while, and a switch is ordered before anybody of it is open.
		{name: "claims", setup: calm, trouble: func(w *world) {
			w.keep(10*time.Second, trouble{2, move}, trouble{1, cutOffHolder})
		}, applied: func(w *world, r *request) {
			if r.write.Kind == Claim && w.chance(0.5) {
				r.n.writesTill = w.now + w.between(w.term.P, w.term.T)
				w.logf("%s can only read until %v", r.n.label, r.n.writesTill)
				w.order(zoneNames[(r.n.zone+1)%zoneCount])
			}
		}},
	}
}
