// Package e2e runs the product's main job on two real Kubernetes clusters (hack/sandbox), as its users run it: the real binary through
// kubectl, real pods, real CronJobs. All the while a checker asks every zone directly; this file says what its log proves. It is pure, and
// tested without a cluster; the rest are tests with the build tag e2e.
package e2e

import (
	"fmt"
	"net/http"
	"slices"
	"time"
)

// answer is what became of one request to one zone. Times are those of the client.
type answer struct {
	zone, kind string // kind of client
	start, end time.Duration
	code       int    // 0: no answer
	id         string // of the entry that was written, when one was acknowledged
	trouble    string // why there was no answer, or not the one that was due
}

// passed tells whether the gate let the request through at some time between its start and its end: a closed gate answers 423 to
// everything that the checker asks, so any other answer came by an open one.
func (a answer) passed() bool { return a.code != 0 && a.code != http.StatusLocked }

// served tells whether the client got what it asked for.
func (a answer) served() bool { return a.code >= 200 && a.code < 300 }

// order returns the shortest sequence of serving zones by which the log can come about, if zones serve one at a time. Every step of it
// needs an epoch of the lease: more steps than epochs are two zones at once.
//
// Each request that passed did so at some moment between start and end, which no client can know better. So the sequence is the shortest in
// which every request finds its zone serving at some moment of its own.
func order(log []answer) []string {
	byEnd := slices.DeleteFunc(slices.Clone(log), func(a answer) bool { return !a.passed() })
	slices.SortFunc(byEnd, func(a, b answer) int { return int(a.end - b.end) })
	var least []string
	tried := map[string]bool{}
	for _, first := range byEnd {
		if !tried[first.zone] {
			tried[first.zone] = true
			if zones := orderFrom(first.zone, byEnd); least == nil || len(zones) < len(least) {
				least = zones
			}
		}
	}
	return least
}

// orderFrom is order where zone serves first, and every zone for as long as it can: until the earliest end of a request that no zone has
// explained yet.
func orderFrom(zone string, byEnd []answer) []string {
	zones, left := []string{zone}, map[string]time.Duration{} // when each zone last stopped serving
	for _, a := range byEnd {
		if at, served := left[a.zone]; a.zone == zone || served && a.start <= at {
			continue
		}
		left[zone] = a.end
		zone = a.zone
		zones = append(zones, zone)
	}
	return zones
}

// changes counts the steps of order.
func changes(log []answer) int { return max(0, len(order(log))-1) }

// maxProblems bounds how many of a kind are told.
const maxProblems = 10

// problems returns what is wrong with a log during which there were so many epochs, and after which those entries are in the database; and
// counts the writes that were acknowledged.
func problems(log []answer, epochs int64, stored map[string]bool) (wrong []string, writes int) {
	if n := int64(changes(log)); n > epochs {
		wrong = append(wrong, fmt.Sprintf("two zones at once: what was answered needs %d changes of the serving zone, and there were %d epochs", n, epochs))
	}
	lost := 0
	for _, a := range log {
		if a.code != 0 && a.trouble != "" && len(wrong) < maxProblems {
			wrong = append(wrong, fmt.Sprintf("%s answered %d to %s at %v: %s", a.zone, a.code, a.kind, a.end, a.trouble))
		}
		if a.id == "" {
			continue
		}
		writes++
		if !stored[a.id] {
			if lost++; lost <= maxProblems {
				wrong = append(wrong, fmt.Sprintf("lost: %s acknowledged %s to %s at %v", a.zone, a.id, a.kind, a.end))
			}
		}
	}
	if lost > 0 {
		wrong = append(wrong, fmt.Sprintf("%d of %d acknowledged writes are lost", lost, writes))
	}
	return wrong, writes
}

// outages returns by kind of client the longest time without a good answer of any zone, as those see it who try all of them.
func outages(log []answer, from, to time.Duration) map[string]time.Duration {
	byEnd := slices.Clone(log)
	slices.SortFunc(byEnd, func(a, b answer) int { return int(a.end - b.end) })
	longest, last := map[string]time.Duration{}, map[string]time.Duration{}
	for _, a := range byEnd {
		if _, known := last[a.kind]; !known {
			last[a.kind] = from
		}
		if a.served() && a.end >= from && a.end <= to {
			longest[a.kind], last[a.kind] = max(longest[a.kind], a.end-last[a.kind]), a.end
		}
	}
	for kind, end := range last {
		longest[kind] = max(longest[kind], to-end)
	}
	return longest
}

// beat is a sign of life of a held command, at a time by a clock that zones share.
type beat struct {
	Zone string `json:"zone"`
	Run  string `json:"run"` // of one process
	Boot int64  `json:"boot"`
}

// span is when one run of a held command was alive, at least.
type span struct {
	zone, run   string
	first, last time.Duration
	beats       int
}

// spans turns beats, in any order, into runs by their beginnings.
func spans(beats []beat) []span {
	byRun := map[string]*span{}
	for _, b := range beats {
		at := time.Duration(b.Boot)
		s := byRun[b.Run]
		if s == nil {
			s = &span{zone: b.Zone, run: b.Run, first: at, last: at}
			byRun[b.Run] = s
		}
		s.first, s.last = min(s.first, at), max(s.last, at)
		s.beats++
	}
	all := make([]span, 0, len(byRun))
	for _, s := range byRun {
		all = append(all, *s)
	}
	slices.SortFunc(all, func(a, b span) int { return int(a.first - b.first) })
	return all
}

// overlaps returns the pairs of runs that were alive at the same time in two zones. In one zone a rolling update has two for a moment.
func overlaps(runs []span) [][2]span {
	var pairs [][2]span
	for i, a := range runs {
		for _, b := range runs[i+1:] {
			if b.zone != a.zone && b.first <= a.last {
				pairs = append(pairs, [2]span{a, b})
			}
		}
	}
	return pairs
}
