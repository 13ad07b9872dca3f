package lease

import "slices"

// Entry is one replica that may be open: its id and the nonce of its last renewal.
type Entry struct {
	ID    string
	Nonce string
}

// Open is the document's field of that name, in the order in which the database keeps it: an exact match is order-sensitive.
type Open []Entry

// Nonce returns the nonce under id, "" when id is not there.
func (o Open) Nonce(id string) string {
	for _, e := range o {
		if e.ID == id {
			return e.Nonce
		}
	}
	return ""
}

// Without returns o without the given ids.
func (o Open) Without(ids ...string) Open {
	return slices.DeleteFunc(slices.Clone(o), func(e Entry) bool { return slices.Contains(ids, e.ID) })
}

func (o Open) with(e Entry) Open {
	o = slices.Clone(o)
	for i := range o {
		if o[i].ID == e.ID {
			o[i] = e
			return o
		}
	}
	return append(o, e)
}

// Document is the lease of one environment.
type Document struct {
	Epoch     int64  // strictly increases; one holder an epoch
	Holder    string // zone key; "" before the first claim
	Nonce     string // changed by renewals, claims, handovers and releases, and by nothing else
	Open      Open
	Closing   bool             // the holder is on its way out; never undone within an epoch
	Successor string           // zone ordered to take over when closing ends; "" lets the intents decide
	Override  bool             // the holder was ordered; it counts as intended while Basis stands
	Basis     map[string]int64 // every zone's intent seq when the order was given
	Released  bool             // nobody is open; anyone intended may claim without waiting
	Term      Term
	// Pinned says that an operator froze automatic moves: nobody closes by intent, and only the holder's own zone or an ordered successor
	// claims. It is set and cleared outside the protocol's writes, outlives epochs, and keeps no gate open.
	Pinned bool
}

// pinnedTo returns the zone that the lease is pinned to, "" when it is free. A pin on a lease that nobody ever held binds nothing.
func (d *Document) pinnedTo() string {
	if d.Pinned {
		return d.Holder
	}
	return ""
}

// Kind names what a write is for.
type Kind string

// The writes of the protocol.
const (
	Renew   Kind = "renew"
	Claim   Kind = "claim"
	Close   Kind = "close"
	TakeOut Kind = "take-out"
	Reap    Kind = "reap"
	Appoint Kind = "appoint"
)

// Match is what the document must still say for a write to apply. A nil field matches anything. Each is chosen so that a request
// which arrives long after its sender gave up matches nothing.
type Match struct {
	Epoch    int64 // always matched
	Holder   *string
	Nonce    *string
	Closing  *bool
	Released *bool
	Open     *Open  // exactly, order included
	Entry    *Entry // this entry of Open, exactly
	Pinned   *bool
}

// Change is what a write sets. A nil field stays as it is. Open replaces the field; Put and Drop touch single entries of it.
type Change struct {
	Epoch     *int64
	Holder    *string
	Nonce     *string
	Open      *Open
	Put       *Entry
	Drop      []string
	Closing   *bool
	Successor *string
	Override  *bool
	Basis     *map[string]int64
	Released  *bool
	Term      *Term
}

// Write is one atomic conditional update of the document.
type Write struct {
	Kind   Kind
	Match  Match
	Change Change
}

// Apply returns the document after w and true, or doc unchanged and false where w does not match. It defines what a store must do.
func (w Write) Apply(doc Document) (Document, bool) {
	if !w.Match.holds(doc) {
		return doc, false
	}
	c := w.Change
	set(&doc.Epoch, c.Epoch)
	set(&doc.Holder, c.Holder)
	set(&doc.Nonce, c.Nonce)
	set(&doc.Open, c.Open)
	set(&doc.Closing, c.Closing)
	set(&doc.Successor, c.Successor)
	set(&doc.Override, c.Override)
	set(&doc.Basis, c.Basis)
	set(&doc.Released, c.Released)
	set(&doc.Term, c.Term)
	if len(c.Drop) > 0 {
		doc.Open = doc.Open.Without(c.Drop...)
	}
	if c.Put != nil {
		doc.Open = doc.Open.with(*c.Put)
	}
	return doc, true
}

func (m Match) holds(doc Document) bool {
	return m.Epoch == doc.Epoch &&
		same(m.Holder, doc.Holder) && same(m.Nonce, doc.Nonce) && same(m.Pinned, doc.Pinned) && same(m.Closing, doc.Closing) && same(m.Released, doc.Released) &&
		(m.Open == nil || slices.Equal(*m.Open, doc.Open)) &&
		(m.Entry == nil || doc.Open.Nonce(m.Entry.ID) == m.Entry.Nonce)
}

func same[V comparable](want *V, have V) bool { return want == nil || *want == have }

func set[V any](field *V, value *V) {
	if value != nil {
		*field = *value
	}
}
