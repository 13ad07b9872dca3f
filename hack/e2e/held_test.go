//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/bson"
)

// heldApart proves from the held commands' own signs of life, of the whole run, that no two were alive at the same time in any zone. All of
// them read the clock of this one machine. What they wrote into the database bears them out.
func (l *lab) heldApart(t *testing.T) {
	var beats []beat
	for zone := range gateways {
		for line := range strings.Lines(l.kubectl(t, zone, "logs", "-l", "app.kubernetes.io/name=worker", "--tail=-1")) {
			var b beat
			if json.Unmarshal([]byte(line), &b) != nil || b.Run == "" {
				continue // the agent's own lines
			}
			if b.Zone != names[zone] {
				t.Errorf("a worker in %s says that it works for %s", zone, b.Zone)
			}
			beats = append(beats, b)
		}
	}
	runs := spans(beats)
	zones := map[string]int{}
	for _, r := range runs {
		zones[r.zone]++
	}
	if zones["default"] == 0 || zones["passive"] == 0 {
		t.Fatalf("runs by zone: %v", zones)
	}
	for _, pair := range overlaps(runs) {
		t.Errorf("two held commands at once: %+v and %+v", pair[0], pair[1])
	}
	writes := l.workersWrites(t, runs)
	t.Logf("%d beats and %d writes of held commands in %d runs, %v by zone; none overlap", len(beats), writes, len(runs), zones)
	for i, r := range runs {
		if i > 0 && r.zone != runs[i-1].zone {
			t.Logf("the work went from %s to %s: %.2f s without any", runs[i-1].zone, r.zone, (r.first - runs[i-1].last).Seconds())
		}
	}
}

// workersWrites counts the entries that held commands wrote, and fails the test if one is by nobody whose beats were seen, or was written
// for another zone than its run's.
func (l *lab) workersWrites(t *testing.T, runs []span) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), databaseTime)
	defer cancel()
	cursor, err := l.admin(t).Database("worker").Collection("entries").Find(ctx, bson.D{})
	if err != nil {
		t.Fatal(err)
	}
	var entries []struct{ Zone, Path string }
	if err := cursor.All(ctx, &entries); err != nil {
		t.Fatal(err)
	}
	zones := map[string]string{}
	for _, r := range runs {
		zones[r.run] = r.zone
	}
	for _, e := range entries {
		if zones[e.Path] != e.Zone {
			t.Errorf("an entry of run %q for zone %q; that run was seen in %q", e.Path, e.Zone, zones[e.Path])
			break
		}
	}
	if len(entries) == 0 {
		t.Error("held commands wrote nothing")
	}
	return len(entries)
}
