package hint

import (
	"errors"
	"fmt"
	"testing"
)

func TestOf(t *testing.T) {
	base := errors.New("base")
	inner := Wrap(base, "try %s", "this")
	outer := Wrap(fmt.Errorf("outer: %w", inner), "try that")
	if Of(outer) != "try this" {
		t.Errorf("got hint %q, want the one nearest to the cause", Of(outer))
	}
	if !errors.Is(outer, base) || outer.Error() != "outer: base" {
		t.Errorf("a hint changed the error: %v", outer)
	}
	if Wrap(nil, "x") != nil || Of(nil) != "" || Of(base) != "" {
		t.Error("a hint where there is none")
	}
	if err := New("msg", "do 100%"); err.Error() != "msg" || Of(err) != "do 100%" {
		t.Errorf("New: %v, %q", err, Of(err))
	}
}

func TestQuote(t *testing.T) {
	for in, want := range map[string]string{"": "''", "--tls": "--tls", "it's": `'it'\''s'`, "$external": "'$external'", "a b": "'a b'", "h:1,h:2": "h:1,h:2"} {
		if got := Quote(in); got != want {
			t.Errorf("Quote(%q) is %s, want %s", in, got, want)
		}
	}
}
