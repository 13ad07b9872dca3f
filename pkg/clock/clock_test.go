package clock_test

import (
	"testing"
	"time"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/clock"
)

func TestSystem(t *testing.T) {
	now := clock.System()
	before, wall := now(), time.Now()
	<-time.After(20 * time.Millisecond)
	after := now()
	if went := after.Mono - before.Mono; went < 20*time.Millisecond || went > 10*time.Second {
		t.Errorf("the monotonic clock went %s in 20 ms", went)
	}
	if off := time.Duration(wall.UnixNano()) - before.Wall; off < 0 || off > time.Minute || after.Wall <= before.Wall {
		t.Errorf("the wall clock reads %d, then %d, beside %d", before.Wall, after.Wall, wall.UnixNano())
	}
}
