package lease

import (
	"testing"
	"time"
)

func TestIntentFreshness(t *testing.T) {
	const dwell = 15 * time.Second
	s := time.Second
	type reading struct {
		at time.Duration
		r  Record
	}
	for _, c := range []struct {
		name     string
		readings []reading
		at       time.Duration
		fresh    bool // a freshly records itself
		denied   bool // a surely does not
	}{
		{"never seen", nil, 10 * s, false, true},
		{"first sight proves nothing either way", []reading{{1 * s, Record{"a", "a", 1, 7}}}, 2 * s, false, false},
		{"confirmed while watched", []reading{{1 * s, Record{"a", "a", 1, 7}}, {2 * s, Record{"a", "a", 1, 8}}}, 3 * s, true, false},
		{"confirmed just within the dwell", []reading{{1 * s, Record{"a", "a", 1, 7}}, {2 * s, Record{"a", "a", 1, 8}}}, 17 * s, true, false},
		{"confirmed too long ago", []reading{{1 * s, Record{"a", "a", 1, 7}}, {2 * s, Record{"a", "a", 1, 8}}}, 17*s + 1, false, true},
		{"watched for the dwell, never confirmed", []reading{{1 * s, Record{"a", "a", 1, 7}}, {9 * s, Record{"a", "a", 1, 7}}}, 16*s + 1, false, true},
		{"names another", []reading{{1 * s, Record{"a", "a", 1, 7}}, {2 * s, Record{"a", "b", 2, 8}}}, 3 * s, false, true},
		{"a change counts as a confirmation", []reading{{1 * s, Record{"a", "b", 1, 7}}, {2 * s, Record{"a", "a", 2, 8}}}, 3 * s, true, false},
		{"an unconfirmed change takes the freshness of the former intent away",
			[]reading{{1 * s, Record{"a", "b", 1, 7}}, {2 * s, Record{"a", "b", 1, 8}}, {3 * s, Record{"a", "a", 2, 8}}}, 4 * s, false, false},
		{"a change found after a gap may be as old as the gap", []reading{{1 * s, Record{"a", "a", 1, 7}}, {17 * s, Record{"a", "a", 1, 9}}}, 18 * s, false, false},
		{"and is trusted again when confirmed once more",
			[]reading{{1 * s, Record{"a", "a", 1, 7}}, {17 * s, Record{"a", "a", 1, 9}}, {18 * s, Record{"a", "a", 1, 10}}}, 19 * s, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			var i intents
			i.observe(0, dwell, nil)
			for _, r := range c.readings {
				i.observe(r.at, dwell, []Record{r.r})
			}
			if got := i.selfRecorded("a", c.at, dwell); got != c.fresh {
				t.Errorf("freshly self-recorded: %v, want %v", got, c.fresh)
			}
			if got := i.denied("a", c.at, dwell); got != c.denied {
				t.Errorf("denied: %v, want %v", got, c.denied)
			}
			if got := i.otherSelfRecorded("b", c.at, dwell); got != c.fresh {
				t.Errorf("another than b freshly self-recorded: %v, want %v", got, c.fresh)
			}
			if i.otherSelfRecorded("a", c.at, dwell) {
				t.Error("a is another than a")
			}
		})
	}
}

func TestIntentsForgetZonesThatAreGone(t *testing.T) {
	var i intents
	i.observe(0, time.Second, []Record{{"a", "a", 1, 1}, {"b", "b", 1, 1}})
	i.observe(1, time.Second, []Record{{"a", "a", 1, 1}})
	if i.of("b") != nil || i.of("a") == nil {
		t.Errorf("known: %+v", i.known)
	}
}

func TestOverrideStands(t *testing.T) {
	ordered := Document{Epoch: 2, Holder: "b", Override: true, Basis: map[string]int64{"a": 4, "b": 7, "c": 2}}
	for _, c := range []struct {
		name    string
		doc     Document
		records []Record
		want    bool
	}{
		{"nothing changed since the order", ordered, []Record{{"a", "a", 4, 1}, {"b", "a", 7, 1}, {"c", "c", 2, 1}}, true},
		{"no order", Document{Epoch: 2, Holder: "b"}, nil, false},
		{"the holder's own intent changed", ordered, []Record{{"b", "b", 8, 1}}, false},
		{"the holder's own intent changed to another zone", ordered, []Record{{"b", "a", 8, 1}}, false},
		{"another zone records itself anew", ordered, []Record{{"c", "c", 3, 1}}, false},
		{"another zone's change names the holder", ordered, []Record{{"a", "b", 5, 1}}, true},
		{"another zone's change names a third", ordered, []Record{{"a", "c", 5, 1}}, true},
		{"a zone that the order did not know records itself", ordered, []Record{{"d", "d", 1, 1}}, false},
		{"a zone that the order did not know records the holder", ordered, []Record{{"d", "b", 1, 1}}, true},
		{"records read before the order", ordered, []Record{{"a", "a", 3, 1}, {"b", "a", 6, 1}}, true},
		{"no records", ordered, nil, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			var i intents
			i.observe(0, time.Second, c.records)
			if got := i.overrideStands(&c.doc); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}
