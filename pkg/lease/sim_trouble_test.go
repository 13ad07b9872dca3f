package lease

import "time"

// profile is a kind of schedule.
type profile struct {
	name     string
	setup    func(*world)
	trouble  func(*world)           // begins a time of troubles, which lasts while w.faults is set
	applied  func(*world, *request) // sees every applied write
	extreme  bool                   // every clock runs at one end of ρ
	duration time.Duration          // 0: ten minutes
}

func (p profile) extremes() bool { return p.extreme }

func (p profile) length() time.Duration {
	if p.duration > 0 {
		return p.duration
	}
	return schedule
}

// trouble is one kind of trouble and how often it is drawn beside the others.
type trouble struct {
	weight int
	make   func(*world)
}

// keep draws troubles, one every mean on the average, for as long as troubles may be made.
func (w *world) keep(mean time.Duration, troubles ...trouble) {
	total := 0
	for _, t := range troubles {
		total += t.weight
	}
	var next func()
	next = func() {
		if !w.faults {
			return
		}
		n := w.rng.IntN(total)
		for _, t := range troubles {
			if n -= t.weight; n < 0 {
				if len(w.nodes) > 0 { // else everybody is dead just now
					t.make(w)
				}
				break
			}
		}
		w.after(w.between(mean/10, 2*mean), next)
	}
	w.after(w.between(0, 2*mean), next)
}

// meanwhile does something later, unless the troubles are over by then.
func (w *world) meanwhile(d time.Duration, do func()) {
	w.after(d, func() {
		if w.faults {
			do()
		}
	})
}

func (w *world) anyNode() *node { return w.nodes[w.rng.IntN(len(w.nodes))] }

// anyOpen prefers a process whose gate is open.
func (w *world) anyOpen() *node {
	start := w.rng.IntN(len(w.nodes))
	for i := range w.nodes {
		if n := w.nodes[(start+i)%len(w.nodes)]; n.m.phase == serving {
			return n
		}
	}
	return w.nodes[start]
}

func (w *world) some() *node {
	if w.chance(0.6) {
		return w.anyOpen()
	}
	return w.anyNode()
}

func (w *world) anyZone() string { return zoneNames[w.rng.IntN(zoneCount)] }

func (w *world) ofZone(z int) []*node {
	var nodes []*node
	for _, n := range w.nodes {
		if n.zone == z {
			nodes = append(nodes, n)
		}
	}
	return nodes
}

// replace boots a process for n's replica, unless one is there.
func (w *world) replace(z, replica int, c clock) {
	for _, n := range w.nodes {
		if n.zone == z && n.replica == replica && !n.m.stopping {
			return
		}
	}
	w.start(z, replica, c)
}

func crash(w *world) { w.crash(w.some(), w.between(100*time.Millisecond, 20*time.Second)) }

func (w *world) crash(n *node, down time.Duration) {
	n.die("crashes")
	c := n.clock
	if n.paused {
		c.rebase(w.now)
		c.mono = n.rate
	}
	w.meanwhile(down, func() { w.replace(n.zone, n.replica, c) })
}

// zombie boots a replacement beside a process that is thought to be dead, and cut off or paused as like as not.
func zombie(w *world) {
	n := w.some()
	if len(w.ofZone(n.zone)) > perZone+1 {
		return
	}
	w.logf("%s is given up for dead", n.label)
	switch w.rng.IntN(4) {
	case 0:
		n.cutTill = w.now + w.between(time.Second, 3*w.term.T)
	case 1:
		n.muteTill = w.now + w.between(time.Second, 3*w.term.T)
	case 2:
		n.pause(w.between(time.Second, 3*w.term.T), w.chance(0.5))
	}
	w.start(n.zone, n.replica, clock{})
	w.meanwhile(w.between(time.Second, 60*time.Second), func() { n.die("is dead at last") })
}

func pause(w *world) { w.some().pause(w.between(50*time.Millisecond, 3*w.term.T), w.chance(0.5)) }

func cutOff(w *world) {
	n := w.some()
	till := w.now + w.between(time.Second, 4*w.term.T)
	switch w.rng.IntN(5) {
	case 0:
		n.muteTill = till
		w.logf("%s hears no reply until %v", n.label, till)
	case 1:
		n.writesTill = till
		w.logf("%s can only read until %v", n.label, till)
	default:
		n.cutTill = till
		w.logf("%s is cut off until %v", n.label, till)
	}
}

func cutOffZone(w *world) {
	z, till := w.some().zone, w.now+w.between(time.Second, 4*w.term.T)
	w.logf("zone %s is cut off from the store until %v", zoneNames[z], till)
	for _, n := range w.ofZone(z) {
		n.cutTill = till
	}
	w.zones[z].cutTill = till
}

func cutOffHolder(w *world) {
	till := w.now + w.between(w.term.T/2, 2*w.term.T)
	for _, n := range w.nodes {
		if n.m.phase == serving {
			n.cutTill = till
			w.logf("%s is cut off until %v", n.label, till)
		}
	}
}

func election(w *world) {
	w.down = w.now + w.between(time.Second, 2*w.term.T)
	w.logf("the store is down until %v", w.down)
}

func stepWallClock(w *world) {
	d := w.between(-time.Minute, time.Minute)
	if w.chance(0.3) {
		d *= 60
	}
	w.some().stepWall(d)
}

// drift changes the rates of a process's clocks within ρ.
func drift(w *world) {
	n := w.some()
	if n.paused {
		return
	}
	rate := func() float64 {
		if w.chance(0.5) {
			return 1 + w.term.Rho*float64(1-2*w.rng.IntN(2))
		}
		return 1 + w.term.Rho*(2*w.rng.Float64()-1)
	}
	n.clock.rebase(w.now)
	n.clock.mono, n.clock.wall = rate(), rate()
	n.plan()
}

func (w *world) point(zone string) {
	if zone != w.target {
		w.target = zone
		w.logf("the global record points at %s", zone)
	}
}

func move(w *world) { w.point(w.anyZone()) }

func flap(w *world) {
	first, second := w.anyZone(), w.anyZone()
	for i := range 2 + w.rng.IntN(8) {
		zone := first
		if i%2 == 1 {
			zone = second
		}
		w.meanwhile(w.between(0, 6*w.term.P)+time.Duration(i)*3*w.term.P, func() { w.point(zone) })
	}
}

// disagree lets one zone's resolvers lead elsewhere, often to that zone itself.
func disagree(w *world) {
	z := w.rng.IntN(zoneCount)
	sees := zoneNames[z]
	if w.chance(0.4) {
		sees = w.anyZone()
	}
	w.zones[z].sees, w.zones[z].seesTill = sees, w.now+w.between(5*time.Second, 60*time.Second)
	w.logf("zone %s sees the global record at %s for a while", zoneNames[z], sees)
}

func killJobs(w *world) {
	till, all := w.now+w.between(5*time.Second, 90*time.Second), w.chance(0.2)
	only := w.rng.IntN(zoneCount)
	for z := range w.zones {
		if all || z == only {
			w.zones[z].jobDead = till
			w.logf("the job of zone %s is dead until %v", zoneNames[z], till)
		}
	}
}

// region kills every process of a zone for a while, and its job; the global record follows or does not.
func region(w *world) {
	z, down := w.some().zone, w.between(2*time.Second, 60*time.Second)
	w.logf("zone %s is lost for %v", zoneNames[z], down)
	w.zones[z].jobDead = w.now + down
	for _, n := range w.ofZone(z) {
		w.crash(n, down+w.between(0, 2*time.Second))
	}
	if w.target == zoneNames[z] && w.chance(0.7) {
		w.meanwhile(w.between(0, 5*time.Second), func() { w.point(zoneNames[(z+1+w.rng.IntN(zoneCount-1))%zoneCount]) })
	}
}

// terminate is a SIGTERM: the replacement boots beside the process, or when it has gone, or it is killed before it is done.
func terminate(w *world) {
	n := w.some()
	w.logf("%s is asked to stop", n.label)
	n.step(Stop{})
	w.meanwhile(w.between(0, 5*time.Second), func() { w.replace(n.zone, n.replica, clock{}) })
	w.meanwhile(30*time.Second, func() { n.die("is killed") })
}

func storms(w *world) {
	before := w.net
	w.net = weather{delay: w.between(5*time.Millisecond, 200*time.Millisecond), tail: 0.3 * w.rng.Float64(), lost: 0.2 * w.rng.Float64(), late: 0.1 * w.rng.Float64(), retry: 0.2 * w.rng.Float64()}
	w.logf("the network is %+v", w.net)
	w.meanwhile(w.between(5*time.Second, 40*time.Second), func() { w.net = before })
}

// planned is an operator's switch: reads the lease and the records, then closes for a successor, which may be dead or become so.
func planned(w *world) { w.order(w.anyZone()) }

func (w *world) order(to string) {
	doc, basis := w.doc, map[string]int64{}
	for _, r := range w.recs {
		basis[r.Zone] = r.Seq
	}
	var wr Write
	switch {
	case doc.Released:
		wr = AppointWrite(doc, to, basis, w.nonce())
	case doc.Holder == to, doc.Holder == "", doc.Closing:
		return
	default:
		wr = CloseWrite(doc, to, basis, w.nonce())
	}
	delay := w.latency()
	if w.chance(w.net.late) {
		delay = w.between(0, 3*w.term.T)
	}
	w.logf("an operator orders %s, his write takes %v", to, delay)
	w.after(delay, func() {
		after, applied := wr.Apply(w.doc)
		if !applied {
			w.logf("the order matches nothing")
			return
		}
		w.checkWrite(wr, w.doc, after)
		w.doc = after
		w.stats.orders++
		w.logf("ordered: %s", describe(after))
		if w.chance(0.5) {
			w.meanwhile(w.between(time.Second, 30*time.Second), func() { w.point(to) })
		}
		if w.faults && w.chance(0.15) {
			for z, name := range zoneNames {
				if name == to {
					for _, n := range w.ofZone(z) {
						w.crash(n, w.between(time.Second, 60*time.Second))
					}
				}
			}
		}
	})
}

// pinned is an operator's pin for a while. The store applies it at once: a late one is the same as one given later.
func pinned(w *world) {
	if w.doc.Holder == "" || w.doc.Pinned {
		return
	}
	w.doc.Pinned = true
	w.logf("pinned to %s", w.doc.Holder)
	w.meanwhile(w.between(time.Second, 60*time.Second), w.unpin)
}

func (w *world) unpin() {
	if w.doc.Pinned {
		w.doc.Pinned, w.unpinned = false, w.now
		w.logf("unpinned")
	}
}

// heal ends every trouble. Requests that are still on their way arrive.
func (w *world) heal() {
	w.faults, w.down, w.net = false, 0, weather{delay: 10 * time.Millisecond}
	w.unpin()
	w.logf("every trouble is over, the global record points at %s", w.target)
	for z := range w.zones {
		w.zones[z].jobDead, w.zones[z].seesTill, w.zones[z].cutTill = 0, 0, 0
	}
	newest := map[[2]int]*node{}
	for _, n := range append([]*node(nil), w.nodes...) {
		n.cutTill, n.muteTill, n.writesTill = 0, 0, 0
		if n.m.stopping {
			n.die("is killed")
			continue
		}
		if older := newest[[2]int{n.zone, n.replica}]; older != nil {
			older.die("is dead at last")
		}
		newest[[2]int{n.zone, n.replica}] = n
		n.resume()
	}
	for z := range zoneNames {
		for r := range perZone {
			w.replace(z, r, clock{})
		}
	}
}
