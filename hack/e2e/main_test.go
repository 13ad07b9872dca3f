//go:build e2e

package e2e

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// trouble is one part that begins with one zone serving and the other refusing.
type trouble struct {
	name string
	// part ends with one zone serving and the other refusing, and everything healed.
	part func(t *testing.T, from, to string)
	path path
	// limit of the time without an answer. It is generous: CI's machines are busy. What was seen is printed.
	limit time.Duration
}

// path says which zones must have served in a part, in order.
type path int

const (
	stays   path = iota // only the one that served before
	moves               // then the other
	returns             // then the first again
	free                // as the part says
)

func (p path) zones(from, to string) []string {
	switch p {
	case stays:
		return []string{from}
	case moves:
		return []string{from, to}
	case returns:
		return []string{from, to, from}
	}
	return nil
}

// What clients may have to wait for, at most.
const (
	nothing  = 15 * time.Second // but what a busy machine does to clients of one kind
	hiccup   = 5 * time.Second  // the same, to clients of all kinds at once: what a gate that closed would do
	planned  = 20 * time.Second
	takeover = 2 * time.Minute // a dead holder's lease, the wait, the record's probes
)

// TestE2E is one story, in order: the parts of the beginning need the ones before them; then come troubles, each of which takes the zones
// as it finds them. With a lab that stands (APORETO_E2E_LAB) any trouble can be run by itself: -run 'TestE2E/region'.
func TestE2E(t *testing.T) {
	l := newLab(t)
	if l.standing {
		l.calm(t)
	} else {
		l.tell(t)
	}
	l.check = startChecker()
	defer l.check.finish()
	whole := l.begin(t)
	for _, trouble := range l.troubles() {
		if !t.Run(trouble.name, func(t *testing.T) { l.suffer(t, trouble) }) {
			l.calm(t)
		}
	}
	t.Run("held commands never overlap", l.heldApart)
	t.Run("no gateway saw another zone serve while it did", l.neverDual)
	l.judge(t, l.check.since(whole.from), l.lease(t).Epoch-whole.epoch)
	l.check.finish()
	l.check.checkKinds(t)
	for _, s := range l.table {
		t.Log(s)
	}
}

// tell tells the beginning: from nothing to one zone that serves.
func (l *lab) tell(t *testing.T) {
	t.Helper()
	for _, s := range []struct {
		name string
		part func(*testing.T)
	}{
		{"kubectl finds the plugin", l.findPlugin},
		{"environment and values", l.environment},
		{"certificates verify with openssl", l.certificates},
		{"deploy to both zones", l.deployBoth},
		{"one zone serves and the other answers 423", l.oneServes},
	} {
		if !t.Run(s.name, s.part) {
			t.Fatalf("the story ends at %q", s.name)
		}
	}
	if _, err := os.Stat(l.env + "/aporeto.yaml"); err != nil {
		t.Fatalf("nothing is deployed: run all of it, or set %s and run all of it once", labVariable)
	}
	if err := os.WriteFile(l.deployed(), nil, 0o644); err != nil {
		t.Fatal(err)
	}
}

func (l *lab) troubles() []trouble {
	return []trouble{
		{"status tells what is so", l.statusRight, stays, nothing},
		{"the record moves", l.recordMoves, moves, takeover},
		{"kubectl shows what the job saw", l.mirrored, stays, nothing},
		{"runs of the job touch end to end", l.runsTouch, stays, nothing},
		{"a second deploy changes nothing", l.secondDeploy, stays, nothing},
		{"what is deleted by hand is put back", l.putBack, stays, nothing},
		{"a zone cut off during deploy fails alone", l.cutDuringDeploy, stays, nothing},
		{"the job's manifest applies", l.manifest, stays, nothing},
		{"the database is checked from here, through a zone and from the zones", l.mongoChecked, stays, nothing},
		{"the routers change to the customer's CA and back", l.customerCA, stays, nothing},
		{"gateways are replaced", l.gatewaysRoll, stays, nothing},
		{"new gateways cannot reach the database", l.gatewaysBlind, stays, nothing},
		{"region cut, the primary elsewhere", l.regionCut, moves, takeover},
		{"region cut with the primary in it", l.regionCutWithPrimary, moves, takeover},
		{"database cut off from the active zone", l.databaseCutOff, moves, takeover},
		{"election longer than the term", l.longElection, stays, takeover},
		{"database lost and back", l.databaseLost, stays, takeover},
		{"database frozen and back", l.databaseFrozen, stays, takeover},
		{"one gateway killed", l.gatewayKilled, stays, nothing},
		{"all gateways killed", l.gatewaysKilled, stays, takeover},
		{"gateways asleep, and waking up", l.gatewaysAsleep, moves, takeover},
		{"nobody answers at the global record", l.endpointGone, stays, nothing},
		{"global endpoint unreachable from the active zone", l.activeBlind, moves, takeover},
		{"global endpoint unreachable from the other zone", l.passiveBlind, moves, takeover},
		{"CronJobs suspended", l.jobsSuspended, moves, takeover},
		{"API server down", l.apiDown, moves, takeover},
		{"the record flaps", l.recordFlaps, free, takeover},
		{"an operator pins the lease", l.pinned, moves, takeover},
		{"an operator orders a switch", l.plannedSwitch, moves, planned},
		{"an operator orders a switch away from a region that is gone", l.orderedAway, moves, takeover},
		{"an order with a dead successor", l.successorDead, stays, takeover},
		{"drill", l.drill, returns, planned},
		{"a drill that is interrupted", l.drillInterrupted, returns, planned},
		{"the job as a Deployment", l.jobAsDeployment, moves, takeover},
	}
}

// suffer runs one trouble with the checker's eyes on it.
func (l *lab) suffer(t *testing.T, x trouble) {
	from, to := l.sides(t)
	w := l.begin(t)
	x.part(t, from, to)
	w.end(t, x.name, x.limit, x.path.zones(from, to)...)
}

// sides returns the zone that serves and the other one, which must refuse. Both must be well: a trouble shall meet no traces of another.
func (l *lab) sides(t *testing.T) (from, to string) {
	t.Helper()
	await(t, takeover, "one zone serves, the other answers 423, both are eligible, and their jobs agree", func() bool {
		for _, zones := range [][2]string{{"zone-a", "zone-b"}, {"zone-b", "zone-a"}} {
			serving, _ := ask(zones[0], "/sides")
			if other, _ := ask(zones[1], "/sides"); serving == 200 && other == 423 {
				from, to = zones[0], zones[1]
				return eligible(from) && eligible(to) && l.agreed(t, from)
			}
		}
		return false
	})
	return from, to
}

// agreed tells whether both zones' jobs have seen the record lead to a zone.
func (l *lab) agreed(t *testing.T, zone string) bool {
	t.Helper()
	for _, r := range l.records(t) {
		if r.PointsAt != names[zone] {
			return false
		}
	}
	return true
}

// eligible tells whether a zone tells load balancers that it could serve.
func eligible(zone string) bool {
	code, _ := ask(zone, "/healthz/eligible")
	return code == 200
}

// calm ends whatever a failed part, or an earlier run, has left.
func (l *lab) calm(t *testing.T) {
	t.Helper()
	if strings.Contains(l.run(t, time.Minute, l.repo+"/hack/sandbox", "status").stdout, "0 of") {
		l.sandbox(t, "database", l.env)
	}
	l.sandbox(t, "database", "resume")
	for zone := range gateways {
		l.sandbox(t, "heal", zone)
		l.sandbox(t, "api", zone, "resume")
		l.run(t, time.Minute, l.repo+"/hack/sandbox", "resume", zone, "gateway") // fails where none is frozen
	}
	for zone := range gateways {
		await(t, takeover, zone+"'s API server answers", func() bool {
			return l.exec(t, "kubectl", "--context", zone, "--request-timeout=5s", "get", "--raw", "/readyz").code == 0
		})
		l.suspend(t, zone, false)
	}
	l.must(t, "maintenance", "unpin")
	for zone, name := range names {
		if l.lease(t).Holder == name {
			l.sandbox(t, "record", zone)
		}
	}
	l.sides(t)
}

// neverDual reads the gateways' own count of what must never be.
func (l *lab) neverDual(t *testing.T) {
	for zone := range gateways {
		for _, pod := range l.gatewayPods(t, zone) {
			metrics := l.kubectl(t, zone, "get", "--raw", "/api/v1/namespaces/"+namespace+"/pods/"+pod+":9090/proxy/metrics")
			found := false
			for line := range strings.Lines(metrics) {
				if strings.HasPrefix(line, "aporeto_dual_active_observed_total") {
					found = true
					if !strings.HasSuffix(line, " 0\n") {
						t.Errorf("%s of %s: %s", pod, zone, line)
					}
				}
			}
			if !found {
				t.Errorf("%s of %s does not count", pod, zone)
			}
		}
	}
}

// steady watches a zone serve for so long, alone.
func (l *lab) steady(t *testing.T, zone string, d time.Duration) {
	t.Helper()
	from := l.check.now()
	await(t, d+time.Minute, "time passes", func() bool { return l.check.now() >= from+d })
	log := l.check.since(from)
	for _, a := range log {
		if a.passed() && a.zone != zone {
			t.Fatalf("%s answered %d to %s while %s had to serve on", a.zone, a.code, a.kind, zone)
		}
	}
	if gap := slices.Min(slices.Collect(maps.Values(outages(log, from, l.check.now())))); gap > hiccup {
		t.Errorf("%s, which had to serve on, did not for %v", zone, gap)
	}
}
