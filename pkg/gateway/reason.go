package gateway

import "github.com/aporeto-inc/kubectl-aporeto/pkg/lease"

// Why a replica changed its state, or saw another epoch. They are labels of a metric, so there are few, and none has a variable part.
const (
	reasonRenewed     = "renewed"        // its own renewal was confirmed by its reply
	reasonConfirmed   = "confirmed"      // its own renewal, of unknown outcome, was confirmed by a read
	reasonStopping    = "stopping"       // the process was asked to end
	reasonOrdered     = "ordered"        // an operator's order moves the zone's role
	reasonYielded     = "yielded"        // the zone gives way to one that the global record points at
	reasonDeadline    = "deadline"       // the term ran out without a renewal
	reasonSuperseded  = "superseded"     // another epoch was seen
	reasonDrained     = "drained"        // everything under way was over in time
	reasonCut         = "cut"            // what was left had to be cut
	reasonIntended    = "intended"       // the global record points here
	reasonNotIntended = "not-intended"   // it does not any more
	reasonClaiming    = "claiming"       // the former epoch has surely ended
	reasonClaimed     = "claimed"        // this replica's claim was applied
	reasonHolding     = "holding"        // the zone holds the epoch, by a sibling's claim, a handover or from before
	reasonTaken       = "taken"          // another zone has taken the epoch
	reasonEpoch       = "epoch-observed" // another epoch, the same state
)

// reason says why before became after. cut tells whether what went through the gate had to be cut. It is a pure function.
func reason(zone string, before, after lease.View, event lease.Event, cut bool) string {
	if before.State == after.State {
		return reasonEpoch
	}
	_, written := event.(lease.Written)
	switch after.State {
	case lease.Active:
		if written {
			return reasonRenewed
		}
		return reasonConfirmed
	case lease.Draining:
		switch {
		case !after.Closing:
			return reasonStopping
		case after.OrderedAway:
			return reasonOrdered
		}
		return reasonYielded
	case lease.Fenced:
		if after.Epoch != before.Epoch || after.Holder != before.Holder {
			return reasonSuperseded
		}
		return reasonDeadline
	case lease.Acquiring:
		switch {
		case after.Holder != zone:
			return reasonClaiming
		case written && after.Epoch != before.Epoch:
			return reasonClaimed
		}
		return reasonHolding
	}
	switch {
	case before.State == lease.Draining || before.State == lease.Fenced:
		if cut {
			return reasonCut
		}
		return reasonDrained
	case after.State == lease.Candidate:
		return reasonIntended
	case after.Epoch != before.Epoch && after.Holder != zone:
		return reasonTaken
	}
	return reasonNotIntended
}
