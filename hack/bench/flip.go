package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/lease"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongo/mongotest"
)

// flipSpec is how often the gate flips, and under which load.
type flipSpec struct {
	Switches    int `json:"switches"`    // planned ones: each closes two replicas and opens two
	Fences      int `json:"fences"`      // the database cut off: each fences two replicas
	Connections int `json:"connections"` // to every replica, each with one request after the other
}

// flipResult is in milliseconds: from the moment that the lease says so to the answer that shows it.
type flipResult struct {
	Spec     flipSpec   `json:"spec"`
	Term     lease.Term `json:"term"`
	Open     []float64  `json:"open"`     // the renewal took effect in the database → first 2xx
	Close    []float64  `json:"close"`    // the closing was read, and 1.25 P are over → last 2xx
	Fence    []float64  `json:"fence"`    // the last renewal's term is over → last 2xx; negative: before
	Rate     float64    `json:"rate"`     // answers a second, of all replicas together
	Busy     float64    `json:"busy"`     // share of the machine's CPU time
	Failures int64      `json:"failures"` // connections of the load that ended in an error
}

// flipIndex is that of the environment.
const flipIndex = 100

// measureFlips flips a loaded environment's gates.
func (l *lab) measureFlips(ctx context.Context, spec flipSpec) (*flipResult, error) {
	result := &flipResult{Spec: spec, Term: lease.DefaultTerm()}
	err := l.withZones(ctx, flipIndex, true, func(ctx context.Context, _ *database, e *environment) error {
		f := &flipper{env: e, result: result}
		end := f.load(ctx, spec.Connections)
		defer end()
		busy, began := newBusy(), time.Now()
		for n := range spec.Switches {
			if err := f.turn(ctx, n%2); err != nil {
				return err
			}
		}
		f.result.Busy, f.result.Rate = busy.share(), float64(f.answers.Load())/time.Since(began).Seconds()
		for range spec.Fences {
			if err := f.fence(ctx, spec.Switches%2); err != nil {
				return err
			}
		}
		f.result.Failures = f.failures.Load()
		return nil
	})
	if err != nil {
		return nil, err
	}
	return result, nil
}

// flipper loads an environment and flips its gates.
type flipper struct {
	env      *environment
	result   *flipResult
	seen     [2][replicas]lastSeen
	answers  atomic.Int64
	failures atomic.Int64
}

// lastSeen is what the load saw of one replica's 2xx answers, as Unix times in ns. An answer is one when its first byte was read.
type lastSeen struct {
	mu    sync.Mutex
	since int64 // answers received before do not count as the first
	first int64
	last  int64
}

func (s *lastSeen) note(at int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = max(s.last, at)
	if at >= s.since && (s.first == 0 || at < s.first) {
		s.first = at
	}
}

func (s *lastSeen) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.since, s.first = time.Now().UnixNano(), 0
}

func (s *lastSeen) get() (first, last int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.first, s.last
}

// load sends requests over so many connections to every replica, each as soon as the former is answered. end waits for all to end.
func (f *flipper) load(ctx context.Context, connections int) (end func()) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	for z := range f.env.zones {
		for r, rep := range f.env.zones[z].replicas {
			for range connections {
				c := &rawClient{address: rep.client.address, tls: rep.client.tls}
				wg.Go(func() {
					defer c.close()
					for ctx.Err() == nil {
						code, err := c.get(ctx)
						switch {
						case err != nil:
							f.failures.Add(1)
							_ = sleep(ctx, 10*time.Millisecond)
						case code == http.StatusOK:
							f.seen[z][r].note(time.Now().UnixNano())
						}
						f.answers.Add(1)
					}
				})
			}
		}
	}
	return func() { cancel(); wg.Wait() }
}

// turn orders the other zone than holder to serve and compares the trace with what the load saw.
func (f *flipper) turn(ctx context.Context, holder int) error {
	from, to := holder, 1-holder
	for r := range replicas {
		f.seen[to][r].reset()
	}
	ordered := time.Now()
	if err := f.env.order(ctx, to); err != nil {
		return err
	}
	err := await(ctx, 20*time.Second, func() bool {
		for r := range replicas {
			if first, _ := f.seen[to][r].get(); first == 0 {
				return false
			}
		}
		return true
	})
	if err != nil {
		return fmt.Errorf("zone %s: %w%s", f.env.zones[to].name, err, f.env.explain(ctx))
	}
	// Long enough for the last answers, and for the next order to meet renewals at any point.
	if err := sleep(ctx, time.Second); err != nil {
		return err
	}
	trace, err := readTrace(f.env.db.trace, ordered)
	if err != nil {
		return err
	}
	term := lease.DefaultTerm()
	for r := range replicas {
		opened, ok := trace.firstRenewal(f.env.zones[to].replicas[r].dn)
		if !ok {
			return errors.New("the trace shows no renewal of a replica that opened")
		}
		first, _ := f.seen[to][r].get()
		f.result.Open = append(f.result.Open, millis(time.Unix(0, first).Sub(opened)))
		closing, ok := trace.firstReadAfter(f.env.zones[from].replicas[r].dn, trace.closed())
		if !ok {
			return errors.New("the trace shows no reading of the closing")
		}
		_, last := f.seen[from][r].get()
		f.result.Close = append(f.result.Close, millis(time.Unix(0, last).Sub(closing.Add(term.P+term.P/4))))
	}
	f.env.lab.say("flip: open %6.1f %6.1f ms, close %6.1f %6.1f ms", lastOf(f.result.Open, 2), lastOf(f.result.Open, 1), lastOf(f.result.Close, 2), lastOf(f.result.Close, 1))
	return nil
}

// fence stops the database's process until every replica of the zone must have been fenced, and lets it go on.
func (f *flipper) fence(ctx context.Context, holder int) error {
	began := time.Now()
	if err := sleep(ctx, lease.DefaultTerm().R+100*time.Millisecond); err != nil { // every replica renews once in that time
		return err
	}
	if err := f.env.db.signal(syscall.SIGSTOP); err != nil {
		return err
	}
	stopped := time.Now()
	err := sleep(ctx, lease.DefaultTerm().T+500*time.Millisecond)
	if err := errors.Join(err, f.env.db.signal(syscall.SIGCONT)); err != nil {
		return err
	}
	var last [replicas]int64
	for r := range replicas {
		_, last[r] = f.seen[holder][r].get()
	}
	trace, err := readTrace(f.env.db.trace, began)
	if err != nil {
		return err
	}
	for r := range replicas {
		renewed, ok := trace.lastRenewalBefore(f.env.zones[holder].replicas[r].dn, stopped)
		if !ok {
			return errors.New("the trace shows no renewal before the cut")
		}
		f.result.Fence = append(f.result.Fence, millis(time.Unix(0, last[r]).Sub(renewed.Add(lease.DefaultTerm().T))))
	}
	f.env.lab.say("fence: %6.1f %6.1f ms", lastOf(f.result.Fence, 2), lastOf(f.result.Fence, 1))
	return f.env.settle(ctx, holder, true)
}

func lastOf(values []float64, n int) float64 { return values[len(values)-n] }

// trace is what the stand-in wrote down, in the order in which the commands took effect.
type trace []mongotest.Command

// readTrace reads what was written since a time.
func readTrace(file string, since time.Time) (trace, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return parseTrace(string(data), since)
}

func parseTrace(text string, since time.Time) (trace, error) {
	var all trace
	for line := range strings.Lines(text) {
		if !strings.HasSuffix(line, "\n") {
			break // still being written
		}
		var c mongotest.Command
		if err := json.Unmarshal([]byte(line), &c); err != nil {
			return nil, fmt.Errorf("read trace: %w", err)
		}
		if !c.Time.Before(since) {
			all = append(all, c)
		}
	}
	return all, nil
}

func (t trace) find(is func(mongotest.Command) bool) (time.Time, bool) {
	for _, c := range t {
		if is(c) {
			return c.Time, true
		}
	}
	return time.Time{}, false
}

// closed is when the planned close was written: the admin is the only one who writes to the lease from outside.
func (t trace) closed() time.Time {
	at, _ := t.find(func(c mongotest.Command) bool {
		return c.Client == mongotest.AdminDN && c.Collection == "lease" && c.Applied
	})
	return at
}

// firstRenewal is when the replica's first renewal after the close took effect. Its other writes are of other collections, or, those of
// a claim, do not come in a handover.
func (t trace) firstRenewal(dn string) (time.Time, bool) {
	closed := t.closed()
	return t.find(func(c mongotest.Command) bool {
		return c.Client == dn && c.Collection == "lease" && c.Applied && c.Time.After(closed)
	})
}

// firstReadAfter is when the replica first read the lease after a time.
func (t trace) firstReadAfter(dn string, after time.Time) (time.Time, bool) {
	return t.find(func(c mongotest.Command) bool {
		return c.Client == dn && c.Collection == "lease" && c.Name == "find" && c.Time.After(after)
	})
}

// lastRenewalBefore is when the replica's last renewal before a time took effect.
func (t trace) lastRenewalBefore(dn string, before time.Time) (at time.Time, found bool) {
	for _, c := range t {
		if c.Client == dn && c.Collection == "lease" && c.Applied && c.Time.Before(before) {
			at, found = c.Time, true
		}
	}
	return at, found
}
