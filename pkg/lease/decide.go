package lease

import "time"

// decide sends what is due: at most one read and one write are under way at a time.
func (m *Machine) decide() {
	if m.reading == 0 && m.now.Mono >= m.nextRead {
		m.seq++
		m.reading, m.readAt = m.seq, m.now.Mono
		m.actions = append(m.actions, Read{Seq: m.seq})
	}
	if !m.known || m.writing != nil || m.phase == cutting || m.phase == fenced {
		return
	}
	if w, due := m.due(); due {
		m.seq++
		m.writing = &sent{seq: m.seq, write: w, at: m.now, id: m.id}
		m.actions = append(m.actions, Send{Seq: m.seq, Write: w})
	}
}

// due chooses the write that this replica owes the document now.
func (m *Machine) due() (Write, bool) {
	if m.holding() {
		if m.doc.Closing {
			if w, due := m.dueClosing(); due {
				return w, true
			}
		} else {
			if w, due := m.dueHolding(); due {
				return w, true
			}
		}
		if dead, found := m.deadEntry(); found && m.mayWrite() {
			return ReapWrite(m.doc, dead, m.cfg.Nonce()), true
		}
	}
	if at, candidate := m.claimAt(); candidate && m.now.Mono >= at && m.mayWrite() {
		return ClaimWrite(m.doc, m.cfg.Zone, m.cfg.Nonce(), m.cfg.Term), true
	}
	return Write{}, false
}

// mayWrite holds back every write but a renewal after one that failed: until a later read showed what it must match, and until the
// back-off is over.
func (m *Machine) mayWrite() bool { return m.missed == 0 && m.now.Mono >= m.nextWrite }

// holding tells whether this zone holds the epoch, as far as this replica knows.
func (m *Machine) holding() bool { return m.known && m.doc.Holder == m.cfg.Zone && !m.doc.Released }

func (m *Machine) dueClosing() (Write, bool) {
	if m.phase != closed || !m.mayWrite() {
		return Write{}, false
	}
	if m.doc.Open.Nonce(m.id) != "" {
		m.endID() // a renewal went through that was too late to open
	}
	if ids := m.endedIDs(); len(ids) > 0 || len(m.doc.Open) == 0 {
		return TakeOutWrite(m.doc, ids, m.cfg.Nonce()), true
	}
	return Write{}, false
}

func (m *Machine) dueHolding() (Write, bool) {
	if m.stopping {
		return Write{}, false
	}
	if m.mayWrite() && m.mustYield() {
		return CloseWrite(m.doc, "", nil, m.cfg.Nonce()), true
	}
	if m.phase == draining || m.now.Mono < m.nextRenew || (m.phase == closed && m.unwanted() && len(m.doc.Open) == 0) {
		return Write{}, false
	}
	m.nextRenew = m.now.Mono + m.doc.Term.R
	return RenewWrite(m.doc.Epoch, m.cfg.Zone, m.id, m.cfg.Nonce(), m.endedIDs()), true
}

// mustYield decides the automatic close: another zone freshly records itself and this one surely does not; or nobody wants this zone
// open and nobody is.
func (m *Machine) mustYield() bool {
	if m.cfg.Standing || m.doc.Pinned || m.intents.overrideStands(&m.doc) {
		return false
	}
	if m.unwanted() && m.phase == closed && len(m.doc.Open) == 0 {
		return true
	}
	zone, now, dwell := m.cfg.Zone, m.now.Mono, m.doc.Term.D
	return m.intents.otherSelfRecorded(zone, now, dwell) && m.intents.denied(zone, now, dwell)
}

// unwanted tells whether this zone's own last intent names another zone. An intent that was never stated wants nothing and forbids nothing.
func (m *Machine) unwanted() bool {
	at := m.intents.pointsAt(m.cfg.Zone)
	return at != "" && at != m.cfg.Zone && !m.cfg.Standing && !m.pinnedHere() && !m.intents.overrideStands(&m.doc)
}

// wanted tells whether this zone's own intent, fresh enough to claim by, names itself. A pin stands for it.
func (m *Machine) wanted() bool {
	return m.cfg.Standing || m.pinnedHere() || m.intents.selfRecorded(m.cfg.Zone, m.now.Mono, m.cfg.Term.D)
}

// pinnedHere tells whether an operator pinned the lease to this zone.
func (m *Machine) pinnedHere() bool { return m.doc.Pinned && m.doc.Holder == m.cfg.Zone }

// pinnedAway tells whether an operator pinned the lease to another zone, and did not order this one to follow.
func (m *Machine) pinnedAway() bool {
	return m.doc.pinnedTo() != "" && m.doc.Holder != m.cfg.Zone && !m.ordered()
}

// ordered tells whether this zone is to take over when the holder has closed.
func (m *Machine) ordered() bool { return m.doc.Closing && m.doc.Successor == m.cfg.Zone }

// claimAt returns from when this zone may claim the next epoch, and whether it is a candidate at all.
func (m *Machine) claimAt() (time.Duration, bool) {
	if !m.known || m.stopping || m.phase != closed || m.pinnedAway() {
		return 0, false
	}
	wait, ordered := m.doc.Term.Wait(), m.ordered()
	switch {
	case m.holding() && !m.doc.Closing: // it renews instead
		return 0, false
	case m.doc.Released:
		wait = 0
	case m.doc.Closing && m.doc.Successor != "" && !ordered:
		wait *= 2
	case m.intents.overrideStands(&m.doc):
		if len(m.doc.Open) > 0 {
			return 0, false
		}
		wait *= 2 // the ordered zone never opened
	}
	if !ordered && !m.wanted() {
		return 0, false
	}
	return m.changedAt + wait, true
}

// deadEntry finds a name in Open, not this process's current one, that has not changed for W.
func (m *Machine) deadEntry() (Entry, bool) {
	wait := m.doc.Term.Wait()
	for n, e := range m.doc.Open {
		if e.ID != m.id && m.now.Mono-m.entryAt[n] >= wait {
			return e, true
		}
	}
	return Entry{}, false
}
