package clock_test

import (
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/clock"
)

func boottime(tb testing.TB) time.Duration {
	var boot unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &boot); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(boot.Nano())
}

// TestSystemIsBoottime: every reading lies between two readings of CLOCK_BOOTTIME itself, but for what asking may take.
func TestSystemIsBoottime(t *testing.T) {
	now := clock.System()
	const near = 20 * time.Microsecond
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 20_000 {
				before := boottime(t)
				got := now().Mono
				if after := boottime(t); got < before-near || got > after+near {
					t.Errorf("read %v between %v and %v", got, before, after)
					return
				}
			}
		})
	}
	wg.Wait()
}

func BenchmarkSystem(b *testing.B) {
	now := clock.System()
	for b.Loop() {
		now()
	}
}

func BenchmarkBoottime(b *testing.B) {
	for b.Loop() {
		boottime(b)
	}
}
