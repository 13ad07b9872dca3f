package maintenance_test

import (
	"context"
	"log/slog"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/maintenance"
)

// A run is killed at its nth call of the store, before or after the call was carried out; the next run makes up for it: the same record
// and the same journal as if nobody had been killed, whatever n is.
func TestKilledAnywhere(t *testing.T) {
	const moves = "aaabbbbbccccc"
	const want = "intent/a/1 >a 7, intent/a/2 a>b 7, intent/a/3 b>c 7"
	kill := func(n int, after bool) (calls int, left string) {
		synctest.Test(t, func(t *testing.T) {
			s, p := newMemory(""), &script{text: moves}
			die := func(string) error {
				if calls++; calls == n {
					runtime.Goexit()
				}
				return nil
			}
			if after {
				s.failAfter = die
			} else {
				s.fail = die
			}
			killed := make(chan struct{})
			go func() {
				defer close(killed)
				config := standard
				config.Window = 20 * time.Second
				_, _ = maintenance.Run(context.WithoutCancel(t.Context()), config, p, s, slog.New(slog.DiscardHandler))
			}()
			<-killed
			// The record did not wait while nobody looked: the next run sees on from where the killed one was.
			s.fail, s.failAfter = nil, nil
			if _, _, err := run(t, p, s); err != nil {
				t.Fatal(err)
			}
			if s.intent.PointsAt != "c" || s.intent.Seq != int64(len(s.journal)) {
				t.Errorf("killed at call %d (after: %t): record %+v, journal %q", n, after, s.intent.Record, s.entries())
			}
			left = s.entries()
		})
		return calls, left
	}
	for _, after := range []bool{false, true} {
		total, left := kill(0, after)
		if left != want || total < 10 {
			t.Fatalf("nobody killed: %d calls, journal %q, want %q", total, left, want)
		}
		for n := 1; n <= total; n++ {
			_, left := kill(n, after)
			// A new run counts anew, so the killed one's samples of a zone that was passed meanwhile may be lost; entries never are.
			switch left {
			case want, "intent/a/1 >a 7, intent/a/2 a>c 7", "intent/a/1 >b 7, intent/a/2 b>c 7", "intent/a/1 >c 7":
			default:
				t.Errorf("killed at call %d (after: %t): journal %q", n, after, left)
			}
		}
	}
}

// The pause between two runs of the CronJob, as its controller makes it: a run that is still there at its minute keeps the next one waiting,
// and that one starts when the end is seen. However long pods take to start (1 to 8 s) and ends to be seen (1 to 3 s), the intent is
// confirmed again within the dwell of 15 s: last confirmation two rounds before the end, first one in the first round after the start.
func TestRunsTouch(t *testing.T) {
	const dwell = 15 * time.Second
	worst := func(window time.Duration) time.Duration {
		longest := time.Duration(0)
		for seed := range 500 {
			random := func(n, low, high int) time.Duration {
				return time.Duration(low)*time.Second + time.Duration((seed*7919+n*104729)%((high-low)*1000+1))*time.Millisecond
			}
			end, free := time.Duration(-1), time.Duration(0) // of the run before; when the controller may start the next
			for n, minute := 0, time.Duration(0); n < 30; n++ {
				created := max(minute, free)
				began := created + random(2*n, 1, 8)
				if end >= 0 {
					longest = max(longest, began-end)
				}
				end = began + window
				free = end + random(2*n+1, 1, 3)
				// The next schedule time that is due: a missed one runs late, of several missed ones the latest.
				next := created.Truncate(time.Minute) + time.Minute
				minute = max(next, free.Truncate(time.Minute))
			}
		}
		return longest + 2*standard.Interval + time.Second // the last confirmation's age, and the first round
	}
	for window, touches := range map[time.Duration]bool{standard.Window: true, 45 * time.Second: false} {
		if got := worst(window); (got < dwell) != touches {
			t.Errorf("window %s: %s without a confirmation at worst", window, got)
		}
	}
}
