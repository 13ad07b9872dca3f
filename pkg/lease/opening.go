package lease

import "strconv"

// tick moves this machine's time on. Each stretch between two steps counts by the clock that ran further: a pause in which the
// monotonic clock froze is remembered even if the wall clock is set back afterwards, and a step back does not hide a later pause.
func (m *Machine) tick(now Time) {
	if !m.stepped {
		m.stepped, m.now = true, now
		return
	}
	lag := now.Wall - m.now.Wall - (now.Mono - m.now.Mono)
	m.now = now
	late := Time{Mono: max(lag, 0), Wall: max(-lag, 0)}
	m.deadline = m.deadline.less(late)
	for _, s := range []*sent{m.writing, m.unsure} {
		if s != nil {
			s.at = s.at.less(late)
		}
	}
}

func (t Time) less(d Time) Time { return Time{Mono: t.Mono - d.Mono, Wall: t.Wall - d.Wall} }

// renewed moves the deadline by the renewal w, and opens the gate if it was closed. The time that counts is when w was first sent.
func (m *Machine) renewed(w *sent) {
	deadline := w.at.Add(m.doc.Term.T)
	if w.id != m.id || m.stopping || m.doc.Epoch != w.write.Match.Epoch || m.now.Passed(deadline) {
		return
	}
	switch m.phase {
	case closed:
		if m.doc.Closing {
			return // dueClosing takes the name out again
		}
		m.phase, m.epoch, m.drainAt, m.deadline = serving, m.doc.Epoch, Time{}, deadline
	case serving, draining:
		if deadline.Mono > m.deadline.Mono {
			m.deadline = deadline
		}
	}
}

func (m *Machine) isOpen() bool {
	return m.phase == serving || m.phase == draining || m.phase == cutting
}

func (m *Machine) fenceIfDue() {
	if m.isOpen() && m.now.Passed(m.deadline) {
		m.fence()
	}
}

// fence ends this opening for good and cuts what went through it.
func (m *Machine) fence() {
	if m.phase != cutting { // else it is being cut already
		m.actions = append(m.actions, Cut{})
	}
	m.phase = fenced
	m.endID()
}

// leave closes this replica's gate because its process ends; its siblings go on and reap its name.
func (m *Machine) leave() {
	if m.phase == serving {
		m.phase = draining
		m.cutAt = m.drainLimit(m.now)
	}
}

// advanceDrain walks a seen close through grace, drain and cut.
func (m *Machine) advanceDrain() {
	if m.phase == serving && m.drainAt != (Time{}) && m.now.Mono >= m.drainAt.Mono {
		m.phase = draining
		m.cutAt = m.drainLimit(m.drainAt)
	}
	if m.phase == draining && m.now.Mono >= m.cutAt.Mono {
		m.phase = cutting
		m.actions = append(m.actions, Cut{})
	}
}

// drainLimit is when a drain that began at from must end: never past the remaining lease less the time that cutting takes.
func (m *Machine) drainLimit(from Time) Time {
	limit := from.Add(m.cfg.Drain)
	if last := m.deadline.Add(-m.doc.Term.J); last.Mono < limit.Mono {
		limit = last
	}
	return limit
}

// endID gives up the current id for good: every renewal and confirming read still under way for it is abandoned with it.
func (m *Machine) endID() {
	m.opening++
	m.id = m.boot + strconv.Itoa(m.opening)
	m.unsure = nil
	if m.writing != nil && m.writing.write.Kind == Renew {
		m.writing = nil
	}
}
