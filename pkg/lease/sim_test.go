package lease

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"runtime"
	"sort"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var (
	schedules = flag.Int("schedules", 200, "schedules of ten simulated minutes that TestSimulation plays")
	firstSeed = flag.Uint64("seed", 1, "first seed of TestSimulation and TestMutants, and the one that TestReplay prints")
	asMutant  = flag.String("mutant", "", "TestReplay: the mutant to replay, of failover.md's names")
	asProfile = flag.String("profile", "", "TestReplay: the kind of schedule, where the seed does not choose it")
)

// simulate plays one schedule. Without a kind the seed chooses one.
func simulate(seed uint64, kinds []profile, mut *mutant, trace *bufio.Writer) *world {
	kind := kinds[seed%uint64(len(kinds))]
	var w *world
	if trace != nil {
		fmt.Fprintf(trace, "seed %d, %s schedule\n", seed, kind.name)
		w = newWorld(seed, kind, mut, trace)
	} else {
		w = newWorld(seed, kind, mut, nil)
	}
	w.run()
	return w
}

func TestSimulation(t *testing.T) {
	kinds := profiles()
	var next atomic.Uint64
	var mu sync.Mutex
	var wg sync.WaitGroup
	sum := map[string]*stats{}
	runs := map[string]int{}
	begin := time.Now()
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for {
				n := next.Add(1) - 1
				if n >= uint64(*schedules) || t.Failed() {
					return
				}
				seed := *firstSeed + n
				w := simulate(seed, kinds, nil, nil)
				mu.Lock()
				if w.broken != "" {
					t.Errorf("seed %d (%s): %s\nreplay: go test ./pkg/lease -run TestReplay -v -seed %d", seed, w.kind.name, w.broken, seed)
				}
				s := sum[w.kind.name]
				if s == nil {
					s = &stats{}
					sum[w.kind.name] = s
				}
				runs[w.kind.name]++
				s.add(w.stats)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	var names []string
	for name := range sum {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		s, n := sum[name], runs[name]
		t.Logf("%-12s %6d schedules; each: %d events, %.1f epochs, %.1f orders, %.1f openings, %.1f fences; at rest within %.1f s",
			name, n, s.events/n, float64(s.epochs)/float64(n), float64(s.orders)/float64(n), float64(s.opened)/float64(n), float64(s.fenced)/float64(n), s.settled.Seconds())
	}
	t.Logf("%v in all", time.Since(begin).Round(time.Millisecond))
}

func (s *stats) add(o stats) {
	s.events += o.events
	s.epochs += o.epochs
	s.orders += o.orders
	s.opened += o.opened
	s.fenced += o.fenced
	s.settled = max(s.settled, o.settled)
}

// TestReplay prints one schedule: go test ./pkg/lease -run TestReplay -v -seed N [-mutant NAME].
func TestReplay(t *testing.T) {
	kinds := profiles()
	var mut *mutant
	if *asMutant != "" {
		if mut = mutantNamed(*asMutant); mut == nil {
			t.Fatalf("no mutant is named %q", *asMutant)
		}
		kinds = mut.kinds()
	}
	if *asProfile != "" {
		kinds = kindsNamed(*asProfile)
	}
	var out *bufio.Writer
	if testing.Verbose() {
		out = bufio.NewWriter(os.Stdout)
		defer out.Flush()
	}
	first, again := simulate(*firstSeed, kinds, mut, out), simulate(*firstSeed, kinds, mut, nil)
	if first.broken != "" && mut == nil {
		t.Errorf("seed %d: %s", *firstSeed, first.broken)
	}
	if first.stats != again.stats || first.broken != again.broken || describe(first.doc) != describe(again.doc) {
		t.Errorf("seed %d is not one schedule: %+v, then %+v", *firstSeed, first.stats, again.stats)
	}
}

// kindsNamed returns the kinds of schedules with the given names.
func kindsNamed(names ...string) []profile {
	var kinds []profile
	for _, p := range profiles() {
		for _, name := range names {
			if p.name == name {
				kinds = append(kinds, p)
			}
		}
	}
	return kinds
}
