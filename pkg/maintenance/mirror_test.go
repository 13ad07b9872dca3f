package maintenance_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/maintenance"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/mirror"
)

// looking glass is a mirror that remembers.
type lookingGlass struct {
	mu     sync.Mutex
	puts   int
	data   map[string]string
	events []mirror.Event
	fail   func(n int) error
	calls  int
}

func (g *lookingGlass) Put(ctx context.Context, data map[string]string) error {
	if err := g.trouble(ctx); err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.puts, g.data = g.puts+1, data
	return nil
}

func (g *lookingGlass) Tell(ctx context.Context, e mirror.Event) error {
	if err := g.trouble(ctx); err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.events = append(g.events, e)
	return nil
}

func (g *lookingGlass) trouble(ctx context.Context) error {
	g.mu.Lock()
	g.calls++
	n, fail := g.calls, g.fail
	g.mu.Unlock()
	if fail == nil {
		return nil
	}
	if err := fail(n); err != nil {
		return err
	}
	<-ctx.Done() // an API that never answers
	return ctx.Err()
}

func mirrored(t *testing.T, p *script, s *memory, g *lookingGlass) (took time.Duration, log string) {
	t.Helper()
	config, began := standard, time.Now()
	config.Mirror = g
	var text bytes.Buffer
	if _, err := maintenance.Run(t.Context(), config, p, s, slog.New(slog.NewTextHandler(&text, nil))); err != nil {
		t.Error(err)
	}
	return time.Since(began), text.String()
}

func TestMirror(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, g := newMemory("a"), &lookingGlass{}
		mirrored(t, &script{text: "aaabbb"}, s, g)
		if g.data["pointsAt"] != "b" || g.data["previous"] != "a" || g.data["seq"] != "5" || g.data["zone"] != "a" || !strings.Contains(g.data["resolvers"], "system 192.0.2.1:443: zone b") {
			t.Errorf("got %v", g.data)
		}
		// The old change is not reported, the new one is, once.
		if len(g.events) != 1 || g.events[0].Key != "a.5" || g.events[0].Reason != "IntentMoved" || !strings.Contains(g.events[0].Note, "leads to zone b; before, to zone a") {
			t.Errorf("got %+v", g.events)
		}
		if g.puts < 5 || g.puts > 10 {
			t.Errorf("put %d times in a minute", g.puts)
		}
		// Killed between the change and the Event: the next run, soon after, reports it again, and its key keeps it single.
		g.events = nil
		mirrored(t, &script{text: "b"}, s, g)
		if len(g.events) != 1 || g.events[0].Key != "a.5" {
			t.Errorf("got %+v", g.events)
		}
	})
}

// Whatever the Kubernetes API does, the record is kept as without it, and the run ends in time.
func TestMirrorNeverMatters(t *testing.T) {
	for name, fail := range map[string]func(int) error{
		"refuses":       func(int) error { return errors.New("forbidden") },
		"never answers": func(int) error { return nil },
	} {
		synctest.Test(t, func(t *testing.T) {
			plain, s := newMemory("a"), newMemory("a")
			if _, _, err := run(t, &script{text: "aaabbb"}, plain); err != nil {
				t.Fatal(err)
			}
			took, log := mirrored(t, &script{text: "aaabbb"}, s, &lookingGlass{fail: fail})
			if s.intent.Record != plain.intent.Record || s.entries() != plain.entries() || len(s.times) != len(plain.times) {
				t.Errorf("%s: got %+v, %q; want %+v, %q", name, s.intent.Record, s.entries(), plain.intent.Record, plain.entries())
			}
			if took > standard.Window+time.Second {
				t.Errorf("%s: took %s", name, took)
			}
			if strings.Count(log, "msg=mirror") > 1 {
				t.Errorf("%s: log:\n%s", name, log)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) { // back in the end
		s, g := newMemory("a"), &lookingGlass{}
		g.fail = func(n int) error {
			if n < 3 {
				return errors.New("down")
			}
			g.fail = nil
			return errors.New("down")
		}
		if mirrored(t, &script{text: "bbb"}, s, g); g.data["pointsAt"] != "b" || len(g.events) != 1 {
			t.Errorf("got %v, %+v", g.data, g.events)
		}
	})
}

// Without a window the run goes on until it is asked to end.
func TestRunWithoutAWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		config, began, s := standard, time.Now(), newMemory("a")
		config.Window = 0
		if err := config.Validate(); err != nil {
			t.Error(err)
		}
		sum, err := maintenance.Run(ctx, config, &script{text: "a"}, s, slog.New(slog.DiscardHandler))
		if err != nil || time.Since(began) != time.Hour || sum.Rounds < 3590 {
			t.Errorf("%d rounds in %s, %v", sum.Rounds, time.Since(began), err)
		}
	})
}
