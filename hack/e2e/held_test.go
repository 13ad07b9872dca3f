//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/bson"
)

// heldApart proves from the held commands' own signs of life, of the whole run, that no two were alive at the same time in any zone. All of
// them read the clock of this one machine.
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
	logged := len(beats)
	beats = append(beats, l.workersEntries(t)...)
	runs := spans(beats)
	zones := map[string]int{}
	for _, r := range runs {
		zones[r.zone]++
	}
	if zones["default"] == 0 || zones["passive"] == 0 {
		t.Fatalf("runs by zone: %v", zones)
	}
	together := overlaps(runs)
	for _, pair := range together {
		t.Errorf("two held commands at once: %+v and %+v", pair[0], pair[1])
	}
	for i, r := range runs {
		if i > 0 && r.zone != runs[i-1].zone {
			t.Logf("the work went from %s to %s: %.2f s without any", runs[i-1].zone, r.zone, (r.first - runs[i-1].last).Seconds())
		}
	}
	t.Logf("%d lines and %d entries of held commands in %d runs, %v by zone; %d overlap", logged, len(beats)-logged, len(runs), zones, len(together))
}

// workersEntries returns what held commands wrote into the database. It bears out their logs, and is all that is left of pods that were
// replaced. The times are those at which a command began to write.
func (l *lab) workersEntries(t *testing.T) []beat {
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
	if len(entries) == 0 {
		t.Error("held commands wrote nothing")
	}
	beats := make([]beat, len(entries))
	for i, e := range entries {
		run, boot, _ := strings.Cut(e.Path, "/")
		at, err := strconv.ParseInt(boot, 10, 64)
		if err != nil {
			t.Fatalf("an entry of a worker: %+v", e)
		}
		beats[i] = beat{Zone: e.Zone, Run: run, Boot: at}
	}
	return beats
}
