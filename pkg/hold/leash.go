package hold

import (
	"time"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/lease"
)

// Answer is what one gateway replica of this zone said.
type Answer struct {
	Sent      lease.Time // this machine's clocks before the request was sent
	State     lease.State
	Remaining time.Duration // promised, counted by the gateway from when it answered
}

// leaving tells whether the replica is open and promises nothing: it has seen that the zone is being closed.
func (a Answer) leaving() bool { return a.State == lease.Active && a.Remaining <= 0 }

// Timing says when a command must end.
type Timing struct {
	Grace time.Duration // between SIGTERM and SIGKILL
	Kill  time.Duration // left of the promise at SIGKILL: what the kernel, and a busy machine, may need
	Start time.Duration // a command is not started for less than this beyond the other two
}

// Leash is until when the zone's gateways promised that this zone stays the active one. It is pure: times are handed in.
//
// A promise counts from before it was asked for, less twice the lease's bound on a clock's rate (two machines measure it), and is over
// when either of the two clocks says so. Any replica's promise holds by itself: it gives its name in the lease away only after it.
type Leash struct {
	until   lease.Time
	leaving bool
}

// Take takes one replica's answer.
func (l *Leash) Take(a Answer) {
	switch {
	case a.leaving():
		l.leaving = true
	case a.Remaining > 0:
		l.leaving = false
		if until := a.Sent.Add(a.Remaining - a.Remaining/50); until.Mono > l.until.Mono {
			l.until = until
		}
	}
}

// Round takes what a whole round of asking brought. When everybody who answered is draining there is nobody left to renew.
func (l *Leash) Round(answers []Answer) {
	for _, a := range answers {
		if a.State != lease.Draining {
			return
		}
	}
	if len(answers) > 0 {
		l.leaving = true
	}
}

// Left returns how long the promise still holds at now, by the clock that ran further; 0 when it is over.
func (l *Leash) Left(now lease.Time) time.Duration {
	return max(0, min(l.until.Mono-now.Mono, l.until.Wall-now.Wall))
}

// MayStart tells whether a command may be started at now.
func (l *Leash) MayStart(now lease.Time, t Timing) bool {
	return !l.leaving && l.Left(now) > t.Grace+t.Kill+t.Start
}

// MustStop tells whether a running command must be asked to end.
func (l *Leash) MustStop(now lease.Time, t Timing) bool {
	return l.leaving || l.Left(now) <= t.Grace+t.Kill
}

// MustDie tells whether a command that was asked to end at asked must be killed.
func (l *Leash) MustDie(now, asked lease.Time, t Timing) bool {
	return l.Left(now) <= t.Kill || now.Passed(asked.Add(t.Grace))
}
