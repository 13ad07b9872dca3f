package mongotest

import (
	"go.mongodb.org/mongo-driver/bson"
)

func readCommands() []*command {
	return []*command{
		{name: "find", run: runFind, needs: onCollection("find"), primary: true,
			fields: fields("filter", "sort", "projection", "skip", "limit", "batchSize", "singleBatch", "hint", "max", "min",
				"returnKey", "showRecordId", "tailable", "oplogReplay", "noCursorTimeout", "awaitData", "allowPartialResults", "collation")},
		{name: "getMore", run: runGetMore},
		{name: "killCursors", run: runKillCursors},
		{name: "count", run: runCount, needs: onCollection("find"), primary: true},
		{name: "distinct", run: runDistinct, needs: onCollection("find"), primary: true},
		{name: "aggregate", run: runAggregate, needs: aggregateNeeds, primary: true},
	}
}

// refuse gives the honest error for options that would change the answer.
func refuse(r *request, options ...string) error {
	for _, o := range options {
		if v, ok := lookupField(r.body, o); ok && truthy(v) {
			if d, isDoc := v.(bson.D); isDoc && len(d) == 0 {
				continue
			}
			return notImplemented("%s of %s", o, r.cmd.name)
		}
	}
	return nil
}

func runFind(s *Standin, r *request) (bson.D, error) {
	if err := refuse(r, "max", "min", "returnKey", "showRecordId", "tailable", "collation"); err != nil {
		return nil, err
	}
	ns, err := r.collection()
	if err != nil {
		return nil, err
	}
	filter, err := r.doc("filter")
	if err != nil {
		return nil, err
	}
	docs, err := s.query(r, ns, filter)
	if err != nil {
		return nil, err
	}
	spec, err := r.doc("projection")
	if err != nil {
		return nil, err
	}
	p, err := compileProjection(spec)
	if err != nil {
		return nil, err
	}
	if p != nil {
		for i, d := range docs {
			docs[i] = p.apply(d)
		}
	}
	return s.firstBatch(r, ns.String(), docs, r.body)
}

// query gives the documents of a find or count: filtered, sorted, cut by skip
// and limit.
func (s *Standin) query(r *request, ns namespace, filter bson.D) ([]bson.D, error) {
	match, err := compileFilter(filter)
	if err != nil {
		return nil, err
	}
	spec, err := r.doc("sort")
	if err != nil {
		return nil, err
	}
	skip, err := r.int("skip")
	if err != nil {
		return nil, err
	}
	limit, err := r.int("limit")
	if err != nil {
		return nil, err
	}
	if limit < 0 && r.cmd.name == "count" {
		limit = -limit
	}
	if skip < 0 || limit < 0 {
		return nil, errf(codeBadValue, "Skip and limit values must be non-negative")
	}
	stop := 0
	if len(spec) == 0 && limit > 0 && skip+limit < 1<<31 {
		stop = int(skip + limit)
	}
	var docs []bson.D
	for _, e := range s.reads(r).find(ns).selectEntries(filter, match, stop) {
		docs = append(docs, e.doc)
	}
	if err := sortDocs(docs, spec); err != nil {
		return nil, err
	}
	docs = docs[min(int64(len(docs)), skip):]
	if limit > 0 {
		docs = docs[:min(int64(len(docs)), limit)]
	}
	return docs, nil
}

func runCount(s *Standin, r *request) (bson.D, error) {
	if err := refuse(r, "collation"); err != nil {
		return nil, err
	}
	ns, err := r.collection()
	if err != nil {
		return nil, err
	}
	filter, err := r.doc("query")
	if err != nil {
		return nil, err
	}
	docs, err := s.query(r, ns, filter)
	if err != nil {
		return nil, err
	}
	return bson.D{{Key: "n", Value: int32(len(docs))}}, nil //nolint:gosec // far below 2^31 documents in memory
}

func runDistinct(s *Standin, r *request) (bson.D, error) {
	if err := refuse(r, "collation"); err != nil {
		return nil, err
	}
	ns, err := r.collection()
	if err != nil {
		return nil, err
	}
	key, ok := r.get("key").(string)
	if !ok {
		return nil, r.wrongType("key", r.get("key"), "string")
	}
	filter, err := r.doc("query")
	if err != nil {
		return nil, err
	}
	docs, err := s.query(r, ns, filter)
	if err != nil {
		return nil, err
	}
	values := bson.A{}
	seen := map[string]bool{}
	for _, d := range docs {
		visit(d, splitPath(key), true, func(v any) bool {
			if _, array := v.(bson.A); array || v == (absent{}) {
				return true
			}
			if k := indexKey(v); !seen[k] {
				seen[k] = true
				values = append(values, v)
			}
			return true
		})
	}
	return bson.D{{Key: "values", Value: values}}, nil
}
