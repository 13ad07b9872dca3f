package lease

import (
	"slices"
	"strconv"
	"time"
)

// Config is what a machine knows of itself.
type Config struct {
	Zone     string // zone key
	Replica  string // unique to this process; ids of its openings are made from it
	Term     Term   // constants that this zone's claims write
	Standing bool   // the environment has this one zone: it is always intended
	Drain    time.Duration
	// Nonce returns a value never returned before by anyone.
	Nonce func() string
	// Jitter returns a random duration in [0, limit).
	Jitter func(limit time.Duration) time.Duration
}

// Event is something that happened: Observed, ReadFailed, Written, Idle or Stop. A nil event is the passing of time.
type Event any

type (
	// Observed is the reply to a Read: the document, read linearizably, and every zone's record.
	Observed struct {
		Seq     uint64
		Doc     Document
		Records []Record
	}
	// ReadFailed is a Read that brought nothing within its time limit.
	ReadFailed struct{ Seq uint64 }
	// Written is the reply to a Send.
	Written struct {
		Seq     uint64
		Outcome Outcome
		Doc     Document // the document after the write, where it was applied
	}
	// Idle says that no fenced request is under way any more.
	Idle struct{}
	// Stop says that this process is asked to end.
	Stop struct{}
)

// Outcome is what became of a write.
type Outcome int

// A write was applied, matched nothing, or may yet be either (a timeout, a network or write-concern error).
const (
	Applied Outcome = iota
	Refused
	Unknown
)

// Action is what the driver must do next: Read, Send or Cut. Each Read and Send gets one reply, within the term's C.
type Action any

type (
	// Read asks for the document and the records.
	Read struct{ Seq uint64 }
	// Send asks for a conditional write.
	Send struct {
		Seq   uint64
		Write Write
	}
	// Cut ends at once everything that went through the gate; Idle answers it.
	Cut struct{}
)

// phase is where this replica's gate stands.
type phase int

const (
	closed   phase = iota
	serving        // requests pass
	draining       // new ones are refused, those under way go on
	cutting        // planned: what is left is being cut
	fenced         // the deadline passed: what is left is being cut
)

// pollClosing is how often everybody looks while the holder is closing.
const pollClosing = 100 * time.Millisecond

// sent is a write under way, or one whose outcome is unknown.
type sent struct {
	seq   uint64
	write Write
	at    Time
	id    string
}

// Machine is one gateway replica's part in the protocol. It is not safe for concurrent use.
type Machine struct {
	cfg     Config
	now     Time
	actions []Action
	seq     uint64

	known     bool
	doc       Document
	changedAt time.Duration // receipt of the read that first showed doc's epoch and nonce
	entryAt   map[Entry]time.Duration
	intents   intents

	phase     phase
	opening   int    // counts ids of this process; an ended one is never used again
	epoch     int64  // that the gate is, or was last, open in
	deadline  Time   // of the current opening
	drainAt   Time   // a close was seen: when to refuse new requests
	cutAt     Time   // and when to cut what is left
	reading   uint64 // seq of the read under way, 0 for none
	writing   *sent  // write under way
	unsure    *sent  // renewal of unknown outcome; a later read may still confirm it
	nextRead  time.Duration
	nextRenew time.Duration
	nextWrite time.Duration // claims and housekeeping back off until then
	stopping  bool
}

// New returns a machine that is closed and knows nothing.
func New(cfg Config) *Machine { return &Machine{cfg: cfg, entryAt: map[Entry]time.Duration{}} }

// Step takes an event at the time now and returns what to do. Call it with a nil event at Wake at the latest.
func (m *Machine) Step(now Time, event Event) []Action {
	m.now, m.actions = now, nil
	m.fenceIfDue()
	switch e := event.(type) {
	case Observed:
		if e.Seq == m.reading {
			m.reading = 0
			m.nextRead = now.Mono + m.pollEvery(e.Doc)
			m.intents.observe(now.Mono, e.Records)
			m.learn(e.Doc)
			m.confirm()
		}
	case ReadFailed:
		if e.Seq == m.reading {
			m.reading = 0
			m.nextRead = now.Mono + m.pollEvery(m.doc)
		}
	case Written:
		m.written(e)
	case Idle:
		if m.phase == draining || m.phase == cutting || m.phase == fenced {
			m.phase = closed
			m.endID()
		}
	case Stop:
		m.stopping = true
		m.leave()
	}
	m.advanceDrain()
	m.decide()
	return m.actions
}

// learn takes a newer state of the document, received now.
func (m *Machine) learn(doc Document) {
	if m.known && doc.Epoch < m.doc.Epoch {
		return // a late sight of the past
	}
	if !m.known || doc.Epoch != m.doc.Epoch || doc.Nonce != m.doc.Nonce {
		m.changedAt = m.now.Mono
	}
	seen := make(map[Entry]time.Duration, len(doc.Open))
	for _, e := range doc.Open {
		at, known := m.entryAt[e]
		if !known || doc.Epoch != m.doc.Epoch {
			at = m.now.Mono
		}
		seen[e] = at
	}
	m.known, m.doc, m.entryAt = true, doc, seen
	if m.isOpen() && (doc.Epoch != m.epoch || doc.Holder != m.cfg.Zone || doc.Released) {
		m.fence() // somebody else's epoch: our deadline must be over on their clock
	}
	if m.phase == serving && doc.Closing && m.drainAt == (Time{}) {
		m.drainAt = m.now.Add(doc.Term.grace())
	}
}

// confirm opens, or keeps open, by a read that proves a renewal of unknown outcome: from when that renewal was first sent.
func (m *Machine) confirm() {
	u := m.unsure
	if u == nil || u.id != m.id() || m.doc.Epoch != u.write.Match.Epoch || m.doc.Holder != m.cfg.Zone {
		return
	}
	if m.doc.Open.Nonce(u.id) == u.write.Change.Put.Nonce {
		m.unsure = nil
		m.renewed(u)
	}
}

func (m *Machine) written(e Written) {
	w := m.writing
	if w == nil || w.seq != e.Seq {
		return // the write was abandoned: its reply means nothing any more
	}
	m.writing = nil
	switch e.Outcome {
	case Applied:
		m.unsure = nil
		m.learn(e.Doc)
		if w.write.Kind == Renew {
			m.renewed(w)
		}
		if w.write.Kind == Claim {
			m.nextRenew = m.now.Mono
		}
	case Unknown:
		if w.write.Kind == Renew {
			m.unsure = w
		}
		m.lookNow()
	case Refused:
		m.lookNow()
	}
	if e.Outcome != Applied && w.write.Kind != Renew {
		m.nextWrite = m.now.Mono + m.cfg.Term.P/10 + m.cfg.Jitter(m.cfg.Term.P/2)
	}
}

// renewed moves the deadline by the renewal w, and opens the gate if it was closed. The time that counts is when w was first sent.
func (m *Machine) renewed(w *sent) {
	deadline := w.at.Add(m.doc.Term.T)
	if w.id != m.id() || m.stopping || m.doc.Epoch != w.write.Match.Epoch || m.now.Passed(deadline) {
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
	m.phase = fenced
	m.endID()
	m.actions = append(m.actions, Cut{})
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

// id is the name under which this replica's current opening renews.
func (m *Machine) id() string { return m.cfg.Replica + "~" + strconv.Itoa(m.opening) }

// endID gives up the current id for good: every renewal and confirming read still under way for it is abandoned with it.
func (m *Machine) endID() {
	m.opening++
	m.unsure = nil
	if m.writing != nil && m.writing.write.Kind == Renew {
		m.writing = nil
	}
}

// endedIDs are the names of this process's former openings that the document still carries.
func (m *Machine) endedIDs() []string {
	var ids []string
	for n := range m.opening {
		id := m.cfg.Replica + "~" + strconv.Itoa(n)
		if slices.ContainsFunc(m.doc.Open, func(e Entry) bool { return e.ID == id }) {
			ids = append(ids, id)
		}
	}
	return ids
}

func (m *Machine) lookNow() { m.nextRead = m.now.Mono }

func (m *Machine) pollEvery(doc Document) time.Duration {
	if doc.Closing && !doc.Released {
		return pollClosing
	}
	return m.cfg.Term.P
}
