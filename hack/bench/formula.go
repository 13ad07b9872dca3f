package main

import (
	"time"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/lease"
)

// The formula of docs/failover.md, "Time", and the targets that the product has set itself.
const (
	plannedSlack  = 300 * time.Millisecond // planned gap beyond drain and cut
	crashTarget   = 10 * time.Second       // takeover from the fault, the record moving at once
	flipTarget    = 50 * time.Millisecond  // median, under load
	nginxShare    = 0.7                    // of nginx's throughput
	idleRSSTarget = 30 << 20
	roundTrips    = 100 * time.Millisecond // read, claim and renewal, on loopback beside other work
	probes        = 3                      // N of "N of M probes"
)

// crashBound is W + P + round trips: the record moves at once, and the database elects nobody.
func crashBound(t lease.Term) time.Duration { return t.Wait() + t.P + roundTrips }

// plannedBound is drain + cut + slack. The bench's requests end at once: nothing drains and nothing is cut.
func plannedBound(drain, cut time.Duration) time.Duration { return drain + cut + plannedSlack }

// recordBound is how long a move that DNS alone decides may take, from the record's move: N rounds of probes, each up to P after the
// other, and one that had begun before; the holder's and the candidate's next look; the time that a closing zone serves on (1.25 P);
// the gap of a planned switch. failover.md says "about 3 s more" than N·P.
func recordBound(t lease.Term) time.Duration {
	return (probes+1)*t.P + t.P + t.P + t.P/4 + plannedBound(0, 0)
}
