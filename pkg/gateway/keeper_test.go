package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/lease"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongo"
)

func TestReason(t *testing.T) {
	view := func(state lease.State, epoch int64, holder string) lease.View {
		return lease.View{State: state, Epoch: epoch, Holder: holder, Known: true}
	}
	closing, ordered := view(lease.Draining, 3, "west"), view(lease.Draining, 3, "west")
	closing.Closing, ordered.Closing, ordered.OrderedAway = true, true, true
	for _, c := range []struct {
		name          string
		before, after lease.View
		event         lease.Event
		cut           bool
		want          string
	}{
		{"opens", view(lease.Acquiring, 3, "west"), view(lease.Active, 3, "west"), lease.Written{}, false, reasonRenewed},
		{"opens by a read", view(lease.Acquiring, 3, "west"), view(lease.Active, 3, "west"), lease.Observed{}, false, reasonConfirmed},
		{"SIGTERM", view(lease.Active, 3, "west"), view(lease.Draining, 3, "west"), lease.Stop{}, false, reasonStopping},
		{"automatic", view(lease.Active, 3, "west"), closing, nil, false, reasonYielded},
		{"planned", view(lease.Active, 3, "west"), ordered, nil, false, reasonOrdered},
		{"term over", view(lease.Active, 3, "west"), view(lease.Fenced, 3, "west"), nil, false, reasonDeadline},
		{"another epoch", view(lease.Active, 3, "west"), view(lease.Fenced, 4, "east"), lease.Observed{}, false, reasonSuperseded},
		{"drained", closing, view(lease.Locked, 3, "west"), lease.Idle{}, false, reasonDrained},
		{"cut", closing, view(lease.Locked, 3, "west"), lease.Idle{}, true, reasonCut},
		{"fence over", view(lease.Fenced, 3, "west"), view(lease.Acquiring, 3, "west"), lease.Idle{}, true, reasonHolding},
		{"intended", view(lease.Locked, 3, "east"), view(lease.Candidate, 3, "east"), lease.Observed{}, false, reasonIntended},
		{"claims", view(lease.Candidate, 3, "east"), view(lease.Acquiring, 3, "east"), nil, false, reasonClaiming},
		{"claimed", view(lease.Candidate, 3, "east"), view(lease.Acquiring, 4, "west"), lease.Written{}, false, reasonClaimed},
		{"a sibling claimed", view(lease.Candidate, 3, "east"), view(lease.Acquiring, 4, "west"), lease.Observed{}, false, reasonHolding},
		{"too late", view(lease.Candidate, 3, "east"), view(lease.Locked, 4, "north"), lease.Observed{}, false, reasonTaken},
		{"not any more", view(lease.Candidate, 3, "east"), view(lease.Locked, 3, "east"), lease.Observed{}, false, reasonNotIntended},
		{"epoch", view(lease.Locked, 3, "east"), view(lease.Locked, 4, "north"), lease.Observed{}, false, reasonEpoch},
	} {
		if got := reason("west", c.before, c.after, c.event, c.cut); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// memoryJournal refuses the first entry once, as a database that is away does.
type memoryJournal struct {
	mu      sync.Mutex
	refused bool
	entries []mongo.JournalEntry
}

func (j *memoryJournal) Append(_ context.Context, e mongo.JournalEntry) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.refused {
		j.refused = true
		return errors.New("away")
	}
	j.entries = append(j.entries, e)
	return nil
}

func (j *memoryJournal) steps() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	var steps []string
	for _, e := range j.entries {
		steps = append(steps, e.From+">"+e.To+" "+e.Reason)
	}
	return strings.Join(steps, ", ")
}

// lines collects what is logged.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Split(strings.TrimSpace(l.text.String()), "\n")
}

// TestTransitionsAreTold follows one zone through claim, fence and planned switch in the log, the metrics and the journal.
func TestTransitionsAreTold(t *testing.T) {
	t.Parallel()
	log, entries := &lines{}, &memoryJournal{}
	l := newLab(t, http.NotFoundHandler(), func(c *Config) {
		c.Log = slog.New(slog.NewJSONHandler(log, nil))
		c.Journal = entries
	})
	go l.journal.run(t.Context())
	l.run(t)
	eventually(t, "gate open", l.isOpen)
	l.store.set(func(s *memoryStore) { s.down = true })
	eventually(t, "fenced", l.keeper.fenced.Load)
	l.store.set(func(s *memoryStore) { s.down = false })
	eventually(t, "gate open again", l.isOpen)
	l.order(t, "east")
	eventually(t, "handed over", func() bool { return l.keeper.View().Holder == "east" })

	for series, want := range map[string]float64{
		`aporeto_zone_transitions_total{from="Acquiring",reason="renewed",to="Active",zone="West"}`: 2,
		`aporeto_zone_transitions_total{from="Active",reason="deadline",to="Fenced",zone="West"}`:   1,
		`aporeto_zone_transitions_total{from="Active",reason="ordered",to="Draining",zone="West"}`:  1,
		`aporeto_dual_active_observed_total{zone="West"}`:                                           0,
		`aporeto_zone_condition{condition="LeaseHeld",zone="West"}`:                                 0,
		`aporeto_zone_condition{condition="DatabaseReachable",zone="West"}`:                         1,
		`aporeto_lease_epoch{zone="West"}`:                                                          2,
	} {
		if got := l.metric(t, series); got != want {
			t.Errorf("%s is %v, want %v", series, got, want)
		}
	}
	if n := l.metric(t, `aporeto_lease_operation_seconds_count{operation="renew",result="ok",zone="West"}`); n < 2 {
		t.Errorf("%v renewals were timed", n)
	}
	var told []string
	for _, line := range log.all() {
		var entry struct{ Msg, From, To, Reason string }
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if entry.Msg == "transition" && entry.From != entry.To {
			told = append(told, entry.From+">"+entry.To+" "+entry.Reason)
		}
	}
	for _, want := range []string{"Acquiring>Active renewed", "Active>Fenced deadline", "Active>Draining ordered"} {
		if !slices.Contains(told, want) {
			t.Errorf("the log does not tell %q: %q", want, told)
		}
	}
	want := "Acquiring>Active gate: renewed, Active>Fenced gate: deadline, Acquiring>Active gate: renewed, Active>Draining gate: ordered"
	eventually(t, "the journal has it all", func() bool { return entries.steps() == want })
	if entries.entries[0].Key != entries.entries[2].Key || entries.entries[0].Key == entries.entries[1].Key {
		t.Errorf("keys: %+v", entries.entries)
	}
}

// TestDualActiveIsCounted shows the keeper what must never be: another holder's epoch while its own gate is open.
func TestDualActiveIsCounted(t *testing.T) {
	t.Parallel()
	l := newLab(t, http.NotFoundHandler())
	l.run(t)
	eventually(t, "gate open", l.isOpen)
	l.store.set(func(s *memoryStore) {
		s.doc.Epoch, s.doc.Holder, s.doc.Nonce, s.doc.Open = s.doc.Epoch+1, "east", "theirs", lease.Open{{ID: "e", Nonce: "theirs"}}
	})
	eventually(t, "counted", func() bool { return l.metric(t, `aporeto_dual_active_observed_total{zone="West"}`) == 1 })
	if l.isOpen() {
		t.Error("the gate stayed open")
	}
}

func TestEligibleFollowsOrders(t *testing.T) {
	t.Parallel()
	l := newLab(t, http.NotFoundHandler())
	go l.health.run(t.Context())
	l.run(t)
	eventually(t, "gate open", l.isOpen)
	eligible := func() int {
		response, _ := get(t, l.url+"/healthz/eligible")
		return response.StatusCode
	}
	eventually(t, "eligible", func() bool { return eligible() == http.StatusOK })
	l.order(t, "east")
	eventually(t, "not eligible while another zone is ordered", func() bool { return eligible() == http.StatusServiceUnavailable })
	if l.health.reason() != "" {
		t.Errorf("for another reason: %s", l.health.reason())
	}
}

func TestConditions(t *testing.T) {
	records := []lease.Record{{Zone: "east", PointsAt: "east"}, {Zone: "west", PointsAt: "east"}}
	held := lease.View{State: lease.Active, Open: true, Known: true, Epoch: 7, Holder: "west"}
	for name, c := range map[string]struct {
		facts facts
		want  string
	}{
		"boot":     {facts{zone: "west", ineligible: "not looked at yet"}, "GlobalPointsHere=Unknown LeaseHeld=Unknown DatabaseReachable=False Eligible=False Active=False Fenced=False"},
		"active":   {facts{zone: "west", view: held, open: true, records: &records, reachable: true}, "GlobalPointsHere=False LeaseHeld=True DatabaseReachable=True Eligible=True Active=True Fenced=False"},
		"single":   {facts{zone: "west", standing: true, view: held, reachable: true, fenced: true}, "GlobalPointsHere=True LeaseHeld=True DatabaseReachable=True Eligible=True Active=False Fenced=True"},
		"neighbor": {facts{zone: "east", view: held, records: &records, reachable: true}, "GlobalPointsHere=True LeaseHeld=False DatabaseReachable=True Eligible=True Active=False Fenced=False"},
	} {
		var got []string
		for _, condition := range conditionsOf(c.facts) {
			got = append(got, condition.Type+"="+condition.Status)
		}
		if all := strings.Join(got, " "); all != c.want {
			t.Errorf("%s: %s, want %s", name, all, c.want)
		}
	}
	l := newLab(t, http.NotFoundHandler())
	w := httptest.NewRecorder()
	l.Status().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, conditionsPath, nil))
	var list []Condition
	if err := json.Unmarshal(w.Body.Bytes(), &list); err != nil || len(list) != 6 {
		t.Errorf("%q: %v", w.Body, err)
	}
}
