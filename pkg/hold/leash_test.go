package hold_test

import (
	"testing"
	"time"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/hold"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/lease"
)

// at is both clocks at s seconds, of origins far apart.
func at(s float64) lease.Time {
	d := time.Duration(s * float64(time.Second))
	return lease.Time{Mono: d, Wall: d + 1000*time.Hour}
}

func promise(sent, remaining float64) hold.Answer {
	return hold.Answer{Sent: at(sent), State: lease.Active, Remaining: time.Duration(remaining * float64(time.Second))}
}

func TestLeash(t *testing.T) {
	timing := hold.Timing{Grace: 2 * time.Second, Kill: 300 * time.Millisecond, Start: 500 * time.Millisecond}
	var l hold.Leash
	if l.MayStart(at(0), timing) || !l.MustStop(at(0), timing) || !l.MustDie(at(0), at(0), timing) {
		t.Error("without a promise a command runs")
	}
	l.Take(promise(10, 8)) // 7.84 s, for two clocks' rates
	l.Take(promise(9, 8))  // late, or another replica's: takes nothing away
	l.Take(hold.Answer{Sent: at(11), State: lease.Locked})
	for _, tt := range []struct {
		now   lease.Time
		left  time.Duration
		start bool
		stop  bool
		die   bool
	}{
		{at(10), 7840 * time.Millisecond, true, false, false},
		{at(15), 2840 * time.Millisecond, true, false, false},
		{at(15.1), 2740 * time.Millisecond, false, false, false},
		{at(15.6), 2240 * time.Millisecond, false, true, false},
		{at(17.5), 340 * time.Millisecond, false, true, false},
		{at(17.6), 240 * time.Millisecond, false, true, true},
		{at(30), 0, false, true, true},
		// The clock that ran further counts: a pause that only one of them saw, and a step forward.
		{lease.Time{Mono: at(10).Mono, Wall: at(17.6).Wall}, 240 * time.Millisecond, false, true, true},
		{lease.Time{Mono: at(17.6).Mono, Wall: at(10).Wall}, 240 * time.Millisecond, false, true, true},
		{lease.Time{Mono: at(15).Mono, Wall: 0}, 2840 * time.Millisecond, true, false, false},
	} {
		asked := tt.now
		if l.Left(tt.now) != tt.left || l.MayStart(tt.now, timing) != tt.start || l.MustStop(tt.now, timing) != tt.stop || l.MustDie(tt.now, asked, timing) != tt.die {
			t.Errorf("at %+v: left %s, start %t, stop %t, die %t; want %+v", tt.now, l.Left(tt.now), l.MayStart(tt.now, timing), l.MustStop(tt.now, timing), l.MustDie(tt.now, asked, timing), tt)
		}
	}
	if !l.MustDie(at(12.1), at(10), timing) || l.MustDie(at(11.9), at(10), timing) {
		t.Error("the grace is not two seconds")
	}
}

func TestLeashLeaving(t *testing.T) {
	timing := hold.Timing{Grace: time.Second}
	draining, locked := hold.Answer{State: lease.Draining}, hold.Answer{State: lease.Locked}
	for _, tt := range []struct {
		name  string
		round []hold.Answer
		stop  bool
	}{
		{"nobody answers", nil, false},
		{"open without a promise", []hold.Answer{{State: lease.Active}}, true},
		{"one has not seen the close yet", []hold.Answer{promise(1, 8), {State: lease.Active}}, true},
		{"one restarts", []hold.Answer{promise(1, 8), draining}, false},
		{"all drain", []hold.Answer{draining, draining}, true},
		{"all restarted", []hold.Answer{locked, locked}, false},
		{"one drains, one restarted", []hold.Answer{draining, locked}, false},
	} {
		var l hold.Leash
		l.Take(promise(0, 8))
		for _, a := range tt.round {
			l.Take(a)
		}
		l.Round(tt.round)
		if l.MustStop(at(2), timing) != tt.stop || l.MayStart(at(2), timing) == tt.stop {
			t.Errorf("%s: stop %t, start %t", tt.name, l.MustStop(at(2), timing), l.MayStart(at(2), timing))
		}
		if l.Take(promise(3, 8)); l.MustStop(at(4), timing) {
			t.Errorf("%s: a new promise does not count", tt.name)
		}
	}
}
