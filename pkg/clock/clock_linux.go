package clock

import (
	"time"

	"golang.org/x/sys/unix"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/lease"
)

// System returns a clock that reads CLOCK_BOOTTIME, which runs on while the machine sleeps, and the wall clock.
func System() func() lease.Time {
	start := time.Now()
	return func() lease.Time {
		now := time.Now()
		mono := now.Sub(start)
		var boot unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &boot); err == nil {
			mono = time.Duration(boot.Nano())
		}
		return lease.Time{Mono: mono, Wall: time.Duration(now.UnixNano())}
	}
}
