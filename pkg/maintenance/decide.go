package maintenance

import (
	"github.com/aporeto-inc/kubectl-aporeto/pkg/lease"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/probe"
)

// Observation is what one round of probes, one by each resolver, means together.
type Observation struct {
	Zone     string // zone key that every resolver with an answer led to; "" when nobody answered or they led to different zones
	Disputed bool   // resolvers led to different zones
	Epoch    int64  // highest lease epoch that the answers named
}

// Observe reduces a round's results. A probe that failed says nothing: it neither names a zone nor contradicts one.
func Observe(results []probe.Result) Observation {
	var o Observation
	for _, r := range results {
		switch {
		case r.Kind != probe.OK:
			continue
		case o.Zone == "" && !o.Disputed:
			o.Zone = r.Zone
		case o.Zone != r.Zone:
			o.Zone, o.Disputed = "", true
		}
		o.Epoch = max(o.Epoch, r.Epoch)
	}
	return o
}

// answered tells whether the round learnt anything at all.
func (o Observation) answered() bool { return o.Zone != "" || o.Disputed }

// Params is the hysteresis: Threshold of the last Samples rounds must agree before an intent changes.
type Params struct {
	Samples   int
	Threshold int
}

// Action is what a decision asks for.
type Action int

// Keep changes nothing. Confirm says once more what the record says already. Move changes the record.
const (
	Keep Action = iota
	Confirm
	Move
)

// Decision is what the rounds seen so far mean for the zone's record.
type Decision struct {
	Action Action
	Zone   string // of Move: where the record must point
	Epoch  int64  // of Move: the highest epoch that the rounds agreeing on it named
}

// Decide compares the latest rounds, oldest first, with the zone's record.
//
// Move: among the last Samples rounds, the latest Threshold that learnt anything all name one zone, another one than the record's.
// Rounds that learnt nothing lie between them without harm, but a round that names a different zone, or two, does not: while caches
// still mix old and new answers nothing moves, so there are never more moves than the record made.
// Confirm: the latest round names the record's zone, and so do more than half of those that learnt anything.
// Keep: everything else. An endpoint that answers nobody, or with errors, changes nothing.
func Decide(window []Observation, current lease.Record, p Params) Decision {
	window = window[max(0, len(window)-p.Samples):]
	if zone, epoch, run := latestRun(window); run >= p.Threshold && zone != current.PointsAt {
		return Decision{Action: Move, Zone: zone, Epoch: epoch}
	}
	if len(window) == 0 || current.PointsAt == "" || window[len(window)-1].Zone != current.PointsAt {
		return Decision{}
	}
	agreed, answered := 0, 0
	for _, o := range window {
		if o.answered() {
			answered++
		}
		if o.Zone == current.PointsAt {
			agreed++
		}
	}
	if 2*agreed <= answered {
		return Decision{}
	}
	return Decision{Action: Confirm}
}

// latestRun returns the zone that the latest round with an answer names, and how many rounds with an answer name it without another
// answer between them.
func latestRun(window []Observation) (zone string, epoch int64, run int) {
	for i := len(window) - 1; i >= 0; i-- {
		o := window[i]
		switch {
		case !o.answered():
			continue
		case run == 0:
			zone = o.Zone
		}
		if o.Zone == "" || o.Zone != zone {
			break
		}
		run++
		epoch = max(epoch, o.Epoch)
	}
	return zone, epoch, run
}
