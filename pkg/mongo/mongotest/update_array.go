package mongotest

import (
	"go.mongodb.org/mongo-driver/bson"
)

// push appends one value, or those of $each, and keeps what $slice says.
func push(array bson.A, arg any) (any, error) {
	values, mods, err := eachOf("$push", arg)
	if err != nil {
		return nil, err
	}
	out := append(bson.A{}, array...)
	for _, v := range values {
		out = append(out, cloneValue(v))
	}
	for _, m := range mods {
		if m.Key != "$slice" {
			if m.Key == "$position" || m.Key == "$sort" {
				return nil, notImplemented("%s of $push", m.Key)
			}
			return nil, errf(codeBadValue, "Unrecognized clause in $push: %s", m.Key)
		}
		n, ok := asInt(m.Value)
		if f, isFloat := m.Value.(float64); isFloat && f == float64(int64(f)) {
			n, ok = int64(f), true
		}
		if !ok {
			return nil, errf(codeBadValue, "The value for $slice must be an integer value but was given type: %s", typeName(m.Value))
		}
		size := int64(len(out))
		switch {
		case n >= 0 && n < size:
			out = out[:n]
		case n < 0 && -n < size:
			out = out[size+n:]
		}
	}
	return out, nil
}

// addToSet appends the values that are not there yet.
func addToSet(array bson.A, arg any) (any, error) {
	values, mods, err := eachOf("$addToSet", arg)
	if err != nil {
		return nil, err
	}
	if len(mods) > 0 {
		return nil, errf(codeBadValue, "Found unexpected fields after $each in $addToSet: %s", describe(mods))
	}
	out := append(bson.A{}, array...)
	seen := make(map[string]bool, len(out))
	for _, v := range out {
		seen[indexKey(v)] = true
	}
	for _, v := range values {
		if k := indexKey(v); !seen[k] {
			seen[k] = true
			out = append(out, cloneValue(v))
		}
	}
	return out, nil
}

// eachOf gives the values of {$each: […]} and the clauses beside it, or the one
// value.
func eachOf(op string, arg any) (bson.A, bson.D, error) {
	d, ok := arg.(bson.D)
	if !ok || len(d) == 0 {
		return bson.A{arg}, nil, nil
	}
	each, ok := lookupField(d, "$each")
	if !ok {
		return bson.A{arg}, nil, nil
	}
	values, ok := each.(bson.A)
	if !ok {
		return nil, nil, errf(codeBadValue, "The argument to $each in %s must be an array but it was of type: %s", op, typeName(each))
	}
	var mods bson.D
	for _, e := range d {
		if e.Key != "$each" {
			mods = append(mods, e)
		}
	}
	return values, mods, nil
}

// pull removes the elements that equal arg, satisfy its operators, or match it
// as a filter.
func pull(array bson.A, arg any) (any, error) {
	match := equals(arg)
	if ops, ok := isOperators(arg); ok {
		test, err := compileCondition(ops)
		if err != nil {
			return nil, err
		}
		match = func(v any) bool { return test(bson.D{{Key: "e", Value: v}}, []string{"e"}) }
	} else if d, ok := arg.(bson.D); ok {
		p, err := compileFilter(d)
		if err != nil {
			return nil, err
		}
		match = func(v any) bool {
			doc, ok := v.(bson.D)
			return ok && p(doc)
		}
	}
	out := bson.A{}
	for _, v := range array {
		if !match(v) {
			out = append(out, v)
		}
	}
	return out, nil
}

// seedFromFilter gives the document an upsert starts from: the fields its filter
// sets by equality, _id first.
func seedFromFilter(filter bson.D) (bson.D, error) {
	var out any = bson.D{}
	var err error
	pads := maxPads
	for _, e := range equalities(filter) {
		path := splitPath(e.Key)
		if len(path) > maxDepth {
			return nil, errf(codeBadValue, "path %d levels deep", len(path))
		}
		if out, err = setAt(out, path, nil, func(any) (any, error) { return cloneValue(e.Value), nil }, true, &pads); err != nil {
			return nil, err
		}
	}
	return out.(bson.D), nil
}

func equalities(filter bson.D) bson.D {
	var out bson.D
	for _, e := range filter {
		if e.Key == "$and" {
			list, _ := e.Value.(bson.A)
			for _, v := range list {
				if d, ok := v.(bson.D); ok {
					out = append(out, equalities(d)...)
				}
			}
			continue
		}
		if len(e.Key) > 0 && e.Key[0] == '$' {
			continue
		}
		if ops, ok := isOperators(e.Value); ok {
			if v, ok := lookupField(ops, "$eq"); ok {
				out = append(out, bson.E{Key: e.Key, Value: v})
			}
			continue
		}
		out = append(out, e)
	}
	return out
}
