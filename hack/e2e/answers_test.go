package e2e

import (
	"strings"
	"testing"
	"time"
)

// at is an answer of a zone between two milliseconds.
func at(zone string, start, end, code int) answer {
	return answer{zone: zone, start: time.Duration(start) * time.Millisecond, end: time.Duration(end) * time.Millisecond, code: code}
}

func TestChanges(t *testing.T) {
	both := []answer{}
	for i := range 50 { // two zones that both serve, out of step
		both = append(both, at("a", 20*i, 20*i+5, 200), at("b", 20*i+10, 20*i+15, 200))
	}
	for name, c := range map[string]struct {
		log  []answer
		want int
	}{
		"nothing":                          {nil, 0},
		"one zone":                         {[]answer{at("a", 0, 5, 200), at("a", 10, 15, 200)}, 0},
		"one change":                       {[]answer{at("a", 0, 5, 200), at("a", 10, 15, 200), at("b", 20, 25, 200), at("b", 30, 35, 200)}, 1},
		"there and back":                   {[]answer{at("a", 0, 5, 200), at("b", 20, 25, 200), at("a", 30, 35, 200)}, 2},
		"refusals and silence say nothing": {[]answer{at("a", 0, 5, 200), at("b", 6, 7, 423), at("b", 8, 9, 0), at("a", 10, 15, 200)}, 0},
		"an error of the service passed":   {[]answer{at("a", 0, 5, 200), at("b", 6, 7, 503), at("a", 10, 15, 502)}, 2},
		// Begun before the change and answered after it: it may have passed before.
		"under way at the change":       {[]answer{at("a", 0, 5, 200), at("a", 10, 40, 200), at("b", 20, 25, 200), at("b", 30, 35, 200)}, 1},
		"under way, of the new zone":    {[]answer{at("a", 0, 5, 200), at("b", 1, 30, 200), at("a", 10, 15, 200), at("b", 40, 45, 200)}, 1},
		"begun after the other one had": {[]answer{at("a", 0, 5, 200), at("b", 20, 25, 200), at("a", 26, 27, 200), at("b", 30, 35, 200)}, 3},
		"one slow answer":               {[]answer{at("b", 0, 100, 200), at("a", 10, 20, 200), at("a", 30, 40, 200)}, 1},
		"both":                          {both, 99},
	} {
		if got := changes(c.log); got != c.want {
			t.Errorf("%s: %d changes, want %d", name, got, c.want)
		}
	}
}

// TestChangesIsLeast compares with the least number found by trying every moment of every request.
func TestChangesIsLeast(t *testing.T) {
	state := uint32(1)
	random := func(n int) int { // a fixed sequence: a failure can be looked at again
		state = state*1664525 + 1013904223
		return int(state>>8) % n
	}
	for round := range 800 {
		var log []answer
		for range 1 + random(6) {
			start := random(12)
			log = append(log, at([]string{"a", "b"}[random(2)], start, start+random(6), 200))
		}
		if got, want := changes(log), leastChanges(log); got != want {
			t.Fatalf("round %d: %d changes, want %d: %v", round, got, want, log)
		}
	}
}

// leastChanges places every request at each of its milliseconds. Within one millisecond zones may change, so requests that share one
// cost nothing but what their order, best chosen, does.
func leastChanges(log []answer) int {
	best := 1 << 30
	places := make([]int, len(log))
	var place func(i int)
	place = func(i int) {
		if i == len(log) {
			best = min(best, cost(log, places))
			return
		}
		for ms := int(log[i].start / time.Millisecond); ms <= int(log[i].end/time.Millisecond); ms++ {
			places[i] = ms
			place(i + 1)
		}
	}
	place(0)
	return best
}

// cost is the least number of changes with every request at its place: by the zone that serves at the end of each millisecond.
func cost(log []answer, places []int) int {
	ends := map[string]int{"a": 0, "b": 0}
	for ms := range 20 {
		here := map[string]bool{}
		for i, p := range places {
			if p == ms {
				here[log[i].zone] = true
			}
		}
		a, b := ends["a"], ends["b"]
		switch {
		case here["a"] && here["b"]:
			ends["a"], ends["b"] = min(a+2, b+1), min(b+2, a+1)
		case here["a"]:
			ends["a"], ends["b"] = min(a, b+1), min(a+1, b+2)
		case here["b"]:
			ends["b"], ends["a"] = min(b, a+1), min(b+1, a+2)
		}
	}
	return min(ends["a"], ends["b"])
}

func TestOutages(t *testing.T) {
	ms := time.Millisecond
	log := []answer{at("a", 0, 10, 200), at("a", 15, 20, 503), at("b", 18, 19, 423), at("a", 75, 80, 200), at("b", 60, 70, 200)}
	for want, window := range map[time.Duration][2]time.Duration{60 * ms: {0, 100 * ms}, 120 * ms: {0, 200 * ms}, 10 * ms: {70 * ms, 90 * ms}, 5 * ms: {20 * ms, 25 * ms}} {
		if got := outages(log, window[0], window[1])[""]; got != want {
			t.Errorf("in %v: %v, want %v", window, got, want)
		}
	}
	other := at("a", 0, 1, 423)
	other.kind = "other"
	if got := outages(append(log, other), 0, 100*ms); got["other"] != 100*ms || got[""] != 60*ms {
		t.Errorf("by kind: %v", got)
	}
}

func TestProblems(t *testing.T) {
	wrote := func(a answer, id string) answer {
		a.id = id
		return a
	}
	log := []answer{wrote(at("a", 0, 5, 200), "1"), at("a", 10, 15, 423), wrote(at("b", 20, 25, 200), "2")}
	if wrong, writes := problems(log, 1, map[string]bool{"1": true, "2": true}); wrong != nil || writes != 2 {
		t.Errorf("nothing is wrong, but %q; %d writes", wrong, writes)
	}
	odd := at("a", 1, 2, 404)
	odd.trouble = "gone"
	wrong, _ := problems(append(log, odd), 0, map[string]bool{"2": true})
	for i, want := range []string{"two zones at once", "lost: a acknowledged 1", "a answered 404", "1 of 2 acknowledged"} {
		if len(wrong) != 4 || !strings.Contains(wrong[i], want) {
			t.Fatalf("problems %q, want %q", wrong, want)
		}
	}
}

func TestSpans(t *testing.T) {
	beats := []beat{{"b", "2", 30}, {"a", "1", 10}, {"b", "2", 40}, {"a", "1", 20}}
	if got := overlaps(spans(beats)); got != nil {
		t.Errorf("one after the other overlap: %v", got)
	}
	if got := overlaps(spans(append(beats, beat{"a", "1", 35}))); len(got) != 1 || got[0][0].run != "1" || got[0][1].run != "2" {
		t.Errorf("a beat in the other's time: %v", got)
	}
	if got := overlaps(spans(append(beats, beat{"a", "3", 15}))); got != nil {
		t.Errorf("a rolling update of one zone: %v", got)
	}
	if got := spans(beats); len(got) != 2 || got[0] != (span{"a", "1", 10, 20, 2}) {
		t.Errorf("spans %v", got)
	}
}
