package lease

import (
	"fmt"
	"slices"
	"strconv"
)

// request tries every fate of a fresh request.
func (x *explorer) request(s *exState, i int) {
	r := &s.flight[i]
	n := &s.nodes[r.node]
	if s.tick < n.cutTill {
		c := s.clone("cut off: "+r.String(), 0)
		if n.deaf && !r.read {
			x.perform(c, &c.flight[i])
		}
		c.flight[i].fate = failed
		x.visit(c)
		return
	}
	if r.read {
		for v, doc := range r.docs {
			older := len(r.docs) - 1 - v
			if older > 0 && s.left == 0 {
				continue
			}
			c := s.clone(fmt.Sprintf("%s, %d versions ago", r, older), min(older, 1))
			c.begun = true
			c.drop(i)
			x.step(c, r.node, Observed{Seq: r.seq, Doc: doc, Records: x.records(s.tick)})
			x.visit(c)
		}
	} else {
		c := s.clone(r.String(), 0)
		c.begun = true
		reply := x.perform(c, &c.flight[i])
		c.drop(i)
		x.step(c, r.node, reply)
		x.visit(c)
	}
	if s.left == 0 {
		return
	}
	for _, f := range []fate{delayed, failed, late} {
		if r.read && f != failed {
			continue // a delayed answer is an older version
		}
		c := s.clone(fmt.Sprintf("%s: %s", [...]string{"", "reply delayed", "lost", "sent, and given up"}[f], r), 1)
		c.begun = true
		c.flight[i].fate = f
		switch {
		case f == late: // told at once; performed at any later time, or never
			x.step(c, r.node, Written{Seq: r.seq, Outcome: Unknown})
		case f == delayed:
			c.flight[i].reply = x.perform(c, &c.flight[i])
		case !r.read: // performed, and the reply lost
			x.perform(c, &c.flight[i])
		}
		x.visit(c)
	}
}

func (s *exState) drop(i int) { s.flight = slices.Delete(s.flight, i, i+1) }

func (r *exRequest) String() string {
	if r.read {
		return exZones[r.node] + "'s read"
	}
	return fmt.Sprintf("%s's %s of epoch %d, sent in tick %d", exZones[r.node], r.write.Kind, r.write.Match.Epoch, r.sent)
}

func (x *explorer) records(tick int) []Record {
	records := make([]Record, 2)
	for z, at := range x.s.records {
		records[z] = Record{Zone: exZones[z], PointsAt: at, Seq: 1, Confirmed: int64(tick)}
	}
	return records
}

// perform does r at the store and returns its reply.
func (x *explorer) perform(s *exState, r *exRequest) Written {
	after, applied := r.write.Apply(s.doc)
	if !applied {
		return Written{Seq: r.seq, Outcome: Refused}
	}
	if after.Epoch < s.doc.Epoch || after.Epoch == s.doc.Epoch && after.Holder != s.doc.Holder {
		x.fail(s, "epoch "+describe(s.doc)+" became "+describe(after))
	}
	s.become(after)
	return Written{Seq: r.seq, Outcome: Applied, Doc: after}
}

// become changes the document, which reads under way may or may not see.
func (s *exState) become(doc Document) {
	s.doc = doc
	for i := range s.flight {
		if s.flight[i].read {
			s.flight[i].docs = append(slices.Clone(s.flight[i].docs), doc)
		}
	}
}

// environment is what people, networks and Kubernetes do.
func (x *explorer) environment(s *exState) {
	if !s.doc.Closing && s.doc.Holder != "" {
		to := exZones[0]
		if s.doc.Holder == to {
			to = exZones[1]
		}
		x.nonces++
		w := CloseWrite(s.doc, to, map[string]int64{"a": 1, "b": 1}, "n"+strconv.Itoa(x.nonces))
		c := s.clone("a switch to "+to+" is ordered", 1)
		after, _ := w.Apply(c.doc)
		c.become(after)
		x.visit(c)
	}
	for n := range s.nodes {
		if s.nodes[n].m.phase != closed {
			c := s.clone(exZones[n]+" is replaced", 1)
			c.nodes[n] = x.boot(n)
			for i := range slices.Backward(c.flight) {
				if r := &c.flight[i]; r.node == n && (r.read || r.fate == delayed || r.fate == failed) {
					c.drop(i)
				} else if r.node == n {
					r.fate = late
				}
			}
			x.step(c, n, nil)
			x.visit(c)
		}
		if !s.begun && s.nodes[n].cutTill <= s.tick {
			for ticks := 1; ticks <= 4; ticks++ {
				for _, deaf := range []bool{false, true} {
					c := s.clone(fmt.Sprintf("%s is cut off for %d ticks, deaf only: %v", exZones[n], ticks, deaf), 1)
					c.begun = true
					c.nodes[n].cutTill, c.nodes[n].deaf = s.tick+ticks, deaf
					x.visit(c)
				}
			}
		}
	}
}

// pass lets a tick pass, once every request met its fate. What was sent before the tick and did not come back is told to have failed.
func (x *explorer) pass(s *exState) {
	if s.tick >= x.s.depth || slices.ContainsFunc(s.flight, func(r exRequest) bool { return r.fate == fresh || r.fate == delayed && r.sent < s.tick }) {
		return
	}
	c := s.clone(fmt.Sprintf("tick %d", s.tick+1), 0)
	c.tick++
	c.begun = false
	gone := c.flight
	// What can match nothing any more is out of the world.
	c.flight = slices.DeleteFunc(slices.Clone(gone), func(r exRequest) bool { return r.fate == failed || r.fate == late && r.write.Match.Epoch < c.doc.Epoch })
	for n := range c.nodes {
		x.step(c, n, nil)
	}
	for _, r := range gone {
		switch {
		case r.fate == failed && r.read:
			x.step(c, r.node, ReadFailed{Seq: r.seq})
		case r.fate == failed:
			x.step(c, r.node, Written{Seq: r.seq, Outcome: Unknown})
		}
	}
	x.visit(c)
}
