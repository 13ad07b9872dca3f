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
