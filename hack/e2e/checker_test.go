//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// checker asks every zone directly, by every kind of client, all the while, and keeps what became of every request.
type checker struct {
	began time.Time
	stop  context.CancelFunc
	wg    sync.WaitGroup

	mu   sync.Mutex
	log  []answer
	kept map[string][2]int // by kind of client: requests, and those on a connection that was there
}

// The pauses between two requests of one client. Together the kinds see a change within some ten milliseconds.
var pauses = map[string]time.Duration{
	freshConnections: 40 * time.Millisecond, keptConnections: 20 * time.Millisecond, http2: 20 * time.Millisecond, sockets: 50 * time.Millisecond,
	lightRequests: 20 * time.Millisecond,
}

func startChecker() *checker {
	ctx, stop := context.WithCancel(context.Background())
	c := &checker{began: time.Now(), stop: stop, kept: map[string][2]int{}}
	for zone := range gateways {
		for kind := range pauses {
			var client client = newRequests(zone, kind)
			if kind == sockets {
				client = &socket{zone: zone}
			}
			c.wg.Go(func() { c.hammer(ctx, zone, kind, client) })
		}
	}
	return c
}

func (c *checker) note(kind string, client client) {
	requests, reused := client.kept()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kept[kind] = [2]int{c.kept[kind][0] + requests, c.kept[kind][1] + reused}
}

// finish stops asking.
func (c *checker) finish() {
	c.stop()
	c.wg.Wait()
}

// checkKinds fails the test if clients were not of the kind that they are called: those that keep connections must have used most of them
// again and again, the others never. Call it after finish.
func (c *checker) checkKinds(t *testing.T) {
	t.Helper()
	for kind, n := range c.kept {
		if kept := n[1] > n[0]/2; kept != (kind != freshConnections) {
			t.Errorf("%s: %d of %d requests on a connection that was there", kind, n[1], n[0])
		}
	}
	t.Logf("requests by kind of client, and those of them on a connection that was there: %v", c.kept)
}

func (c *checker) now() time.Duration { return time.Since(c.began) }

func (c *checker) hammer(ctx context.Context, zone, kind string, client client) {
	defer client.close()
	ticker := time.NewTicker(pauses[kind])
	defer ticker.Stop()
	for n := 0; ; n++ {
		a := answer{zone: zone, kind: kind, start: c.now()}
		var err error
		a.code, a.id, err = client.next(ctx, n)
		a.end = c.now()
		if ctx.Err() != nil {
			c.note(kind, client)
			return
		}
		if err != nil {
			a.trouble = err.Error()
		}
		c.mu.Lock()
		c.log = append(c.log, a)
		c.mu.Unlock()
		select {
		case <-ctx.Done():
			c.note(kind, client)
			return
		case <-ticker.C:
		}
	}
}

// since returns what was begun since a time.
func (c *checker) since(from time.Duration) []answer {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(c.log), func(a answer) bool { return a.start < from })
}

// watch is one part of the checker's log, and the epoch with which it began.
type watch struct {
	lab   *lab
	from  time.Duration
	epoch int64
}

// begin lets the checker see the state of things for a moment, so that a trouble's effect shows beside it.
func (l *lab) begin(t *testing.T) *watch {
	t.Helper()
	w := &watch{lab: l, from: l.check.now(), epoch: l.lease(t).Epoch}
	l.allServed(t, w.from)
	return w
}

// allServed waits until every kind of client was served by some zone, and answered by every zone, by requests that it began after a time. A
// client whose connection met a region that was cut off may sit on it for as long as TCP waits before it tries again: that is not the next
// part's trouble.
func (l *lab) allServed(t *testing.T, from time.Duration) {
	t.Helper()
	await(t, time.Minute, "every kind of client is served by some zone and answered by all", func() bool {
		served, answered := map[string]bool{}, map[[2]string]bool{}
		for _, a := range l.check.since(from) {
			if a.served() {
				served[a.kind] = true
			}
			if a.code != 0 {
				answered[[2]string{a.kind, a.zone}] = true
			}
		}
		return len(served) == len(pauses) && len(answered) == len(pauses)*len(gateways)
	})
}

// seen is what the checker saw in one part of the story.
type seen struct {
	what  string
	zones string                   // that served, in order
	kinds map[string]time.Duration // how long clients of a kind had no answer of any zone
}

// end judges a part: no more changes than epochs, so never two zones at once; every acknowledged write is in the database; the zones
// served in the order that is due, if any is; no gap above the limit. A part ends when its own question was answered: the checker's clients
// come a moment later, and only their answers count.
func (w *watch) end(t *testing.T, what string, limit time.Duration, zones ...string) {
	t.Helper()
	w.lab.allServed(t, w.lab.check.now())
	to := w.lab.check.now()
	log, epoch := w.lab.check.since(w.from), w.lab.lease(t).Epoch
	w.lab.judge(t, log, epoch-w.epoch)
	s := seen{what: what, zones: strings.Join(order(log), " > "), kinds: outages(log, w.from, to)}
	w.lab.table = append(w.lab.table, s)
	t.Logf("%s", s)
	if due := strings.Join(zones, " > "); due != "" && s.zones != due {
		t.Errorf("zones served in the order %q, not %q", s.zones, due)
	}
	if s.gap() > limit {
		t.Errorf("clients had no answer for %v; %v is the limit", s.gap(), limit)
	}
}

// gap is that of the clients that were worst off.
func (s seen) gap() time.Duration { return slices.Max(slices.Collect(maps.Values(s.kinds))) }

func (s seen) String() string {
	text := fmt.Sprintf("gap %6.2f s  %-51s %-26s", s.gap().Seconds(), s.what, s.zones)
	for _, kind := range slices.Sorted(maps.Keys(s.kinds)) {
		text += fmt.Sprintf(" %s %.2f", kind, s.kinds[kind].Seconds())
	}
	return text
}

// judge fails the test if something is wrong with a log that began so many epochs ago.
func (l *lab) judge(t *testing.T, log []answer, epochs int64) {
	t.Helper()
	wrong, writes := problems(log, epochs, l.stored(t))
	for _, problem := range wrong {
		t.Error(problem)
	}
	t.Logf("%d answers, %d acknowledged writes", len(log), writes)
	if int64(changes(log)) > epochs {
		l.showChanges(t, log)
	}
}

// showChanges prints what came around each change.
func (l *lab) showChanges(t *testing.T, log []answer) {
	t.Helper()
	through := slices.DeleteFunc(slices.Clone(log), func(a answer) bool { return !a.passed() })
	slices.SortFunc(through, func(a, b answer) int { return int(a.end - b.end) })
	shown := 0
	for i, a := range through {
		if i > 0 && a.zone != through[i-1].zone && shown < 20 {
			shown++
			for _, b := range through[max(0, i-1) : i+1] {
				t.Logf("%v to %v: %s answered %d to %s", b.start, b.end, b.zone, b.code, b.kind)
			}
		}
	}
}
