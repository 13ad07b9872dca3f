//go:build e2e

package e2e

import (
	"strings"
	"testing"
	"time"
)

// unmoved is how long nothing must move for it to count: longer than the dwell of 15 s, within which an intent counts as fresh, and than a
// move takes that is not hindered.
const unmoved = 18 * time.Second

// recordMoves is what an operator's load balancer does.
func (l *lab) recordMoves(t *testing.T, from, to string) {
	began := time.Now()
	l.sandbox(t, "record", to)
	awaitCodes(t, swap, map[string]int{from: 423, to: 200})
	t.Logf("moved %.1f s after the record began to", time.Since(began).Seconds())
}

// endpointGone takes the record away altogether: nobody answers there, and nothing moves.
func (l *lab) endpointGone(t *testing.T, from, _ string) {
	l.sandbox(t, "record", "none")
	l.steady(t, from, unmoved)
	l.sandbox(t, "record", from)
}

// activeBlind: the serving zone's job cannot reach the global endpoint. The zone serves on, and yields only to one that sees itself there.
func (l *lab) activeBlind(t *testing.T, from, to string) {
	l.sandbox(t, "cut", from, "dns")
	l.steady(t, from, unmoved)
	l.sandbox(t, "record", to)
	awaitCodes(t, takeover, map[string]int{from: 423, to: 200})
	l.sandbox(t, "heal", from)
}

// passiveBlind: the record moves to a zone that cannot see it. Nobody takes over until it can.
func (l *lab) passiveBlind(t *testing.T, from, to string) {
	l.sandbox(t, "cut", to, "dns")
	l.sandbox(t, "record", to)
	l.steady(t, from, unmoved)
	l.sandbox(t, "heal", to)
	awaitCodes(t, takeover, map[string]int{from: 423, to: 200})
}

// jobsSuspended: without the jobs of either zone nothing moves, whatever the record does.
func (l *lab) jobsSuspended(t *testing.T, from, to string) {
	for zone := range gateways {
		l.suspend(t, zone, true)
		l.kubectl(t, zone, "delete", "jobs", "--all", "--cascade=foreground", "--wait")
	}
	for zone := range gateways {
		await(t, time.Minute, zone+" has no job's pod", func() bool {
			return l.kubectl(t, zone, "get", "pods", "-l", "app.kubernetes.io/component=maintenance", "-o", "name") == ""
		})
	}
	l.sandbox(t, "record", to)
	l.steady(t, from, unmoved)
	for zone := range gateways {
		l.suspend(t, zone, false)
	}
	awaitCodes(t, firstOpening, map[string]int{from: 423, to: 200})
}

func (l *lab) suspend(t *testing.T, zone string, on bool) {
	t.Helper()
	patch := `{"spec":{"suspend":false}}`
	if on {
		patch = strings.Replace(patch, "false", "true", 1)
	}
	l.kubectl(t, zone, "patch", "cronjob", "auto-maintenance", "-p", patch)
}

// recordFlaps: the record goes to and fro faster and slower than the jobs can make up their minds. There are never more moves than it made,
// and at the end the zone serves that it names.
func (l *lab) recordFlaps(t *testing.T, from, to string) {
	epoch, flaps := l.lease(t).Epoch, int64(0)
	for _, pause := range []time.Duration{0, 0, 0, 0, 3 * time.Second, 3 * time.Second, 6 * time.Second, 6 * time.Second} {
		at := []string{to, from}[flaps%2]
		l.sandbox(t, "record", at)
		flaps++
		waitUntil(t, time.Now().Add(pause))
	}
	l.sandbox(t, "record", to)
	flaps++
	awaitCodes(t, takeover, map[string]int{from: 423, to: 200})
	moves := l.lease(t).Epoch - epoch
	t.Logf("%d moves of the lease for %d of the record", moves, flaps)
	if moves > flaps {
		t.Errorf("the lease moved %d times, the record %d times", moves, flaps)
	}
}
