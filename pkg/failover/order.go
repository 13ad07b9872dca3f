package failover

import (
	"fmt"
	"strings"
	"time"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/hint"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/lease"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongo"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/zone"
)

// CheckTarget returns nil when zone `to` may be ordered to take over: it could serve, or force says to try though nobody can tell.
func CheckTarget(st Status, to string, force bool) error {
	z, ok := st.Zone(to)
	if !ok {
		return fmt.Errorf("zone %q is not in the status", to)
	}
	const anyway = "kubectl aporeto maintenance status; to go on though it may not open (the next zone, or the old one, opens then): --force"
	switch {
	case force, z.Eligible != nil && *z.Eligible, st.orderedAway(z):
		return nil
	case z.Eligible == nil:
		return hint.Wrap(fmt.Errorf("whether zone %s could serve is unknown: %s", z.Name, orUnknown(z.Reason)), anyway)
	}
	return hint.Wrap(fmt.Errorf("zone %s could not serve: %s", z.Name, z.Reason), anyway)
}

func orUnknown(s string) string {
	if s == "" {
		return "its gateways gave no answer"
	}
	return s
}

// orderedAway tells whether z answers load balancers 503 for no other reason than that an operator ordered another zone. It could serve.
func (s Status) orderedAway(z ZoneStatus) bool {
	return z.Eligible != nil && !*z.Eligible && strings.Contains(z.Reason, "order") &&
		(s.Lease == nil || s.Lease.Override || s.Lease.Closing) && (s.Lease == nil || !zone.Same(s.Lease.Holder, z.Name))
}

// Basis returns the counters that an order to zone key `to` knows. Records that change after it end the order.
//
// A successor whose own record freshly names it already needs no order to count as intended: its counter is left out, so that the order
// ends with the handover and a later crash moves the lease as always. A drill that comes back to where the record points leaves nothing
// behind by this.
func Basis(records []lease.Record, to string, intents []mongo.Intent, now time.Time, dwell time.Duration) map[string]int64 {
	basis := make(map[string]int64, len(records))
	for _, r := range records {
		basis[r.Zone] = r.Seq
	}
	for _, i := range intents {
		if i.Zone == to && i.PointsAt == to && i.Seq == basis[to] && now.Sub(i.ProbedAt) <= dwell {
			delete(basis, to)
		}
	}
	return basis
}

// Progress is how far an order has come.
type Progress int

// An order in epoch E for a zone: not (yet) in the document; the holder is closing for it; the zone holds the next epoch; it is open
// there; or the document says something that the order cannot change any more.
const (
	Pending Progress = iota
	UnderWay
	HandedOver
	Opened
	Overtaken
)

// Judge tells how far the order to close epoch for zone key `to` has come.
func Judge(doc lease.Document, epoch int64, to string) Progress {
	switch {
	case doc.Epoch == epoch && !doc.Closing && doc.Holder != to:
		return Pending
	case doc.Epoch == epoch && doc.Closing && doc.Successor == to:
		return UnderWay
	case doc.Epoch > epoch && doc.Holder == to && !doc.Closing && !doc.Released:
		if len(doc.Open) > 0 {
			return Opened
		}
		return HandedOver
	}
	return Overtaken
}

// CheckLease tells whether zone key `to` can be ordered to take over from doc's holder, or from nobody. already is true when `to` holds the
// lease, or is being handed it, and nothing is to be ordered.
func CheckLease(doc lease.Document, to string, name func(string) string) (already bool, err error) {
	switch {
	case doc.Unheld():
		return false, nil
	case doc.Closing && doc.Successor == to:
		return true, nil
	case doc.Closing && doc.Successor != "":
		return false, hint.New(fmt.Sprintf("zone %s is closing for %s already", name(doc.Holder), name(doc.Successor)), "wait for it: kubectl aporeto maintenance status -w")
	case doc.Closing:
		return false, hint.New(fmt.Sprintf("zone %s is closing already, for the zone that the record points at", name(doc.Holder)), "wait for it: kubectl aporeto maintenance status -w")
	}
	return doc.Holder == to, nil
}
