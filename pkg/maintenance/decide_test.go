package maintenance_test

import (
	"strings"
	"testing"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/lease"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/maintenance"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/probe"
)

func TestObserve(t *testing.T) {
	a := probe.Result{Zone: "a", Epoch: 3}
	b := probe.Result{Zone: "b", Epoch: 4}
	failed := probe.Result{Kind: probe.Connect}
	for _, tt := range []struct {
		name    string
		results []probe.Result
		want    maintenance.Observation
	}{
		{"no resolver", nil, maintenance.Observation{}},
		{"nobody", []probe.Result{failed, failed}, maintenance.Observation{}},
		{"one", []probe.Result{a}, maintenance.Observation{Zone: "a", Epoch: 3}},
		{"one of two", []probe.Result{failed, a}, maintenance.Observation{Zone: "a", Epoch: 3}},
		{"agreed", []probe.Result{a, failed, {Zone: "a", Epoch: 5}}, maintenance.Observation{Zone: "a", Epoch: 5}},
		{"disputed", []probe.Result{a, b}, maintenance.Observation{Disputed: true, Epoch: 4}},
		{"disputed stays so", []probe.Result{a, b, b}, maintenance.Observation{Disputed: true, Epoch: 4}},
		// A failed probe never names a zone, whatever else is in its result.
		{"failed with a zone", []probe.Result{{Zone: "b", Kind: probe.Nonce}}, maintenance.Observation{}},
	} {
		if got := maintenance.Observe(tt.results); got != tt.want {
			t.Errorf("%s: got %+v, want %+v", tt.name, got, tt.want)
		}
	}
}

// rounds reads a window: a and b are zones, ! is a dispute, . a round that learnt nothing.
func rounds(s string) []maintenance.Observation {
	var window []maintenance.Observation
	for _, c := range s {
		switch c {
		case '.':
			window = append(window, maintenance.Observation{})
		case '!':
			window = append(window, maintenance.Observation{Disputed: true})
		default:
			window = append(window, maintenance.Observation{Zone: string(c), Epoch: 7})
		}
	}
	return window
}

func TestDecide(t *testing.T) {
	for _, tt := range []struct {
		current, window, want string // want: a zone to move to, + to confirm, "" to keep
	}{
		{"", "", ""},
		{"", "a", ""},
		{"", "aa", ""},
		{"", "aaa", "a"},
		{"a", "", ""},
		{"a", "a", "+"}, // a new run confirms at once: the run before it has ended a while ago
		{"a", "aaaaa", "+"},
		{"a", "aaaa.", ""}, // nothing learnt, nothing confirmed
		{"a", ".....", ""}, // an endpoint that answers nobody
		{"a", "....a", "+"},
		{"a", "aaaab", ""},
		{"a", "aaabb", ""},
		{"a", "aabbb", "b"},
		{"a", "b.b.b", "b"},
		{"a", "bb..b", "b"},
		{"a", "bbb..", "b"},
		{"a", "b...b", ""},
		{"a", "bbb......", ""}, // too long ago
		{"a", "bbb....b", ""},
		{"a", "bbb.a", ""}, // b had its three, but the last word is another
		{"a", "babab", ""}, // caches mix old and new: three of five, never in a row
		{"b", "ababa", ""},
		{"a", "ababa", "+"},
		{"a", "abbab", ""},
		{"a", "bbba", ""},
		{"a", "!bb!b", ""}, // a dispute contradicts
		{"a", "!!bbb", "b"},
		{"a", "aa!!a", "+"},
		{"a", "a!!.a", ""},
		{"a", "!!!!!", ""},
		{"b", "aabbb", "+"},
		{"c", "abaaa", "a"},
	} {
		d := maintenance.Decide(rounds(tt.window), lease.Record{Zone: "a", PointsAt: tt.current}, maintenance.Params{Samples: 5, Threshold: 3})
		got := map[maintenance.Action]string{maintenance.Keep: "", maintenance.Confirm: "+", maintenance.Move: d.Zone}[d.Action]
		if got != tt.want || d.Action == maintenance.Move && d.Epoch != 7 {
			t.Errorf("record %q, rounds %q: got %q (epoch %d), want %q", tt.current, tt.window, got, d.Epoch, tt.want)
		}
	}
}

// However the answers flap, a record never moves more often than what the rounds show does, and follows in the end.
func TestNeverMoreMovesThanTheRecord(t *testing.T) {
	for _, history := range []string{
		strings.Repeat("ab", 30) + "bbb", strings.Repeat("aab", 20) + "bbb", strings.Repeat("a.b", 20) + "bbb", strings.Repeat("aaab", 20) + "bbb",
		strings.Repeat("aaabbb", 10), strings.Repeat("a!b", 20) + "bbb", "aaaaa" + strings.Repeat("b!", 20) + "bbb",
	} {
		record, moves, changes := lease.Record{Zone: "a", PointsAt: "a"}, 0, 0
		last := rune('a')
		for i, c := range history {
			if c != '.' && c != '!' && c != last {
				last, changes = c, changes+1
			}
			if d := maintenance.Decide(rounds(history[:i+1]), record, maintenance.Params{Samples: 5, Threshold: 3}); d.Action == maintenance.Move {
				record.PointsAt, moves = d.Zone, moves+1
			}
		}
		if moves > changes || record.PointsAt != "b" {
			t.Errorf("%s: %d moves for %d changes, ended at %q", history, moves, changes, record.PointsAt)
		}
	}
}
