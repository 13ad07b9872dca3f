//go:build e2e

package e2e

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// longer than the lease's term (8 s): every gate must close before the database has a primary again.
const longElectionSeconds = "12"

// regionCut takes the serving region off the network; the record moves, and the other zone serves. The healed region answers 423.
func (l *lab) regionCut(t *testing.T, from, to string) {
	l.sandbox(t, "cut", from)
	l.sandbox(t, "record", to)
	awaitCodes(t, takeover, map[string]int{to: 200})
	l.sandbox(t, "heal", from)
	awaitCodes(t, swap, map[string]int{from: 423, to: 200})
}

// regionCutWithPrimary is the same where the database loses its primary with the region, and must elect another one first.
func (l *lab) regionCutWithPrimary(t *testing.T, from, to string) {
	l.sandbox(t, "election", longElectionSeconds)
	l.regionCut(t, from, to)
}

// databaseCutOff: the serving zone alone loses the database. It closes by its own clock and says that it could not serve; what a load
// balancer does then, this test does.
func (l *lab) databaseCutOff(t *testing.T, from, to string) {
	l.sandbox(t, "cut", from, "database")
	await(t, takeover, from+" says that it is not eligible", func() bool {
		code, _ := ask(from, "/healthz/eligible")
		return code == 503
	})
	l.sandbox(t, "record", to)
	awaitCodes(t, takeover, map[string]int{from: 423, to: 200})
	l.sandbox(t, "heal", from)
	await(t, takeover, from+" is eligible again", func() bool { return eligible(from) })
	awaitCodes(t, swap, map[string]int{from: 423, to: 200})
}

// longElection: every gate closes at its deadline; the same zone goes on in the same epoch when it can renew, for nobody claimed.
func (l *lab) longElection(t *testing.T, from, to string) {
	epoch := l.lease(t).Epoch
	l.sandbox(t, "election", longElectionSeconds)
	awaitCodes(t, takeover, map[string]int{from: 423, to: 423})
	awaitCodes(t, takeover, map[string]int{from: 200, to: 423})
	if now := l.lease(t).Epoch; now != epoch {
		t.Errorf("epoch %d, and %d after an election in which nobody could claim", epoch, now)
	}
}

// databaseLost stops the database: the serving zone closes by itself. When it is back, the same zone serves again.
func (l *lab) databaseLost(t *testing.T, from, to string) {
	l.sandbox(t, "database", "stop")
	awaitCodes(t, takeover, map[string]int{from: 423, to: 423})
	l.sandbox(t, "database", l.env)
	awaitCodes(t, takeover, map[string]int{from: 200, to: 423})
}

// databaseFrozen freezes the database for longer than the term: connections stay, and what was sent meanwhile is carried out late. Nobody may
// be opened by that, and the same zone serves again.
func (l *lab) databaseFrozen(t *testing.T, from, to string) {
	epoch := l.lease(t).Epoch
	l.sandbox(t, "database", "pause")
	awaitCodes(t, takeover, map[string]int{from: 423, to: 423})
	l.sandbox(t, "database", "resume")
	awaitCodes(t, takeover, map[string]int{from: 200, to: 423})
	if now := l.lease(t).Epoch; now != epoch {
		t.Errorf("epoch %d, and %d after a pause in which nobody could claim", epoch, now)
	}
}

// gatewayPods are the names of a zone's gateways.
func (l *lab) gatewayPods(t *testing.T, zone string) []string {
	t.Helper()
	return strings.Fields(l.kubectl(t, zone, "get", "pods", "-l", "app.kubernetes.io/component=gateway", "-o", "jsonpath={.items[*].metadata.name}"))
}

// gatewayKilled kills one of two gateways of the serving zone; the other one serves on.
func (l *lab) gatewayKilled(t *testing.T, from, to string) {
	pods := l.gatewayPods(t, from)
	if len(pods) != 2 {
		t.Fatalf("gateways %v", pods)
	}
	restarts := func() string {
		return l.kubectl(t, from, "get", "pod", pods[0], "-o", "jsonpath={.status.containerStatuses[0].restartCount}")
	}
	before := restarts()
	l.sandbox(t, "kill", from, "gateway", pods[0])
	await(t, takeover, "the killed gateway is back, and ready", func() bool { return restarts() != before && l.allReady(t, from) })
	awaitCodes(t, swap, map[string]int{from: 200, to: 423})
}

func (l *lab) allReady(t *testing.T, zone string) bool {
	t.Helper()
	var deployment struct {
		Status struct{ UpdatedReplicas, ReadyReplicas, Replicas int }
	}
	if err := json.Unmarshal([]byte(l.kubectl(t, zone, "get", "deployment", "aporeto-gateway", "-o", "json")), &deployment); err != nil {
		t.Fatal(err)
	}
	s := deployment.Status
	return s.ReadyReplicas == 2 && s.UpdatedReplicas == 2 && s.Replicas == 2
}

// gatewaysKilled kills all gateways of the serving zone without a word, and their pods. Their replacements go on in the same epoch, since
// nothing moved.
func (l *lab) gatewaysKilled(t *testing.T, from, to string) {
	epoch, before := l.lease(t).Epoch, l.gatewayPods(t, from)
	l.sandbox(t, "kill", from, "gateway")
	l.kubectl(t, from, "delete", "pod", "-l", "app.kubernetes.io/component=gateway", "--grace-period=0", "--force")
	await(t, takeover, "two new gateways are ready", func() bool {
		now := l.gatewayPods(t, from)
		return len(now) == 2 && !strings.Contains(strings.Join(now, " "), before[0]) && !strings.Contains(strings.Join(now, " "), before[1]) && l.allReady(t, from)
	})
	awaitCodes(t, takeover, map[string]int{from: 200, to: 423})
	if now := l.lease(t).Epoch; now != epoch {
		t.Errorf("epoch %d, and %d after a restart for which nobody claimed", epoch, now)
	}
}

// apiDown freezes the API server of the serving zone: its gateways serve on, for they do not need it, and yield when the record moves.
func (l *lab) apiDown(t *testing.T, from, to string) {
	l.sandbox(t, "api", from, "pause")
	l.steady(t, from, unmoved)
	zone := l.status(t).zone(t, names[from])
	if zone.State != "?" || zone.Eligible != nil {
		t.Errorf("status of the zone whose API server is down: %+v", zone)
	}
	l.sandbox(t, "record", to)
	awaitCodes(t, takeover, map[string]int{from: 423, to: 200})
	l.sandbox(t, "api", from, "resume")
	await(t, takeover, from+"'s gateways are ready", func() bool {
		return l.exec(t, "kubectl", "--context", from, "--request-timeout=5s", "get", "--raw", "/readyz").code == 0 && l.allReady(t, from)
	})
	awaitCodes(t, swap, map[string]int{from: 423, to: 200})
}

// waitUntil lets time pass.
func waitUntil(t *testing.T, moment time.Time) {
	t.Helper()
	await(t, time.Until(moment)+time.Minute, "time passes", func() bool { return time.Now().After(moment) })
}
