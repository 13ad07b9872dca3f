package failover

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/lease"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongo"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/zone"
)

var now = time.Date(2026, 11, 23, 3, 0, 0, 0, time.UTC)

// well is an environment in which West serves, East stands by, and the record points at West.
func well() Observation {
	yes := true
	record := func(name string) mongo.Intent {
		return mongo.Intent{
			Record: lease.Record{Zone: name, PointsAt: "west", Seq: 4, Confirmed: 9}, Since: now.Add(-time.Hour), ProbedAt: now.Add(-2 * time.Second),
			Resolvers: []mongo.Sighting{{Resolver: "system", Zone: "west"}},
		}
	}
	left := 7.5
	return Observation{
		Environment: "env", Zones: []zone.Zone{{Name: "West"}, {Name: "East"}},
		Database: &mongo.Status{
			Now:   now,
			Lease: lease.Document{Epoch: 7, Holder: "west", Nonce: "n", Open: lease.Open{{ID: "w1", Nonce: "n"}}, Term: lease.DefaultTerm()},
			Zones: []mongo.Intent{record("east"), record("west")},
		},
		Gateways: []Gateways{
			{Replicas: []Replica{{Name: "w1", State: "Active", Epoch: 7, Eligible: &yes, LeaseLeft: &left}}},
			{Replicas: []Replica{{Name: "e1", State: "Locked", Epoch: 7, Eligible: &yes}}},
		},
	}
}

func TestFindings(t *testing.T) {
	no := false
	for _, test := range []struct {
		name    string
		change  func(*Observation)
		codes   []string
		healthy bool
	}{
		{"well", func(*Observation) {}, nil, true},
		{"database unreachable", func(o *Observation) { o.Database, o.DatabaseErr = nil, errors.New("no route") }, []string{"database-unknown"}, false},
		{"zone unreachable", func(o *Observation) { o.Gateways[1] = Gateways{Err: errors.New("no route")} }, []string{"zone-unknown"}, false},
		{"one replica silent", func(o *Observation) {
			o.Gateways[0].Replicas = append(o.Gateways[0].Replicas, Replica{Name: "w2", Error: "refused"})
		}, []string{"replica-unknown"}, false},
		{"replica behind", func(o *Observation) { o.Gateways[1].Replicas[0].Epoch = 6 }, []string{"replica-behind"}, false},
		{"not deployed", func(o *Observation) { o.Gateways[1] = Gateways{} }, []string{"not-eligible"}, false},
		{"not eligible", func(o *Observation) {
			o.Gateways[1].Replicas[0].Eligible, o.Gateways[1].Replicas[0].Reason = &no, "service down"
		}, []string{"not-eligible"}, false},
		{"two views, one of them old", func(o *Observation) {
			o.Database.Zones[0].PointsAt, o.Database.Zones[0].ProbedAt = "east", now.Add(-18*time.Second)
		}, nil, true},
		{"two views", func(o *Observation) { o.Database.Zones[0].PointsAt = "east" }, []string{"split-view"}, false},
		{"both active", func(o *Observation) { o.Gateways[1].Replicas[0].State = "Active" }, []string{"dual-active"}, false},
		{"dead job", func(o *Observation) { o.Database.Zones[0].ProbedAt = now.Add(-5 * time.Minute) }, []string{"job-silent"}, false},
		{"job never ran", func(o *Observation) { o.Database.Zones = o.Database.Zones[1:] }, []string{"no-intent"}, false},
		{"endpoint silent", func(o *Observation) { o.Database.Zones[1].Resolvers[0].Error = "dns: no such host" }, []string{"endpoint-unanswered"}, false},
		{"pinned", func(o *Observation) { o.Database.Pin = mongo.Pin{On: true, Seq: 1, By: "me"} }, []string{"pinned"}, false},
		{"override against the record", func(o *Observation) {
			o.Database.Lease.Override, o.Database.Lease.Basis = true, map[string]int64{"west": 4, "east": 4}
			for i := range o.Database.Zones {
				o.Database.Zones[i].PointsAt = "east"
			}
			o.Gateways[1].Replicas[0].Eligible, o.Gateways[1].Replicas[0].Reason = &no, "an operator ordered another zone to serve"
		}, []string{"override", "ordered-away"}, false},
		{"override that ended", func(o *Observation) {
			o.Database.Lease.Override, o.Database.Lease.Basis = true, map[string]int64{"west": 3, "east": 4}
		}, nil, true},
		{"the record moved", func(o *Observation) {
			for i := range o.Database.Zones {
				o.Database.Zones[i].PointsAt = "east"
			}
		}, []string{"move-due"}, false},
		{"closing", func(o *Observation) { o.Database.Lease.Closing, o.Database.Lease.Successor = true, "east" }, []string{"closing"}, false},
		{"nobody open", func(o *Observation) {
			o.Database.Lease.Open, o.Gateways[0].Replicas[0].State = lease.Open{}, "Acquiring"
		}, []string{"nobody-open", "replica-closed"}, false},
		{"gateways gone, and still in the document", func(o *Observation) { o.Gateways[0] = Gateways{} }, []string{"not-eligible", "nobody-open"}, false},
		{"gates closed, and still in the document", func(o *Observation) { o.Gateways[0].Replicas[0].State = "Fenced" }, []string{"replica-closed", "nobody-open"}, false},
		{"nobody open, no database", func(o *Observation) {
			o.Database, o.DatabaseErr, o.Gateways[0].Replicas[0].State = nil, errors.New("no primary"), "Locked"
		}, []string{"database-unknown", "nobody-open"}, false},
		{"the holder cannot be asked", func(o *Observation) { o.Gateways[0] = Gateways{Err: errors.New("no route")} }, []string{"zone-unknown"}, false},
		{"never held", func(o *Observation) {
			o.Database.Lease = lease.Document{Term: lease.DefaultTerm()}
			o.Gateways[0].Replicas[0].State = "Candidate"
		}, []string{"never-held"}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := well()
			test.change(&o)
			st := Assess(o, "v1")
			var codes []string
			for _, f := range st.Findings {
				codes = append(codes, f.Code)
			}
			if !slices.Equal(codes, test.codes) || st.Healthy() != test.healthy {
				t.Errorf("got %v, healthy %t; want %v, %t: %+v", codes, st.Healthy(), test.codes, test.healthy, st.Findings)
			}
		})
	}
}

func TestUnknownIsNotDown(t *testing.T) {
	o := well()
	o.Database, o.DatabaseErr = nil, errors.New("no route")
	o.Gateways[1] = Gateways{Err: errors.New("no route")}
	st := Assess(o, "v1")
	west, east := st.Zones[0], st.Zones[1]
	if st.Lease != nil || st.Journal != nil || west.State != "Active" || *west.Open != 1 || *west.Left != 7.5 || west.Holder != nil || west.Intent != nil {
		t.Errorf("West: %+v", west)
	}
	if east.State != Unknown || east.Open != nil || east.Eligible != nil || east.Epoch != nil {
		t.Errorf("East: %+v", east)
	}
}

func TestCheckTarget(t *testing.T) {
	no := false
	for name, test := range map[string]struct {
		change func(*Observation)
		force  bool
		want   string
	}{
		"could serve": {func(*Observation) {}, false, ""},
		"could not": {func(o *Observation) {
			o.Gateways[1].Replicas[0].Eligible, o.Gateways[1].Replicas[0].Reason = &no, "service down"
		}, false, "could not serve: service down"},
		"could not, forced":  {func(o *Observation) { o.Gateways[1].Replicas[0].Eligible = &no }, true, ""},
		"cannot be asked":    {func(o *Observation) { o.Gateways[1] = Gateways{Err: errors.New("no route")} }, false, "is unknown: no route"},
		"no gateway":         {func(o *Observation) { o.Gateways[1] = Gateways{} }, false, "could not serve: no gateway"},
		"old zone is silent": {func(o *Observation) { o.Gateways[0] = Gateways{Err: errors.New("gone")} }, false, ""},
		"ordered away before": {func(o *Observation) {
			o.Database.Lease.Override, o.Database.Lease.Basis = true, map[string]int64{"west": 4, "east": 4}
			o.Gateways[1].Replicas[0].Eligible, o.Gateways[1].Replicas[0].Reason = &no, "an operator ordered another zone to serve"
		}, false, ""},
	} {
		o := well()
		test.change(&o)
		err := CheckTarget(Assess(o, ""), "east", test.force)
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q", name, err, test.want)
		}
	}
}

func TestCheckLeaseAndJudge(t *testing.T) {
	name := func(s string) string { return s }
	for _, test := range []struct {
		name     string
		doc      lease.Document
		already  bool
		refused  bool
		progress Progress // of an order in epoch 7 for b
	}{
		{"held by a", lease.Document{Epoch: 7, Holder: "a"}, false, false, Pending},
		{"held by b", lease.Document{Epoch: 8, Holder: "b", Open: lease.Open{{ID: "x"}}}, true, false, Opened},
		{"handed to b", lease.Document{Epoch: 8, Holder: "b"}, true, false, HandedOver},
		{"closing for b", lease.Document{Epoch: 7, Holder: "a", Closing: true, Successor: "b"}, true, false, UnderWay},
		{"closing for c", lease.Document{Epoch: 7, Holder: "a", Closing: true, Successor: "c"}, false, true, Overtaken},
		{"closing by intent", lease.Document{Epoch: 7, Holder: "a", Closing: true}, false, true, Overtaken},
		{"released", lease.Document{Epoch: 7, Holder: "a", Closing: true, Released: true}, false, false, Overtaken},
		{"released by b itself", lease.Document{Epoch: 7, Holder: "b", Closing: true, Released: true}, false, false, Overtaken},
		{"never held", lease.Document{}, false, false, Overtaken},
		{"a claimed again", lease.Document{Epoch: 8, Holder: "a"}, false, false, Overtaken},
	} {
		already, err := CheckLease(test.doc, "b", name)
		if already != test.already || (err != nil) != test.refused {
			t.Errorf("%s: already %t, %v", test.name, already, err)
		}
		if p := Judge(test.doc, 7, "b"); p != test.progress {
			t.Errorf("%s: progress %d, want %d", test.name, p, test.progress)
		}
	}
}

// An order to where the record points leaves no override behind; every other knows all counters.
func TestBasis(t *testing.T) {
	records := []lease.Record{{Zone: "a", PointsAt: "a", Seq: 3}, {Zone: "b", PointsAt: "a", Seq: 5}}
	intents := []mongo.Intent{{Record: records[0], ProbedAt: now.Add(-time.Second)}, {Record: records[1], ProbedAt: now.Add(-time.Second)}}
	if got := Basis(records, "b", intents, now, 15*time.Second); got["a"] != 3 || got["b"] != 5 {
		t.Errorf("to b: %v", got)
	}
	if got := Basis(records, "a", intents, now, 15*time.Second); len(got) != 1 || got["b"] != 5 {
		t.Errorf("to a: %v", got)
	}
	doc := lease.Document{Holder: "a", Override: true, Basis: Basis(records, "a", intents, now, 15*time.Second)}
	if overrideStands(doc, intents) {
		t.Error("an order to where the record points still stands")
	}
	third := append(intents, mongo.Intent{Record: lease.Record{Zone: "c", PointsAt: "a", Seq: 9}})
	if !overrideStands(lease.Document{Holder: "b", Override: true, Basis: map[string]int64{"a": 3, "b": 5}}, third) {
		t.Error("a zone that came to name another one ended an order")
	}
	if got := Basis(records, "a", intents, now.Add(time.Minute), 15*time.Second); got["a"] != 3 {
		t.Errorf("to a, whose job is silent: %v", got)
	}
}

func TestCompare(t *testing.T) {
	at := func(sent, took int, open, known bool) Sample {
		ms := time.Millisecond
		return Sample{Sent: time.Duration(sent) * ms, Received: time.Duration(sent+took) * ms, Open: open && known, Closed: !open && known}
	}
	open, closed := func(sent int) Sample { return at(sent, 2, true, true) }, func(sent int) Sample { return at(sent, 2, false, true) }
	for _, test := range []struct {
		name        string
		before, now []Sample
		proof       Proof
		gap         float64 // -1: not seen
	}{
		{"proven", []Sample{open(110), closed(120), closed(130)}, []Sample{closed(110), closed(120), open(140)}, Proven, 0.03},
		{"refusal not seen", []Sample{open(110), closed(150)}, []Sample{closed(110), open(120)}, Consistent, 0.01},
		{"old answers late", []Sample{at(110, 40, true, true)}, []Sample{open(120)}, Consistent, 0},
		{"both at once", []Sample{open(110), open(125)}, []Sample{open(120)}, Violated, -1},
		{"old is dead", []Sample{at(110, 5, false, false)}, []Sample{open(150)}, Unseen, -1},
		{"new never opened", []Sample{open(110)}, []Sample{closed(110)}, Unseen, -1},
		{"what was before does not count", []Sample{open(50), closed(110)}, []Sample{open(40), open(120)}, Proven, -1},
	} {
		m := Compare(test.before, test.now, 100*time.Millisecond)
		gap := -1.0
		if m.GapSecs != nil {
			gap = *m.GapSecs
		}
		if m.Proof != test.proof || gap < test.gap-1e-9 || gap > test.gap+1e-9 {
			t.Errorf("%s: got %s, %v; want %s, %v", test.name, m.Proof, gap, test.proof, test.gap)
		}
	}
}

func TestAgo(t *testing.T) {
	for seconds, want := range map[float64]string{0.4: "0s", 59.4: "59s", 250: "4m10s", 11100: "3h5m", 187200: "2d4h"} {
		if got := Ago(seconds); got != want {
			t.Errorf("%v: got %s, want %s", seconds, got, want)
		}
	}
}
