package lease

import "time"

// State is what a zone's replica is doing, in the words that status, metrics and the identity endpoint use.
type State string

// The states, from boot to boot.
const (
	Locked    State = "Locked"    // answers 423
	Candidate State = "Candidate" // intended, waiting for the former holder's epoch to end
	Acquiring State = "Acquiring" // the zone holds the epoch, this replica has not confirmed it yet
	Active    State = "Active"    // requests pass
	Draining  State = "Draining"  // requests under way go on, new ones are refused
	Fenced    State = "Fenced"    // the deadline passed, everything is being cut
	Pinned    State = "Pinned"    // answers 423, and an operator keeps the lease in another zone
)

// View is what a driver needs to know after a step.
type View struct {
	State    State
	Open     bool   // new requests pass, until Deadline
	Deadline Time   // of the current opening
	Opening  string // id of the current opening; a new one means a new epoch context
	Epoch    int64
	Holder   string
	Known    bool // the document has been read at least once
	Ready    bool // false while the zone holds the lease, or may hold it, and this replica has not confirmed it
	Closing  bool
	// OrderedAway says that an operator's order stands, or is being carried out, for another zone: load balancers should follow it.
	OrderedAway bool
	Stopped     bool // asked to stop, and nothing is under way any more
}

// View returns the machine's present state.
func (m *Machine) View() View {
	v := View{
		State: m.state(), Open: m.phase == serving, Deadline: m.deadline, Opening: m.id,
		Epoch: m.doc.Epoch, Holder: m.doc.Holder, Known: m.known, Closing: m.doc.Closing,
	}
	// One that never saw the document may be in the zone that serves, and replace one that does.
	v.Ready = m.known && (v.Open || !m.holding() || m.doc.Closing)
	v.OrderedAway = m.known && (m.doc.Closing && m.doc.Successor != "" && m.doc.Successor != m.cfg.Zone ||
		m.doc.Holder != m.cfg.Zone && !m.doc.Released && m.intents.overrideStands(&m.doc))
	v.Stopped = m.stopping && m.phase == closed && (!m.holding() || !m.doc.Closing || len(m.endedIDs()) == 0)
	return v
}

func (m *Machine) state() State {
	switch m.phase {
	case serving:
		return Active
	case draining, cutting:
		return Draining
	case fenced:
		return Fenced
	}
	if m.holding() && !m.doc.Closing || m.writing != nil && m.writing.write.Kind == Claim {
		return Acquiring
	}
	if m.known && m.pinnedAway() {
		return Pinned
	}
	if _, candidate := m.claimAt(); candidate {
		return Candidate
	}
	return Locked
}

// Wake returns the time on the monotonic clock at which the machine wants its next Step, whatever happens.
func (m *Machine) Wake() time.Duration {
	at := m.now.Mono + m.cfg.Term.P
	sooner := func(t time.Duration) {
		if t > m.now.Mono && t < at {
			at = t
		}
	}
	if m.reading == 0 {
		sooner(m.nextRead)
	}
	if m.isOpen() {
		sooner(m.deadline.Mono)
		sooner(m.now.Mono + (m.deadline.Wall - m.now.Wall))
		sooner(m.cutAt.Mono)
		sooner(m.drainAt.Mono)
	}
	if m.writing == nil {
		sooner(m.nextRenew)
		sooner(m.nextWrite)
		if t, candidate := m.claimAt(); candidate {
			sooner(t)
		}
	}
	return at
}
