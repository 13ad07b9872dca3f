package lease

import "time"

// Record is one zone's stated intent, as its auto-maintenance job wrote it.
type Record struct {
	Zone      string
	PointsAt  string // zone key that the global endpoint led to; "" when never known
	Seq       int64  // counts changes of PointsAt
	Confirmed int64  // counts confirmations of PointsAt
}

// intents remembers the zones' records and when, on this machine's monotonic clock, each was last seen to be confirmed.
type intents struct {
	records   map[string]Record
	confirmed map[string]time.Duration // absent: never seen to change
}

// observe takes a whole reading of the records, received at now. The first sight of a record confirms nothing: it may be old.
func (i *intents) observe(now time.Duration, records []Record) {
	if i.records == nil {
		i.records, i.confirmed = map[string]Record{}, map[string]time.Duration{}
	}
	for _, r := range records {
		if before, known := i.records[r.Zone]; known && before.Confirmed != r.Confirmed {
			i.confirmed[r.Zone] = now
		}
		i.records[r.Zone] = r
	}
}

// selfRecorded tells whether zone freshly says of itself that the global record points at it.
func (i *intents) selfRecorded(zone string, now, dwell time.Duration) bool {
	at, seen := i.confirmed[zone]
	return seen && now-at <= dwell && i.records[zone].PointsAt == zone
}

// otherSelfRecorded tells whether any zone but this one does.
func (i *intents) otherSelfRecorded(zone string, now, dwell time.Duration) bool {
	for z := range i.records {
		if z != zone && i.selfRecorded(z, now, dwell) {
			return true
		}
	}
	return false
}

// overrideStands tells whether an operator's order still makes doc's holder the intended zone: until the holder's own intent changes,
// or another zone records itself with a counter that the order did not know.
func (i *intents) overrideStands(doc Document) bool {
	if !doc.Override || i.records[doc.Holder].Seq != doc.Basis[doc.Holder] {
		return false
	}
	for z, r := range i.records {
		if z != doc.Holder && r.PointsAt == z && r.Seq != doc.Basis[z] {
			return false
		}
	}
	return true
}
