package clock

import (
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/lease"
)

const (
	// known is for how long the machine's sleep so far counts as known. It is asked of the kernel by a system call; every proxied request
	// reads the clock several times, and what else is read costs none.
	known = 10 * time.Millisecond
	// still is by how much the wall clock and the monotonic one may have come apart within known. A machine that slept moved the one and
	// not the other by all of its sleep.
	still = time.Millisecond
	// near is how long asking the kernel may take for its answer to be kept.
	near = 20 * time.Microsecond
)

// slept is how far CLOCK_BOOTTIME was ahead of the monotonic clock at a moment.
type slept struct {
	at    time.Duration // by the monotonic clock
	apart time.Duration // of the wall clock from the monotonic one
	ahead time.Duration
}

// System returns a clock that reads CLOCK_BOOTTIME, which runs on while the machine sleeps, and the wall clock.
func System() func() lease.Time {
	start := time.Now()
	var last atomic.Pointer[slept]
	return func() lease.Time {
		now := time.Now()
		mono, wall := now.Sub(start), time.Duration(now.UnixNano())
		if s := last.Load(); s != nil && (mono-s.at).Abs() < known && (wall-mono-s.apart).Abs() < still {
			return lease.Time{Mono: mono + s.ahead, Wall: wall}
		}
		var boot unix.Timespec
		if unix.ClockGettime(unix.CLOCK_BOOTTIME, &boot) != nil {
			return lease.Time{Mono: mono, Wall: wall}
		}
		after := time.Since(start)
		if after-mono < near { // else the process was stopped in between, and nobody knows where
			last.Store(&slept{at: mono, apart: wall - mono, ahead: time.Duration(boot.Nano()) - after})
		}
		return lease.Time{Mono: time.Duration(boot.Nano()), Wall: wall}
	}
}
