package mongotest

import (
	"strings"

	"go.mongodb.org/mongo-driver/bson"
)

func aggregateNeeds(s *Standin, r *request) ([]access, error) {
	if _, ok := r.first().(string); !ok {
		return nil, notImplemented("aggregate on a database")
	}
	return onCollection("find")(s, r)
}

// runAggregate carries out the stages that drivers themselves send and a few
// that read: $match, $sort, $skip, $limit, $project (of inclusion or
// exclusion), $count and $group with $sum, $min, $max, $first and $last.
func runAggregate(s *Standin, r *request) (bson.D, error) {
	ns, err := r.collection()
	if err != nil {
		return nil, err
	}
	if err := refuse(r, "collation", "explain"); err != nil {
		return nil, err
	}
	stages, err := r.array("pipeline")
	if err != nil {
		return nil, err
	}
	if !r.has("cursor") {
		return nil, errf(codeFailedToParse, "The 'cursor' option is required, except for aggregate with the explain argument")
	}
	docs := s.reads(r).find(ns).docs()
	for _, v := range stages {
		stage, ok := v.(bson.D)
		if !ok || len(stage) != 1 {
			return nil, errf(40323, "A pipeline stage specification object must contain exactly one field.")
		}
		if docs, err = runStage(docs, stage[0]); err != nil {
			return nil, err
		}
	}
	opts, err := r.doc("cursor")
	if err != nil {
		return nil, err
	}
	return s.firstBatch(r, ns.String(), docs, opts)
}

func runStage(docs []bson.D, stage bson.E) ([]bson.D, error) {
	spec, isDoc := stage.Value.(bson.D)
	switch stage.Key {
	case "$match", "$sort", "$project", "$group":
		if !isDoc {
			return nil, errf(codeFailedToParse, "the %s specification must be an object", stage.Key)
		}
	}
	switch stage.Key {
	case "$match":
		match, err := compileFilter(spec)
		if err != nil {
			return nil, err
		}
		var out []bson.D
		for _, d := range docs {
			if match(d) {
				out = append(out, d)
			}
		}
		return out, nil
	case "$sort":
		out := append([]bson.D{}, docs...)
		return out, sortDocs(out, spec)
	case "$project":
		p, err := compileProjection(spec)
		if err != nil {
			return nil, err
		}
		out := make([]bson.D, len(docs))
		for i, d := range docs {
			out[i] = p.apply(d)
		}
		return out, nil
	case "$skip", "$limit":
		n := asFloat(stage.Value)
		if !(n >= 0) {
			return nil, errf(codeBadValue, "the %s must be a non-negative number", stage.Key)
		}
		cut := int(min(n, float64(len(docs))))
		if stage.Key == "$skip" {
			return docs[cut:], nil
		}
		return docs[:cut], nil
	case "$count":
		if len(docs) == 0 {
			return nil, nil
		}
		return []bson.D{{{Key: text(stage.Value), Value: int32(len(docs))}}}, nil //nolint:gosec // in memory
	case "$group":
		return group(docs, spec)
	}
	if strings.HasPrefix(stage.Key, "$") {
		return nil, notImplemented("pipeline stage %s", stage.Key)
	}
	return nil, errf(40324, "Unrecognized pipeline stage name: '%s'", stage.Key)
}

// operand gives the value of "$field" in a document, or the constant.
func operand(doc bson.D, expr any) (any, error) {
	if s, ok := expr.(string); ok && strings.HasPrefix(s, "$") {
		if strings.HasPrefix(s, "$$") {
			return nil, notImplemented("expression %s", s)
		}
		var out any = absent{}
		visit(doc, splitPath(s[1:]), false, func(v any) bool { out = v; return false })
		return out, nil
	}
	switch expr.(type) {
	case bson.D, bson.A:
		return nil, notImplemented("expression %s", describe(expr))
	}
	return expr, nil
}

// group gathers documents by _id, in order of first appearance.
func group(docs []bson.D, spec bson.D) ([]bson.D, error) {
	idExpr, ok := lookupField(spec, "_id")
	if !ok {
		return nil, errf(15955, "a group specification must include an _id")
	}
	var out []bson.D
	index := map[string]int{}
	for _, d := range docs {
		id, err := operand(d, idExpr)
		if err != nil {
			return nil, err
		}
		if id == (absent{}) {
			id = nil
		}
		key := indexKey(id)
		i, seen := index[key]
		if !seen {
			i = len(out)
			index[key] = i
			out = append(out, bson.D{{Key: "_id", Value: id}})
		}
		if out[i], err = accumulate(out[i], d, spec, !seen); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func accumulate(acc, doc, spec bson.D, first bool) (bson.D, error) {
	for _, f := range spec {
		if f.Key == "_id" {
			continue
		}
		op, ok := f.Value.(bson.D)
		if !ok || len(op) != 1 {
			return nil, errf(40234, "The field '%s' must be an accumulator object", f.Key)
		}
		v, err := operand(doc, op[0].Value)
		if err != nil {
			return nil, err
		}
		old, _ := lookupField(acc, f.Key)
		switch op[0].Key {
		case "$sum":
			if first {
				old = int32(0)
			}
			if isNumber(v) {
				if old, err = add(old, v); err != nil {
					return nil, err
				}
			}
		case "$min", "$max":
			if v == (absent{}) || v == nil {
				break
			}
			if c := compareValues(v, old); old == nil || (op[0].Key == "$min" && c < 0) || (op[0].Key == "$max" && c > 0) {
				old = v
			}
		case "$first", "$last":
			if v == (absent{}) {
				v = nil
			}
			if first || op[0].Key == "$last" {
				old = v
			}
		default:
			return nil, notImplemented("accumulator %s", op[0].Key)
		}
		acc = withField(acc, f.Key, old)
	}
	return acc, nil
}
