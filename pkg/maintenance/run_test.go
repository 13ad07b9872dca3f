package maintenance_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/lease"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/maintenance"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongo"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/probe"
)

// script probes: one character a round, as in rounds; the last one goes on for ever.
type script struct {
	text string
	next int
	took time.Duration // of each round
}

func (s *script) Round(ctx context.Context) []probe.Result {
	select {
	case <-ctx.Done():
		return []probe.Result{{Kind: probe.HTTP, Err: ctx.Err()}}
	case <-time.After(s.took):
	}
	c := s.text[min(s.next, len(s.text)-1)]
	s.next++
	if c == '.' {
		return []probe.Result{{Resolver: "system", Kind: probe.Connect, Err: errors.New("refused")}}
	}
	return []probe.Result{{Resolver: "system", Zone: string(c), Epoch: 7, State: "Locked", Address: "192.0.2.1:443"}}
}

// memory is a store as the database is one: conditional, atomic.
type memory struct {
	intent    mongo.Intent
	journal   map[string]mongo.JournalEntry
	times     []time.Time                // of changes of Confirmed
	fail      func(op string) error      // an operation fails before it is carried out
	failAfter func(op string) error      // and after
	meddle    func(intent *mongo.Intent) // somebody else, just before a write
}

var errDown = errors.New("no reachable servers")

func newMemory(pointsAt string) *memory {
	m := &memory{journal: map[string]mongo.JournalEntry{}}
	m.intent.Record = lease.Record{Zone: "a", PointsAt: pointsAt}
	if pointsAt != "" {
		m.intent.Seq, m.intent.Confirmed, m.intent.Previous, m.intent.Since = 4, 90, "c", time.Unix(100, 0)
	}
	return m
}

func call(f func(string) error, op string) error {
	if f == nil {
		return nil
	}
	return f(op)
}

func (m *memory) Intent(context.Context) (mongo.Intent, error) {
	return m.intent, call(m.fail, "read")
}

func (m *memory) WriteIntent(_ context.Context, w mongo.IntentWrite) (mongo.Intent, bool, error) {
	if err := call(m.fail, "write"); err != nil {
		return mongo.Intent{}, false, err
	}
	if m.meddle != nil {
		m.meddle(&m.intent)
	}
	if m.intent.Seq != w.Was.Seq || m.intent.Confirmed != w.Was.Confirmed {
		return mongo.Intent{}, false, nil
	}
	if w.Is.Confirmed != w.Was.Confirmed {
		m.times = append(m.times, time.Now())
	}
	if w.Is.Seq != w.Was.Seq {
		m.intent.Previous, m.intent.Epoch, m.intent.Since = w.Was.PointsAt, w.Epoch, time.Now()
	}
	m.intent.Record, m.intent.Resolvers, m.intent.Version = w.Is, w.Resolvers, w.Version
	if err := call(m.failAfter, "write"); err != nil {
		return mongo.Intent{}, false, err
	}
	return m.intent, true, nil
}

func (m *memory) Append(_ context.Context, e mongo.JournalEntry) error {
	if err := call(m.fail, "journal"); err != nil {
		return err
	}
	if _, there := m.journal[e.Key]; !there {
		m.journal[e.Key] = e
	}
	return call(m.failAfter, "journal")
}

// entries lists the journal as "key from>to epoch".
func (m *memory) entries() string {
	var all []string
	for _, e := range m.journal {
		all = append(all, fmt.Sprintf("%s %s>%s %d", e.Key, e.From, e.To, e.Epoch))
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

var standard = maintenance.Config{
	Zone: "a", Window: 58 * time.Second, Interval: time.Second, Params: maintenance.Params{Samples: 5, Threshold: 3}, Version: "v1",
}

func run(t *testing.T, p *script, s *memory) (maintenance.Summary, string, error) {
	t.Helper()
	var log bytes.Buffer
	sum, err := maintenance.Run(t.Context(), standard, p, s, slog.New(slog.NewJSONHandler(&log, nil)))
	return sum, log.String(), err
}

func TestRunConfirmsWithinTheDwell(t *testing.T) {
	for name, p := range map[string]*script{
		"steady":           {text: "a"},
		"every third lost": {text: strings.Repeat("aa.", 30)},
		"slow":             {text: "a", took: 1900 * time.Millisecond},
	} {
		synctest.Test(t, func(t *testing.T) {
			began, s := time.Now(), newMemory("a")
			sum, log, err := run(t, p, s)
			if err != nil || sum.Moves != 0 || s.intent.Seq != 4 || s.intent.PointsAt != "a" {
				t.Errorf("%s: got %+v, %v", name, sum, err)
			}
			last := began.Add(-10 * time.Second) // the run before it, and the time between
			for _, at := range append(s.times, began.Add(standard.Window)) {
				if at.Sub(last) >= 15*standard.Interval {
					t.Errorf("%s: %s without a confirmation", name, at.Sub(last))
				}
				last = at
			}
			if n := len(s.times); n > 30 || int64(n) != s.intent.Confirmed-90 || n != sum.Confirms {
				t.Errorf("%s: %d confirmations in %d rounds, record says %d, summary %d", name, n, sum.Rounds, s.intent.Confirmed-90, sum.Confirms)
			}
			if took := time.Since(began); took != standard.Window {
				t.Errorf("%s: took %s", name, took)
			}
			if strings.Contains(log, "intent moved") {
				t.Errorf("%s: %s", name, log)
			}
		})
	}
}

func TestRunMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newMemory("")
		sum, log, err := run(t, &script{text: "aaaaaaa.bb.bbbbb"}, s)
		if err != nil || sum.Moves != 2 || s.intent.PointsAt != "b" || s.intent.Seq != 2 || s.intent.Version != "v1" {
			t.Errorf("got %+v, %v", s.intent, err)
		}
		if got, want := s.entries(), "intent/a/1 >a 7, intent/a/2 a>b 7"; got != want {
			t.Errorf("journal: got %q, want %q", got, want)
		}
		if n := strings.Count(log, `"msg":"intent moved"`); n != 2 {
			t.Errorf("%d lines for two moves:\n%s", n, log)
		}
		if r := s.intent.Resolvers; len(r) != 1 || r[0] != (mongo.Sighting{Resolver: "system", Address: "192.0.2.1:443", Zone: "b"}) {
			t.Errorf("resolvers: got %+v", r)
		}
	})
}

func TestRunNobodyAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newMemory("a")
		before := s.intent.Record
		sum, _, err := run(t, &script{text: "."}, s)
		if err != nil || s.intent.Record != before {
			t.Errorf("got %+v, %v; want an unchanged record and no error", s.intent.Record, err)
		}
		if r := s.intent.Resolvers; len(r) != 1 || r[0].Error != "connect: refused" {
			t.Errorf("what the resolvers see was not written: %+v", r)
		}
		if sum.Writes < 5 || sum.Writes > 14 || sum.Results["system"][probe.Connect] != sum.Rounds {
			t.Errorf("got %+v", sum)
		}
	})
}

// A run that was killed after it moved the record and before it wrote so into the journal is made up for by the next.
func TestRunWritesTheJournalOfAKilledRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newMemory("a")
		if _, _, err := run(t, &script{text: "a"}, s); err != nil {
			t.Fatal(err)
		}
		if got, want := s.entries(), "intent/a/4 c>a 0"; got != want || !s.journal["intent/a/4"].Time.Equal(time.Unix(100, 0)) {
			t.Errorf("journal: got %q, want %q at the time of the change", got, want)
		}
	})
}

func TestRunLosesARace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newMemory("a")
		s.meddle = func(i *mongo.Intent) { // the other job sees the same, just before
			s.meddle = nil
			i.Previous, i.PointsAt, i.Seq, i.Confirmed = "a", "b", 5, 91
		}
		sum, _, err := run(t, &script{text: "bbbb"}, s)
		if err != nil || sum.LostRaces != 1 || s.intent.Seq != 5 || s.intent.PointsAt != "b" {
			t.Errorf("got %+v, %+v, %v; want one change by two jobs", sum, s.intent.Record, err)
		}
		if got, want := s.entries(), "intent/a/4 c>a 0, intent/a/5 a>b 0"; got != want {
			t.Errorf("journal: got %q, want %q", got, want)
		}
	})
}

// A lost race is run again at once, not in the next round.
func TestRunLosesARaceToAConfirmation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began, s := time.Now(), newMemory("a")
		s.meddle = func(i *mongo.Intent) {
			if s.intent.Version == "v1" { // the first write only said what the resolvers see
				s.meddle = nil
				i.Confirmed++
			}
		}
		if _, _, err := run(t, &script{text: "b"}, s); err != nil || s.intent.PointsAt != "b" || s.intent.Since.Sub(began) != 2*time.Second {
			t.Errorf("got %+v, moved %s after the start, %v; want a move in the third round", s.intent.Record, s.intent.Since.Sub(began), err)
		}
	})
}

func TestRunWritesOfUnknownOutcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newMemory("a")
		s.failAfter = func(string) error {
			if s.intent.Seq == 5 && len(s.journal) == 1 {
				s.failAfter = nil
				return errDown // the reply that says that the record was moved is lost
			}
			return nil
		}
		sum, log, err := run(t, &script{text: "b"}, s)
		if err != nil || s.intent.Seq != 5 || sum.Moves != 1 || sum.Failures != 1 || sum.LostRaces != 0 || strings.Count(log, "intent moved") != 1 {
			t.Errorf("got %+v, %+v, %v; want one change, once", sum, s.intent.Record, err)
		}
		if got, want := s.entries(), "intent/a/4 c>a 0, intent/a/5 a>b 7"; got != want {
			t.Errorf("journal: got %q, want %q", got, want)
		}
	})
}

func TestRunWithoutDatabase(t *testing.T) {
	for name, tt := range map[string]struct {
		fails func(op string, n int) bool
		want  error
	}{
		"unreachable":           {func(string, int) bool { return true }, maintenance.ErrStore},
		"no right to write":     {func(op string, _ int) bool { return op == "write" }, maintenance.ErrStore},
		"journal fails for now": {func(op string, n int) bool { return op == "journal" && n < 20 }, nil},
		"back in the end":       {func(_ string, n int) bool { return n < 20 }, nil},
	} {
		synctest.Test(t, func(t *testing.T) {
			s, n := newMemory("a"), 0
			s.fail = func(op string) error {
				if n++; tt.fails(op, n) {
					return errDown
				}
				return nil
			}
			sum, log, err := run(t, &script{text: "b"}, s)
			if !errors.Is(err, tt.want) || tt.want != nil && !errors.Is(err, errDown) {
				t.Errorf("%s: got %v, want %v", name, err, tt.want)
			}
			if sum.Rounds < 50 {
				t.Errorf("%s: only %d rounds", name, sum.Rounds)
			}
			if lines := strings.Count(log, errDown.Error()); lines != 1 {
				t.Errorf("%s: the same failure was logged %d times", name, lines)
			}
			if tt.want == nil && (s.intent.PointsAt != "b" || len(s.journal) != 2) {
				t.Errorf("%s: got %+v, journal %q", name, s.intent.Record, s.entries())
			}
		})
	}
}

func TestRunEndsWhenAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(7300*time.Millisecond, cancel)
		began := time.Now()
		_, err := maintenance.Run(ctx, standard, &script{text: "a", took: 900 * time.Millisecond}, newMemory("a"), slog.New(slog.DiscardHandler))
		if err != nil || time.Since(began) != 7300*time.Millisecond {
			t.Errorf("ended after %s with %v", time.Since(began), err)
		}
	})
}

func TestConfigValidate(t *testing.T) {
	if err := standard.Validate(); err != nil {
		t.Errorf("got %v", err)
	}
	err := maintenance.Config{Window: time.Second, Interval: time.Millisecond, Params: maintenance.Params{Samples: 3, Threshold: 4}}.Validate()
	for _, want := range []string{"interval 1ms", "threshold 4"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	short := standard
	short.Window = 2 * time.Second
	if err := short.Validate(); err == nil || !strings.Contains(err.Error(), "window 2s is too short") {
		t.Errorf("got %v", err)
	}
}
