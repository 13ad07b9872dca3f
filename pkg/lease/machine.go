package lease

import (
	"slices"
	"strings"
	"time"
)

// Config is what a machine knows of itself.
type Config struct {
	Zone     string // zone key
	Replica  string // name for people; the ids of a process's openings begin with it. No dots, no dollar signs: ids are field names
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
	// Idle says that nothing that went through the gate is under way any more. It counts only while the gate is closed to new requests
	// by the latest View: send it after Cut, and as soon as the last request of a draining gate is over.
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
	// Send asks for a conditional write, to be applied at most once: a driver that retries must let the database recognise the repetition
	// (MongoDB's retryable writes do), for a renewal applied twice could bring back a nonce that was seen before.
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
	changedAt time.Duration   // receipt of the reply that first showed doc's epoch and nonce
	entryAt   []time.Duration // the same for each entry of doc.Open
	intents   intents
	stepped   bool // once at least

	phase     phase
	boot      string // what the ids of this process, and of no other, begin with
	id        string // name under which the current opening renews
	opening   int    // counts ids; an ended one is never used again
	epoch     int64  // that the gate is, or was last, open in
	deadline  Time   // of the current opening
	drainAt   Time   // a close was seen: when to refuse new requests
	cutAt     Time   // and when to cut what is left
	reading   uint64 // seq of the read under way, 0 for none
	readAt    time.Duration
	lookAgain bool   // as soon as that read is back
	writing   *sent  // write under way
	unsure    *sent  // renewal of unknown outcome; a later read may still confirm it
	missed    uint64 // a write failed: only a read with a higher seq shows what the next one must match
	nextRead  time.Duration
	nextRenew time.Duration
	failures  int           // writes but renewals that failed in a row
	nextWrite time.Duration // until then they back off
	stopping  bool
}

// New returns a machine that is closed and knows nothing. The ids of its openings carry a nonce of this process: a replacement under
// the same name must not take out, or drop, the name of a predecessor that may still be open.
func New(cfg Config) *Machine {
	m := &Machine{cfg: cfg, boot: cfg.Replica + "~" + cfg.Nonce() + "~"}
	m.id = m.boot + "0"
	return m
}

// Step takes an event at the time now and returns what to do. Call it with a nil event at Wake at the latest.
func (m *Machine) Step(now Time, event Event) []Action {
	m.tick(now)
	m.actions = nil
	m.fenceIfDue()
	switch e := event.(type) {
	case Observed:
		if e.Seq == m.reading {
			m.intents.observe(now.Mono, m.cfg.Term.D, e.Records)
			m.learn(e.Doc)
			m.confirm()
			m.readDone()
			if e.Seq > m.missed {
				m.missed = 0
			}
		}
	case ReadFailed:
		if e.Seq == m.reading {
			m.readDone()
		}
	case Written:
		m.written(e)
	case Idle:
		if m.phase == draining || m.phase == cutting || m.phase == fenced {
			m.phase = closed
			m.nextRenew = now.Mono
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

// readDone sets when to look next. Looks are counted from one sending to the next, so that a slow link does not make them rarer.
func (m *Machine) readDone() {
	m.reading = 0
	m.nextRead = max(m.readAt+m.pollEvery(), m.now.Mono)
	if m.lookAgain {
		m.lookAgain = false
		m.nextRead = m.now.Mono
	}
}

// learn takes a state of the document, received now. Replies overtake one another: one that is surely older than what is known is left out.
func (m *Machine) learn(doc Document) {
	if m.known && (doc.Epoch < m.doc.Epoch ||
		doc.Epoch == m.doc.Epoch && (m.doc.Closing && !doc.Closing || m.doc.Released && !doc.Released)) {
		return
	}
	if !doc.Term.usable() {
		doc.Term = m.cfg.Term // never wait for nothing
	}
	if !m.known || doc.Epoch != m.doc.Epoch || doc.Nonce != m.doc.Nonce {
		m.changedAt = m.now.Mono
	}
	if !m.known || doc.Epoch != m.doc.Epoch || !slices.Equal(doc.Open, m.doc.Open) {
		m.entryAt = m.sightings(doc)
	}
	m.known, m.doc = true, doc
	if m.isOpen() && (doc.Epoch != m.epoch || doc.Holder != m.cfg.Zone || doc.Released) {
		m.fence() // somebody else's epoch: our deadline must be over on their clock
	}
	if m.phase == serving && doc.Closing && m.drainAt == (Time{}) {
		m.drainAt = m.now.Add(doc.Term.grace())
	}
	if doc.Closing && m.reading == 0 {
		m.nextRead = min(m.nextRead, m.now.Mono+m.pollEvery()) // it was this replica's own write that closed
	}
}

// sightings returns since when each entry of doc.Open has been there as it is now.
func (m *Machine) sightings(doc Document) []time.Duration {
	at := make([]time.Duration, len(doc.Open))
	for n, e := range doc.Open {
		at[n] = m.now.Mono
		if before := slices.Index(m.doc.Open, e); before >= 0 && doc.Epoch == m.doc.Epoch {
			at[n] = m.entryAt[before]
		}
	}
	return at
}

// confirm opens, or keeps open, by a read that proves a renewal of unknown outcome: from when that renewal was first sent.
func (m *Machine) confirm() {
	u := m.unsure
	if u == nil || u.id != m.id || m.doc.Epoch != u.write.Match.Epoch || m.doc.Holder != m.cfg.Zone {
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
		if w.write.Kind != Renew {
			m.failures = 0
		}
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
	if e.Outcome == Applied || w.write.Kind == Renew {
		return
	}
	m.missed = m.seq
	// Going out races with siblings, and is not kept waiting for having lost once or twice.
	if m.failures++; w.write.Kind == Claim || m.failures > 2 {
		m.nextWrite = m.now.Mono + m.cfg.Term.P/10 + m.cfg.Jitter(m.cfg.Term.P/2)
	}
}

// endedIDs are the names of this process's former openings that the document still carries.
func (m *Machine) endedIDs() []string {
	var ids []string
	for _, e := range m.doc.Open {
		if e.ID != m.id && strings.HasPrefix(e.ID, m.boot) {
			ids = append(ids, e.ID)
		}
	}
	return ids
}

// lookNow reads as soon as possible: a read under way may have been answered before what it is wanted for.
func (m *Machine) lookNow() {
	m.lookAgain = m.reading != 0
	m.nextRead = m.now.Mono
}

func (m *Machine) pollEvery() time.Duration {
	if m.doc.Closing && !m.doc.Released {
		return pollClosing
	}
	return m.cfg.Term.P
}
