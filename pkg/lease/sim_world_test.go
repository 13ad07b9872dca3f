package lease

import (
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"time"
)

// The simulation runs the real machines of three zones with two replicas each against one document, in true time that no machine sees.
// Everything that happens is drawn from one generator, so that a seed is a schedule. What is simulated, and what it must show, is
// described in docs/lease.md.

const (
	schedule  = 10 * time.Minute
	zoneCount = 3
	perZone   = 2
)

var zoneNames = [zoneCount]string{"a", "b", "c"}

// world is one schedule under way.
type world struct {
	rng      *rand.Rand
	now      time.Duration // true time
	queue    queue
	doc      Document
	recs     []Record        // replaced, never changed in place
	term     Term            // the slowest that a zone claims by
	own      [zoneCount]Term // what each zone claims by, where it is not that
	kind     profile
	mutant   *mutant
	nodes    []*node
	zones    [zoneCount]zone
	target   string // where the global record points
	net      weather
	down     time.Duration // the store answers nobody until then
	born     int           // counts processes
	nonces   int
	faults   bool // troubles may be made
	trace    io.Writer
	broken   string        // what went wrong first
	unpinned time.Duration // when the last pin ended
	stats    stats
	drain    time.Duration

	instant bool        // requests last no time
	opened  func(*node) // told of every gate that opens
	refused func(*node) // and of every one that ends to take requests
}

// zone is what a zone has beside its gateways.
type zone struct {
	jobDead  time.Duration // the auto-maintenance job does not run until then
	sees     string        // where this zone's resolvers lead, "" for where everybody's do
	seesTill time.Duration
	agreed   int           // probes in a row that named another zone than the record
	probed   string        // which one
	cutTill  time.Duration // the job cannot reach the store until then
	selfAt   time.Duration // when the record last named the zone itself
	away     time.Duration // when it last named another
}

// weather is how the network is at the moment.
type weather struct {
	delay time.Duration // typical one way
	tail  float64       // chance of a delay up to the operation's limit
	lost  float64       // chance that a request, and that a reply, is lost
	late  float64       // chance that a request arrives up to three terms late
	retry float64       // chance that the driver loses a reply and asks again
	slow  Kind          // writes of this kind take seconds
}

type stats struct {
	events, epochs, orders, opened, fenced int
	settled                                time.Duration // longest way from the end of the troubles to rest
}

func newWorld(seed uint64, kind profile, mut *mutant, trace io.Writer) *world {
	w := &world{rng: rand.New(rand.NewPCG(seed, 0x1ea5e)), kind: kind, mutant: mut, trace: trace, target: "a"}
	w.term = DefaultTerm()
	kind.setup(w)
	for z := range w.own {
		if w.own[z].T == 0 {
			w.own[z] = w.term
		}
	}
	w.unpinned = -time.Hour
	w.doc = Document{Nonce: "bootstrap", Open: Open{}, Term: w.term}
	for z := range zoneNames {
		w.zones[z].selfAt, w.zones[z].away = -time.Hour, -time.Hour
		for r := range perZone {
			w.start(z, r, clock{})
		}
		w.jobTick(z)
	}
	return w
}

// run plays the whole schedule: troubles, rest, troubles, rest; it stops at the first thing that must not happen.
func (w *world) run() {
	half := w.kind.length() / 2
	for n := range 2 {
		w.faults = true
		w.kind.trouble(w)
		w.until(time.Duration(n)*half + half - w.restBound() - restHold)
		w.heal()
		w.rest()
	}
}

// until lets true time pass.
func (w *world) until(end time.Duration) {
	for w.broken == "" {
		var first *node
		next := end
		for _, n := range w.nodes {
			if n.wake < next {
				next, first = n.wake, n
			}
		}
		if w.queue.len() > 0 && w.queue.first() <= next {
			w.now = max(w.now, w.queue.first())
			w.stats.events++
			w.queue.pop()()
			continue
		}
		w.now = max(w.now, next)
		if first == nil {
			return
		}
		w.stats.events++
		first.step(nil)
	}
}

func (w *world) after(d time.Duration, do func()) { w.queue.push(w.now+d, do) }

func (w *world) chance(p float64) bool { return p > 0 && w.rng.Float64() < p }

// between draws a duration from low to high.
func (w *world) between(low, high time.Duration) time.Duration {
	return low + time.Duration(w.rng.Int64N(int64(high-low)+1))
}

func (w *world) nonce() string { w.nonces++; return strconv.Itoa(w.nonces) }

func (w *world) logf(format string, args ...any) {
	if w.trace != nil {
		fmt.Fprintf(w.trace, "%9.3f  %s\n", w.now.Seconds(), fmt.Sprintf(format, args...))
	}
}

// fail notes the first violation, which ends the schedule.
func (w *world) fail(format string, args ...any) {
	if w.broken == "" {
		w.broken = fmt.Sprintf("%.3f s: ", w.now.Seconds()) + fmt.Sprintf(format, args...)
		w.logf("VIOLATION %s", w.broken)
	}
}

// queue is a heap of what happens when; what is due at the same time happens in the order in which it was put in.
type queue struct {
	items []item
	n     uint64
}

type item struct {
	at time.Duration
	n  uint64
	do func()
}

func (q *queue) len() int             { return len(q.items) }
func (q *queue) first() time.Duration { return q.items[0].at }

func (i item) before(j item) bool { return i.at < j.at || i.at == j.at && i.n < j.n }

func (q *queue) push(at time.Duration, do func()) {
	q.n++
	q.items = append(q.items, item{at, q.n, do})
	for i := len(q.items) - 1; i > 0; {
		parent := (i - 1) / 2
		if !q.items[i].before(q.items[parent]) {
			break
		}
		q.items[i], q.items[parent] = q.items[parent], q.items[i]
		i = parent
	}
}

func (q *queue) pop() func() {
	do := q.items[0].do
	last := len(q.items) - 1
	q.items[0] = q.items[last]
	q.items[last] = item{}
	q.items = q.items[:last]
	for i := 0; ; {
		child := 2*i + 1
		if child >= last {
			return do
		}
		if child+1 < last && q.items[child+1].before(q.items[child]) {
			child++
		}
		if !q.items[child].before(q.items[i]) {
			return do
		}
		q.items[i], q.items[child] = q.items[child], q.items[i]
		i = child
	}
}
