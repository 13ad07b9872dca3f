package zone

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/hint"
)

func TestValidateName(t *testing.T) {
	for name, ok := range map[string]bool{
		"default": true, "EU-West-1": true, "a": true, "7": true, strings.Repeat("a", 50): true,
		"": false, "-a": false, "a-": false, "a.b": false, "a_b": false, "a b": false, "a/b": false, "é": false, "a\n": false, strings.Repeat("a", 51): false,
	} {
		err := ValidateName(name)
		if (err == nil) != ok {
			t.Errorf("ValidateName(%q) = %v", name, err)
		}
		if err != nil && hint.Of(err) == "" {
			t.Errorf("ValidateName(%q) has no hint", name)
		}
	}
}

func TestNames(t *testing.T) {
	zones := []Zone{{Name: "Default"}, {Name: "passive"}}
	if z, ok := Find(zones, "PASSIVE"); !ok || z.Name != "passive" {
		t.Errorf("Find ignores case: %v, %v", z, ok)
	}
	if _, ok := Find(zones, "other"); ok {
		t.Error("found a zone that is not there")
	}
	if got := strings.Join(Names(zones), " "); got != "Default passive" {
		t.Errorf("Names: %q", got)
	}
	if Key("Default") != "default" || Dir("Default") != "DEFAULT" {
		t.Error("Key is lower case, Dir upper case")
	}
}

func four() []Zone { return []Zone{{Name: "a"}, {Name: "b"}, {Name: "c"}, {Name: "d"}} }

func TestForEachReportsAllInOrder(t *testing.T) {
	wrong := errors.New("wrong")
	var ran atomic.Int32
	err := ForEach(t.Context(), four(), 2, func(_ context.Context, z Zone) error {
		ran.Add(1)
		switch z.Name {
		case "b":
			panic("oops")
		case "a", "d":
			return wrong
		}
		return nil
	})
	var failures Failures
	if !errors.As(err, &failures) || !errors.Is(err, wrong) {
		t.Fatalf("got %v", err)
	}
	if want := "zone a: wrong\nzone b: internal error: oops\nzone d: wrong"; err.Error() != want {
		t.Errorf("got %q, want %q", err, want)
	}
	if ran.Load() != 4 {
		t.Errorf("%d zones ran, want all 4", ran.Load())
	}
}

func TestForEachBounds(t *testing.T) {
	for limit, want := range map[int]time.Duration{0: time.Second, 1: 4 * time.Second, 2: 2 * time.Second, 9: time.Second} {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			if err := ForEach(t.Context(), four(), limit, func(context.Context, Zone) error {
				<-time.After(time.Second)
				return nil
			}); err != nil {
				t.Error(err)
			}
			if took := time.Since(start); took != want {
				t.Errorf("limit %d: four zones of 1 s took %s, want %s", limit, took, want)
			}
		})
	}
}

func TestForEachEndsWithTheContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var ran atomic.Int32
	err := ForEach(ctx, four(), 1, func(context.Context, Zone) error {
		ran.Add(1)
		cancel()
		return nil
	})
	if !errors.Is(err, context.Canceled) || ran.Load() != 1 {
		t.Errorf("%d zones ran, %v; want 1 and context canceled", ran.Load(), err)
	}
	if err := ForEach(t.Context(), nil, 0, nil); err != nil {
		t.Errorf("no zones: %v", err)
	}
}
