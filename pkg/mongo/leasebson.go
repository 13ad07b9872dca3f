package mongo

import (
	"time"

	"go.mongodb.org/mongo-driver/bson"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/lease"
)

// leaseDocument is lease.Document as the database keeps it. Open is an ordered document: its exact match depends on the order.
type leaseDocument struct {
	Epoch     int64
	Holder    string
	Nonce     string
	Open      bson.D
	Closing   bool
	Successor *string
	Override  bool
	Basis     map[string]int64
	Released  bool
	Term      leaseTerm
	Pin       leasePin
}

// leaseTerm holds the constants in milliseconds, for whoever reads the document in a shell.
type leaseTerm struct {
	T   int64   `bson:"T"`
	R   int64   `bson:"R"`
	P   int64   `bson:"P"`
	C   int64   `bson:"C"`
	J   int64   `bson:"J"`
	D   int64   `bson:"D"`
	Rho float64 `bson:"rho"`
}

func (d leaseDocument) document() lease.Document {
	doc := lease.Document{
		Epoch: d.Epoch, Holder: d.Holder, Nonce: d.Nonce, Closing: d.Closing, Override: d.Override, Basis: d.Basis, Released: d.Released,
		Pinned: d.Pin.On, Open: make(lease.Open, 0, len(d.Open)), Term: d.Term.term(),
	}
	for _, e := range d.Open {
		nonce, _ := e.Value.(string)
		doc.Open = append(doc.Open, lease.Entry{ID: e.Key, Nonce: nonce})
	}
	if d.Successor != nil {
		doc.Successor = *d.Successor
	}
	return doc
}

func (t leaseTerm) term() lease.Term {
	ms := func(n int64) time.Duration { return time.Duration(n) * time.Millisecond }
	return lease.Term{T: ms(t.T), R: ms(t.R), P: ms(t.P), C: ms(t.C), J: ms(t.J), D: ms(t.D), Rho: t.Rho}
}

func termBSON(t lease.Term) leaseTerm {
	return leaseTerm{
		T: t.T.Milliseconds(), R: t.R.Milliseconds(), P: t.P.Milliseconds(), C: t.C.Milliseconds(), J: t.J.Milliseconds(),
		D: t.D.Milliseconds(), Rho: t.Rho,
	}
}

func openBSON(open lease.Open) bson.D {
	d := make(bson.D, len(open))
	for i, e := range open {
		d[i] = bson.E{Key: e.ID, Value: e.Nonce}
	}
	return d
}

func (s *LeaseStore) filterOf(m lease.Match) bson.D {
	f := bson.D{{Key: "_id", Value: s.environment}, {Key: "epoch", Value: m.Epoch}}
	f = field(f, "holder", m.Holder)
	f = field(f, "nonce", m.Nonce)
	f = field(f, "closing", m.Closing)
	f = field(f, "released", m.Released)
	if m.Pinned != nil {
		f = append(f, pinIs(*m.Pinned))
	}
	if m.Open != nil {
		f = append(f, bson.E{Key: "open", Value: openBSON(*m.Open)})
	}
	if m.Entry != nil {
		f = append(f, bson.E{Key: "open." + m.Entry.ID, Value: m.Entry.Nonce})
	}
	return f
}

func updateOf(c lease.Change) bson.D {
	set, unset := fieldsOf(c), bson.D{}
	if c.Put != nil {
		set = append(set, bson.E{Key: "open." + c.Put.ID, Value: c.Put.Nonce})
	}
	for _, id := range c.Drop {
		unset = append(unset, bson.E{Key: "open." + id, Value: ""})
	}
	update := bson.D{}
	if len(set) > 0 {
		update = append(update, bson.E{Key: "$set", Value: set})
	}
	if len(unset) > 0 {
		update = append(update, bson.E{Key: "$unset", Value: unset})
	}
	return update
}

// fieldsOf returns the whole fields that c sets.
func fieldsOf(c lease.Change) bson.D {
	var d bson.D
	d = field(d, "epoch", c.Epoch)
	d = field(d, "holder", c.Holder)
	d = field(d, "nonce", c.Nonce)
	if c.Open != nil {
		d = append(d, bson.E{Key: "open", Value: openBSON(*c.Open)})
	}
	d = field(d, "closing", c.Closing)
	if c.Successor != nil && *c.Successor == "" {
		d = append(d, bson.E{Key: "successor", Value: nil})
	} else {
		d = field(d, "successor", c.Successor)
	}
	d = field(d, "override", c.Override)
	d = field(d, "basis", c.Basis)
	d = field(d, "released", c.Released)
	if c.Term != nil {
		d = append(d, bson.E{Key: "term", Value: termBSON(*c.Term)})
	}
	return d
}

func field[V any](d bson.D, name string, value *V) bson.D {
	if value == nil {
		return d
	}
	return append(d, bson.E{Key: name, Value: *value})
}

// intentRecord is what the lease, and those who watch it, need of a zone's record.
type intentRecord struct {
	Zone      string
	PointsAt  string `bson:"pointsAt"`
	Seq       int64
	Confirmed int64
	Resolvers []Sighting
}

func leaseRecords(from []intentRecord) []lease.Record {
	records := make([]lease.Record, len(from))
	for i, r := range from {
		records[i] = lease.Record{Zone: r.Zone, PointsAt: r.PointsAt, Seq: r.Seq, Confirmed: r.Confirmed}
	}
	return records
}

func sightingsByZone(from []intentRecord) map[string][]Sighting {
	seen := map[string][]Sighting{}
	for _, r := range from {
		seen[r.Zone] = r.Resolvers
	}
	return seen
}
