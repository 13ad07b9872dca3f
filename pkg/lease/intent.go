package lease

import (
	"slices"
	"time"
)

// Record is one zone's stated intent, as its auto-maintenance job wrote it.
type Record struct {
	Zone      string
	PointsAt  string // zone key that the global endpoint led to; "" when never known
	Seq       int64  // counts changes of PointsAt; never goes back
	Confirmed int64  // counts confirmations of PointsAt, a change among them
}

// intents remembers the zones' records and when, on this machine's monotonic clock, each was last seen to be confirmed.
type intents struct {
	known []intent
	at    time.Duration // receipt of the latest reading
}

type intent struct {
	Record
	since     time.Duration // watched without a gap since then
	confirmed time.Duration // receipt of the reading that showed the latest confirmation, while fresh is set
	fresh     bool          // a confirmation was seen to happen
}

// observe takes a whole reading of the records, received at now. The first sight of a record confirms nothing, for it may be old; nor
// does a change found after longer than dwell without a reading, for it may be as old as that.
func (i *intents) observe(now, dwell time.Duration, records []Record) {
	gap := now-i.at > dwell
	i.at = now
	for _, r := range records {
		k := i.of(r.Zone)
		switch {
		case k == nil:
			i.known = append(i.known, intent{Record: r, since: now})
			continue
		case gap:
			k.since, k.fresh = now, false
		case k.Confirmed != r.Confirmed:
			k.confirmed, k.fresh = now, true
		case k.PointsAt != r.PointsAt:
			k.fresh = false // what was confirmed was another intent
		}
		k.Record = r
	}
	if len(records) < len(i.known) {
		i.known = slices.DeleteFunc(i.known, func(k intent) bool {
			return !slices.ContainsFunc(records, func(r Record) bool { return r.Zone == k.Zone })
		})
	}
}

// of returns what is known of zone's record, nil for nothing.
func (i *intents) of(zone string) *intent {
	for n := range i.known {
		if i.known[n].Zone == zone {
			return &i.known[n]
		}
	}
	return nil
}

// pointsAt returns the zone that zone's own record names, "" when it names none.
func (i *intents) pointsAt(zone string) string {
	if k := i.of(zone); k != nil {
		return k.PointsAt
	}
	return ""
}

// selfRecorded tells whether zone freshly says of itself that the global record points at it.
func (i *intents) selfRecorded(zone string, now, dwell time.Duration) bool {
	k := i.of(zone)
	return k != nil && k.PointsAt == zone && k.fresh && now-k.confirmed <= dwell
}

// otherSelfRecorded tells whether any zone but this one does.
func (i *intents) otherSelfRecorded(zone string, now, dwell time.Duration) bool {
	for n := range i.known {
		if z := i.known[n].Zone; z != zone && i.selfRecorded(z, now, dwell) {
			return true
		}
	}
	return false
}

// denied tells whether zone surely does not freshly record itself: its record names another zone or none, or it was watched for longer
// than dwell and not confirmed. A replica that just booted has not watched long enough to say so of a record that names the zone.
func (i *intents) denied(zone string, now, dwell time.Duration) bool {
	k := i.of(zone)
	if k == nil || k.PointsAt != zone {
		return true
	}
	last := k.since
	if k.fresh {
		last = max(last, k.confirmed)
	}
	return now-last > dwell
}

// overrideStands tells whether an operator's order still makes doc's holder the intended zone: until the holder's own intent changes,
// or another zone records itself with a counter that the order did not know. Counters are compared by size, for a reading of the
// records may be older than the order.
func (i *intents) overrideStands(doc *Document) bool {
	if !doc.Override {
		return false
	}
	for n := range i.known {
		r := &i.known[n]
		if (r.Zone == doc.Holder || r.PointsAt == r.Zone) && r.Seq > doc.Basis[r.Zone] {
			return false
		}
	}
	return true
}
