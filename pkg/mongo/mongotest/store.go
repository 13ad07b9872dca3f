package mongotest

import (
	"bytes"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/bson/primitive"
)

// store holds every database. The server's mutex guards it: one command at a
// time sees and changes it, which makes each command atomic. Documents in it
// are never changed in place, so replies may be encoded outside the lock.
type store struct {
	dbs map[string]map[string]*collection
	// changes counts every change, for the snapshot file.
	changes uint64
	// auth counts changes of users and roles, for cached privileges.
	auth uint64
}

// collection keeps documents in insertion order; a removed one leaves a hole
// until holes are the half.
type collection struct {
	store   *store
	ns      namespace
	uuid    primitive.Binary
	entries []*entry
	holes   int
	byID    map[string]*entry
	indexes []index
}

type entry struct {
	doc bson.D // nil once removed
}

// index is a secondary index; only unique ones do anything.
type index struct {
	Name   string
	Key    bson.D
	Unique bool
	Raw    bson.D
}

// namespace is database and collection.
type namespace struct{ db, coll string }

func (n namespace) String() string { return n.db + "." + n.coll }

func newStore() *store { return &store{dbs: map[string]map[string]*collection{}} }

// find gives the collection, or nil.
func (s *store) find(ns namespace) *collection { return s.dbs[ns.db][ns.coll] }

// ensure gives the collection, made when missing.
func (s *store) ensure(ns namespace) *collection {
	if c := s.find(ns); c != nil {
		return c
	}
	if s.dbs[ns.db] == nil {
		s.dbs[ns.db] = map[string]*collection{}
	}
	c := &collection{store: s, ns: ns, uuid: newUUID(), byID: map[string]*entry{}}
	s.dbs[ns.db][ns.coll] = c
	s.touch(ns)
	return c
}

// drop removes a collection and tells whether it was there.
func (s *store) drop(ns namespace) bool {
	if s.find(ns) == nil {
		return false
	}
	delete(s.dbs[ns.db], ns.coll)
	if len(s.dbs[ns.db]) == 0 {
		delete(s.dbs, ns.db)
	}
	s.touch(ns)
	return true
}

func (s *store) touch(ns namespace) {
	s.changes++
	if ns.db == adminDB {
		s.auth++
	}
}

// names gives the collections of a database, sorted.
func (s *store) names(db string) []string {
	var out []string
	for n := range s.dbs[db] {
		out = append(out, n)
	}
	slices.Sort(out)
	return out
}

// selectEntries gives the entries that match, in insertion order, at most limit of
// them when limit is positive. An equality on _id is looked up, not scanned. A
// nil collection has none.
func (c *collection) selectEntries(filter bson.D, match predicate, limit int) []*entry {
	if c == nil {
		return nil
	}
	candidates := c.entries
	if id, ok := lookupField(filter, "_id"); ok {
		if ops, isOps := isOperators(id); isOps && len(ops) == 1 && ops[0].Key == "$eq" {
			id = ops[0].Value
		}
		if _, isOps := isOperators(id); !isOps && id != nil {
			candidates = nil
			if e := c.byID[indexKey(id)]; e != nil {
				candidates = []*entry{e}
			}
		}
	}
	var out []*entry
	for _, e := range candidates {
		if e.doc != nil && match(e.doc) {
			if out = append(out, e); len(out) == limit {
				break
			}
		}
	}
	return out
}

// insert adds a document, giving it an _id when it has none and putting _id
// first, as the server does.
func (c *collection) insert(doc bson.D) (bson.D, error) {
	doc = withID(doc)
	id := doc[0].Value
	switch id.(type) {
	case bson.A, primitive.Regex, primitive.Undefined:
		return nil, errf(codeInvalidIDField, "The '_id' value cannot be of type %s", typeName(id))
	}
	if err := checkStored(doc); err != nil {
		return nil, err
	}
	key := indexKey(id)
	if c.byID[key] != nil {
		return nil, duplicateKey(c.ns, "_id_", bson.D{{Key: "_id", Value: int32(1)}}, bson.A{id})
	}
	if err := c.checkUnique(doc, nil); err != nil {
		return nil, err
	}
	e := &entry{doc: doc}
	c.entries = append(c.entries, e)
	c.byID[key] = e
	c.store.touch(c.ns)
	return doc, nil
}

// replace puts a new document in an entry's place; _id is the same.
func (c *collection) replace(e *entry, doc bson.D) error {
	doc = withID(doc)
	if err := checkStored(doc); err != nil {
		return err
	}
	if err := c.checkUnique(doc, e); err != nil {
		return err
	}
	e.doc = doc
	c.store.touch(c.ns)
	return nil
}

func (c *collection) remove(e *entry) {
	id, _ := lookupField(e.doc, "_id")
	delete(c.byID, indexKey(id))
	e.doc = nil
	c.holes++
	if c.holes > 32 && c.holes > len(c.entries)/2 {
		c.entries = slices.DeleteFunc(slices.Clone(c.entries), func(e *entry) bool { return e.doc == nil })
		c.holes = 0
	}
	c.store.touch(c.ns)
}

func (c *collection) count() int {
	if c == nil {
		return 0
	}
	return len(c.entries) - c.holes
}

// docs gives all documents in insertion order.
func (c *collection) docs() []bson.D {
	if c == nil {
		return nil
	}
	out := make([]bson.D, 0, c.count())
	for _, e := range c.entries {
		if e.doc != nil {
			out = append(out, e.doc)
		}
	}
	return out
}

// get gives the document with an _id, or nil.
func (c *collection) get(id any) bson.D {
	if c == nil {
		return nil
	}
	if e := c.byID[indexKey(id)]; e != nil {
		return e.doc
	}
	return nil
}

// put inserts or replaces by _id; the server's own collections use it.
func (c *collection) put(doc bson.D) {
	doc = withID(doc)
	if e := c.byID[indexKey(doc[0].Value)]; e != nil {
		e.doc = doc
		c.store.touch(c.ns)
		return
	}
	e := &entry{doc: doc}
	c.entries = append(c.entries, e)
	c.byID[indexKey(doc[0].Value)] = e
	c.store.touch(c.ns)
}

// del removes by _id what is there.
func (c *collection) del(id any) {
	if c == nil {
		return
	}
	if e := c.byID[indexKey(id)]; e != nil {
		c.remove(e)
	}
}

func (c *collection) checkUnique(doc bson.D, self *entry) error {
	for _, ix := range c.indexes {
		if !ix.Unique {
			continue
		}
		values := keyValues(doc, ix.Key)
		for _, e := range c.entries {
			if e != self && e.doc != nil && compareArrays(keyValues(e.doc, ix.Key), values) == 0 {
				return duplicateKey(c.ns, ix.Name, ix.Key, values)
			}
		}
	}
	return nil
}

func keyValues(doc, key bson.D) bson.A {
	var out bson.A
	for _, k := range key {
		out = append(out, sortValue(doc, k.Key, false))
	}
	return out
}

// duplicateError carries what the text of E11000 is made of: its form differs
// by dialect, which the store does not know.
type duplicateError struct {
	ns     namespace
	index  string
	key    bson.D
	values bson.A
}

func duplicateKey(ns namespace, index string, key bson.D, values bson.A) error {
	return &duplicateError{ns: ns, index: index, key: key, values: values}
}

// Error gives the text of 4.0.
func (e *duplicateError) Error() string { return e.text(Dialect40) }

func (e *duplicateError) text(d Dialect) string {
	var parts []string
	for i, v := range e.values {
		name := e.key[i].Key
		if d == Dialect40 {
			name = ""
		}
		parts = append(parts, name+": "+describe(v))
	}
	return "E11000 duplicate key error collection: " + e.ns.String() + " index: " + e.index +
		" dup key: { " + strings.Join(parts, ", ") + " }"
}

// withID gives doc with _id first, adding an ObjectID when there is none.
func withID(doc bson.D) bson.D {
	if len(doc) > 0 && doc[0].Key == "_id" {
		return doc
	}
	id, ok := lookupField(doc, "_id")
	if !ok {
		id = primitive.NewObjectID()
	}
	out := bson.D{{Key: "_id", Value: id}}
	for _, e := range doc {
		if e.Key != "_id" {
			out = append(out, e)
		}
	}
	return out
}

// checkStored refuses what the server would not store: too large, too deep.
func checkStored(doc bson.D) error {
	if depth(doc, 1) > maxDepth {
		return errf(15, "Document exceeds maximum nesting depth of %d", maxDepth)
	}
	raw, err := bson.Marshal(doc)
	if err != nil {
		return errf(codeBadValue, "%v", err)
	}
	if len(raw) > maxDocument {
		return errf(codeBSONObjectTooLarge, "BSONObj size: %d is invalid. Size must be between 0 and 16793600(16MB)", len(raw))
	}
	return nil
}

func depth(v any, level int) int {
	deepest := level
	if level > maxDepth {
		return level
	}
	switch x := v.(type) {
	case bson.D:
		for _, e := range x {
			deepest = max(deepest, depth(e.Value, level+1))
		}
	case bson.A:
		for _, e := range x {
			deepest = max(deepest, depth(e, level+1))
		}
	}
	return deepest
}

// sameDocument tells whether two documents have the same bytes.
func sameDocument(a, b bson.D) bool {
	ra, errA := bson.Marshal(a)
	rb, errB := bson.Marshal(b)
	return errA == nil && errB == nil && bytes.Equal(ra, rb)
}
