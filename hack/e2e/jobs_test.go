//go:build e2e

package e2e

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// dwell is how long an intent counts after it was confirmed. Runs start at full minutes: what a late one may do is over settled later.
const (
	dwell   = 15 * time.Second
	settled = 12 * time.Second
)

// mirrored looks at what both zones' jobs show to kubectl after the record moved, and at what lies in the database.
func (l *lab) mirrored(t *testing.T, from, _ string) {
	for zone, name := range names {
		var object struct{ Data map[string]string }
		await(t, time.Minute, zone+"'s ConfigMap names "+names[from], func() bool {
			object.Data = nil
			if err := json.Unmarshal([]byte(l.kubectl(t, zone, "get", "configmap", "aporeto-maintenance", "-o", "json")), &object); err != nil {
				t.Fatal(err)
			}
			return object.Data["pointsAt"] == names[from]
		})
		if object.Data["zone"] != name || object.Data["seq"] == "" || !strings.Contains(object.Data["resolvers"], "zone "+names[from]) {
			t.Errorf("%s: ConfigMap %v", zone, object.Data)
		}
		event := "aporeto-maintenance." + name + "." + object.Data["seq"]
		await(t, time.Minute, zone+" has the Event "+event, func() bool {
			reasons := l.kubectl(t, zone, "get", "events", "--field-selector", "involvedObject.name=aporeto-maintenance", "-o", `jsonpath={range .items[*]}{.metadata.name} {.reason}{"\n"}{end}`)
			return strings.Contains(reasons, event+" IntentMoved\n")
		})
	}
}

// runsTouch watches the jobs of both zones go from one run to the next: no pause between two confirmations is as long as the dwell, so an
// intent never goes stale while its job is well.
func (l *lab) runsTouch(t *testing.T, _, _ string) {
	began := l.check.now()
	last, longest := map[string]time.Duration{}, map[string]time.Duration{}
	records := l.records(t)
	for zone := range records {
		last[zone] = began
	}
	if len(last) != len(names) {
		t.Fatalf("records %+v", records)
	}
	until := time.Now().Truncate(time.Minute).Add(time.Minute + settled)
	await(t, 3*time.Minute, "time passes", func() bool {
		now := l.check.now()
		for zone, r := range l.records(t) {
			if r.Confirmed != records[zone].Confirmed {
				records[zone], last[zone] = r, now
			}
			longest[zone] = max(longest[zone], now-last[zone])
		}
		return time.Now().After(until)
	})
	t.Logf("longest pauses between two confirmations: %v", longest)
	for zone, pause := range longest {
		if pause >= dwell {
			t.Errorf("zone %s did not confirm its intent for %v", zone, pause)
		}
	}
}

// jobAsDeployment deploys the job as a pod that stays, in both zones; the record moves as it does with runs.
func (l *lab) jobAsDeployment(t *testing.T, from, to string) {
	l.must(t, "value", "set", "mode", "Deployment", "auto-maintenance")
	l.must(t, "deploy", "--all-zones")
	for zone := range gateways {
		if got := l.kubectl(t, zone, "get", "deployments,cronjobs", "-l", "app.kubernetes.io/component=maintenance", "-o", "name"); got != "deployment.apps/auto-maintenance\n" {
			t.Errorf("%s: %q", zone, got)
		}
	}
	l.recordMoves(t, from, to)
	l.must(t, "value", "unset", "mode", "auto-maintenance")
	l.must(t, "deploy", "--all-zones")
	for zone := range gateways {
		if got := l.kubectl(t, zone, "get", "deployments,cronjobs", "-l", "app.kubernetes.io/component=maintenance", "-o", "name"); got != "cronjob.batch/auto-maintenance\n" {
			t.Errorf("%s: %q", zone, got)
		}
	}
}
