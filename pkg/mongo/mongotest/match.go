package mongotest

import (
	"strconv"
	"strings"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/bson/primitive"
)

// absent stands for "no such field" among the values at a path.
type absent struct{}

// predicate decides over one document.
type predicate func(doc bson.D) bool

// compileFilter turns a query document into a predicate, or refuses it with
// the server's error, or with NotImplemented for operators left out.
func compileFilter(filter bson.D) (predicate, error) {
	clauses := maxClauses
	if !countClauses(filter, &clauses) {
		return nil, notImplemented("a filter of more than %d clauses", maxClauses)
	}
	return compileAllOf(filter)
}

// countClauses tells whether a filter's parts, but the lists of $in, are within
// a number.
func countClauses(v any, left *int) bool {
	*left--
	switch x := v.(type) {
	case bson.D:
		for _, e := range x {
			if e.Key != "$in" && e.Key != "$nin" && !countClauses(e.Value, left) {
				return false
			}
		}
	case bson.A:
		for _, e := range x {
			if !countClauses(e, left) {
				return false
			}
		}
	}
	return *left >= 0
}

func compileAllOf(filter bson.D) (predicate, error) {
	var all []predicate
	for _, e := range filter {
		p, err := compileElement(e)
		if err != nil {
			return nil, err
		}
		if p != nil {
			all = append(all, p)
		}
	}
	return func(doc bson.D) bool {
		for _, p := range all {
			if !p(doc) {
				return false
			}
		}
		return true
	}, nil
}

func compileElement(e bson.E) (predicate, error) {
	switch e.Key {
	case "$and", "$or", "$nor":
		return compileLogical(e)
	case "$comment":
		return nil, nil
	}
	if strings.HasPrefix(e.Key, "$") {
		if e.Key == "$expr" || e.Key == "$where" || e.Key == "$text" || e.Key == "$jsonSchema" {
			return nil, notImplemented("query operator %s", e.Key)
		}
		return nil, errf(codeBadValue, "unknown top level operator: %s", e.Key)
	}
	path := strings.Split(e.Key, ".")
	test, err := compileCondition(e.Value)
	if err != nil {
		return nil, err
	}
	return func(doc bson.D) bool { return test(doc, path) }, nil
}

func compileLogical(e bson.E) (predicate, error) {
	list, ok := e.Value.(bson.A)
	if !ok {
		return nil, errf(codeBadValue, "%s must be an array", e.Key)
	}
	if len(list) == 0 {
		return nil, errf(codeBadValue, "$and/$or/$nor must be a nonempty array")
	}
	var parts []predicate
	for _, v := range list {
		d, ok := v.(bson.D)
		if !ok {
			return nil, errf(codeBadValue, "$or/$and/$nor entries need to be full objects")
		}
		p, err := compileAllOf(d)
		if err != nil {
			return nil, err
		}
		parts = append(parts, p)
	}
	want := e.Key == "$and"
	return func(doc bson.D) bool {
		for _, p := range parts {
			// $and ends at the first false one, $or and $nor at the first true one.
			if p(doc) != want {
				return e.Key == "$or"
			}
		}
		return e.Key != "$or"
	}, nil
}

// pathTest decides over the values at a path.
type pathTest func(doc bson.D, path []string) bool

// isOperators tells {$gt: 1} from an embedded document to equal.
func isOperators(v any) (bson.D, bool) {
	d, ok := v.(bson.D)
	return d, ok && len(d) > 0 && strings.HasPrefix(d[0].Key, "$") &&
		d[0].Key != "$ref" && d[0].Key != "$id" && d[0].Key != "$db"
}

func compileCondition(v any) (pathTest, error) {
	ops, ok := isOperators(v)
	if !ok {
		if _, regex := v.(primitive.Regex); regex {
			return nil, notImplemented("a regular expression in a filter")
		}
		return anyValue(equals(v)), nil
	}
	var tests []pathTest
	for _, op := range ops {
		t, err := compileOperator(op)
		if err != nil {
			return nil, err
		}
		tests = append(tests, t)
	}
	return func(doc bson.D, path []string) bool {
		for _, t := range tests {
			if !t(doc, path) {
				return false
			}
		}
		return true
	}, nil
}

func compileOperator(op bson.E) (pathTest, error) {
	switch op.Key {
	case "$eq":
		return anyValue(equals(op.Value)), nil
	case "$ne":
		return none(anyValue(equals(op.Value))), nil
	case "$gt", "$gte", "$lt", "$lte":
		return anyValue(ordered(op.Key, op.Value)), nil
	case "$in", "$nin":
		test, err := compileIn(op)
		if err != nil || op.Key == "$in" {
			return test, err
		}
		return none(test), nil
	case "$exists":
		want := truthy(op.Value)
		return func(doc bson.D, path []string) bool {
			return anyValue(func(v any) bool { return v != absent{} })(doc, path) == want
		}, nil
	case "$not":
		if _, ok := isOperators(op.Value); !ok {
			return nil, errf(codeBadValue, "$not needs a regex or a document")
		}
		test, err := compileCondition(op.Value)
		if err != nil {
			return nil, err
		}
		return none(test), nil
	case "$elemMatch":
		return compileElemMatch(op.Value)
	case "$size":
		n := asFloat(op.Value)
		return wholeArray(func(a bson.A) bool { return float64(len(a)) == n }), nil
	case "$all":
		return compileAll(op.Value)
	case "$type", "$mod", "$regex", "$options", "$bitsAllSet", "$bitsAnySet", "$geoWithin", "$near", "$nearSphere", "$geoIntersects":
		return nil, notImplemented("query operator %s", op.Key)
	}
	return nil, errf(codeBadValue, "unknown operator: %s", op.Key)
}

func compileIn(op bson.E) (pathTest, error) {
	list, ok := op.Value.(bson.A)
	if !ok {
		return nil, errf(codeBadValue, "%s needs an array", op.Key)
	}
	members := make(map[string]bool, len(list))
	for _, v := range list {
		if _, regex := v.(primitive.Regex); regex {
			return nil, notImplemented("a regular expression in %s", op.Key)
		}
		members[indexKey(v)] = true
	}
	return anyValue(func(v any) bool {
		if (v == absent{}) {
			v = nil
		}
		return members[indexKey(v)]
	}), nil
}

func compileAll(v any) (pathTest, error) {
	list, ok := v.(bson.A)
	if !ok {
		return nil, errf(codeBadValue, "$all needs an array")
	}
	return func(doc bson.D, path []string) bool {
		for _, want := range list {
			if !anyValue(equals(want))(doc, path) {
				return false
			}
		}
		return len(list) > 0
	}, nil
}

// compileElemMatch takes both forms: operators on the element, or a filter on
// elements that are documents.
func compileElemMatch(v any) (pathTest, error) {
	d, ok := v.(bson.D)
	if !ok {
		return nil, errf(codeBadValue, "$elemMatch needs an Object")
	}
	if ops, ok := isOperators(d); ok && ops[0].Key != "$and" && ops[0].Key != "$or" && ops[0].Key != "$nor" {
		test, err := compileCondition(ops)
		if err != nil {
			return nil, err
		}
		return anyElement(func(e any) bool { return test(bson.D{{Key: "e", Value: e}}, []string{"e"}) }), nil
	}
	p, err := compileAllOf(d)
	if err != nil {
		return nil, err
	}
	return anyElement(func(e any) bool {
		doc, ok := e.(bson.D)
		return ok && p(doc)
	}), nil
}

func anyElement(test func(any) bool) pathTest {
	return wholeArray(func(a bson.A) bool {
		for _, e := range a {
			if test(e) {
				return true
			}
		}
		return false
	})
}

func wholeArray(test func(bson.A) bool) pathTest {
	return func(doc bson.D, path []string) bool {
		found := false
		visit(doc, path, false, func(v any) bool {
			if a, ok := v.(bson.A); ok && test(a) {
				found = true
			}
			return !found
		})
		return found
	}
}

// anyValue holds when one of the values at the path does.
func anyValue(test func(any) bool) pathTest {
	return func(doc bson.D, path []string) bool {
		found := false
		visit(doc, path, true, func(v any) bool {
			found = test(v)
			return !found
		})
		return found
	}
}

func none(t pathTest) pathTest {
	return func(doc bson.D, path []string) bool { return !t(doc, path) }
}

// visit calls f with every value at path until f returns false: the value
// itself and, with expand, each element when it is an array; arrays on the way
// are walked through; absent{} where the field is missing.
func visit(v any, path []string, expand bool, f func(any) bool) bool {
	if len(path) == 0 {
		if a, ok := v.(bson.A); ok && expand {
			for _, e := range a {
				if !f(e) {
					return false
				}
			}
		}
		return f(v)
	}
	switch x := v.(type) {
	case bson.D:
		child, ok := lookupField(x, path[0])
		if !ok {
			return f(absent{})
		}
		return visit(child, path[1:], expand, f)
	case bson.A:
		if i, err := strconv.Atoi(path[0]); err == nil && i >= 0 && i < len(x) {
			if !visit(x[i], path[1:], expand, f) {
				return false
			}
		}
		for _, e := range x {
			if d, ok := e.(bson.D); ok && !visit(d, path, expand, f) {
				return false
			}
		}
		return true
	}
	return f(absent{})
}

// equals gives the equality test of a filter value: exact for documents (order
// of fields too), null equals a missing field.
func equals(want any) func(any) bool {
	null := typeOrder(want) == typeOrder(nil)
	return func(v any) bool {
		if (v == absent{}) {
			return null
		}
		return typeOrder(v) == typeOrder(want) && compareValues(v, want) == 0
	}
}

// ordered gives the test of a comparison, which only holds within a type class.
func ordered(op string, want any) func(any) bool {
	null := typeOrder(want) == typeOrder(nil)
	return func(v any) bool {
		if (v == absent{}) {
			return null && (op == "$gte" || op == "$lte")
		}
		if typeOrder(v) != typeOrder(want) {
			return false
		}
		c := compareValues(v, want)
		switch op {
		case "$gt":
			return c > 0
		case "$gte":
			return c >= 0
		case "$lt":
			return c < 0
		}
		return c <= 0
	}
}
