//go:build !linux

package clock

import (
	"time"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/lease"
)

// System returns a clock that reads Go's monotonic clock and the wall clock.
func System() func() lease.Time {
	start := time.Now()
	return func() lease.Time {
		now := time.Now()
		return lease.Time{Mono: now.Sub(start), Wall: time.Duration(now.UnixNano())}
	}
}
