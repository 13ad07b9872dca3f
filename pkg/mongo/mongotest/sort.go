package mongotest

import (
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/bson"
)

const (
	maxSortKeys        = 32 // the server's limit too
	maxProjectionPaths = 1000
)

func splitPath(p string) []string { return strings.Split(p, ".") }

// sortDocs sorts in place by a sort document; equal documents keep their order.
func sortDocs(docs []bson.D, spec bson.D) error {
	if len(spec) > maxSortKeys {
		return errf(13103, "too many compound keys")
	}
	for _, e := range spec {
		if f := asFloat(e.Value); f != 1 && f != -1 {
			return errf(codeBadValue, "bad sort specification: %s", describe(spec))
		}
	}
	if len(spec) == 0 {
		return nil
	}
	slices.SortStableFunc(docs, func(a, b bson.D) int {
		for _, e := range spec {
			descending := asFloat(e.Value) < 0
			c := compareValues(sortValue(a, e.Key, descending), sortValue(b, e.Key, descending))
			if descending {
				c = -c
			}
			if c != 0 {
				return c
			}
		}
		return 0
	})
	return nil
}

// sortValue is what a document sorts by: of an array the least element, or the
// greatest when descending; a missing field sorts as null.
func sortValue(doc bson.D, key string, descending bool) any {
	var best any
	found := false
	visit(doc, splitPath(key), true, func(v any) bool {
		if _, array := v.(bson.A); array && found {
			return true // its elements were already seen
		}
		if (v == absent{}) {
			v = nil
		}
		if !found || (compareValues(v, best) < 0) != descending {
			best, found = v, true
		}
		return true
	})
	return best
}

// projection is a compiled projection of inclusion or exclusion.
type projection struct {
	include bool
	noID    bool
	paths   [][]string
}

// compileProjection takes {a: 1, "b.c": 1, _id: 0} and {a: 0}; expressions and
// array operators are refused.
func compileProjection(spec bson.D) (*projection, error) {
	if len(spec) > maxProjectionPaths {
		return nil, notImplemented("a projection of more than %d fields", maxProjectionPaths)
	}
	p := &projection{}
	decided := false
	for _, e := range spec {
		if _, ok := e.Value.(bool); !ok && !isNumber(e.Value) {
			return nil, notImplemented("projection %s", describe(bson.D{e}))
		}
		if strings.Contains(e.Key, "$") {
			return nil, notImplemented("projection %s", e.Key)
		}
		on := truthy(e.Value)
		if e.Key == "_id" {
			p.noID = !on
			if on && !decided {
				p.include = true
			}
			continue
		}
		if decided && on != p.include {
			return nil, errf(codeBadValue, "Projection cannot have a mix of inclusion and exclusion.")
		}
		p.include, decided = on, true
		p.paths = append(p.paths, splitPath(e.Key))
	}
	if len(spec) == 0 {
		return nil, nil
	}
	if !decided && p.noID {
		p.include = false
	}
	return p, nil
}

// apply gives the projected document; nil projects nothing away.
func (p *projection) apply(doc bson.D) bson.D {
	if p == nil {
		return doc
	}
	out := bson.D{}
	for _, e := range doc {
		if e.Key == "_id" {
			if !p.noID {
				out = append(out, e)
			}
			continue
		}
		if v, keep := p.field(e.Value, tails(p.paths, e.Key)); keep {
			out = append(out, bson.E{Key: e.Key, Value: v})
		}
	}
	return out
}

// tails gives what is left of the paths that begin with key.
func tails(paths [][]string, key string) [][]string {
	var out [][]string
	for _, path := range paths {
		if path[0] == key {
			out = append(out, path[1:])
		}
	}
	return out
}

func (p *projection) field(v any, paths [][]string) (any, bool) {
	if len(paths) == 0 {
		return v, !p.include
	}
	for _, path := range paths {
		if len(path) == 0 {
			return v, p.include
		}
	}
	switch x := v.(type) {
	case bson.D:
		out := bson.D{}
		for _, e := range x {
			if child, keep := p.field(e.Value, tails(paths, e.Key)); keep {
				out = append(out, bson.E{Key: e.Key, Value: child})
			}
		}
		return out, true
	case bson.A:
		out := bson.A{}
		for _, e := range x {
			if child, keep := p.field(e, paths); keep {
				out = append(out, child)
			}
		}
		return out, true
	}
	return v, !p.include
}
