package mongotest

import (
	"go.mongodb.org/mongo-driver/bson"
)

func findAndModifyFields() map[string]Dialect {
	out := fields("query", "sort", "remove", "update", "new", "fields", "upsert", "bypassDocumentValidation", "collation",
		"arrayFilters", "shardVersion", "stmtId")
	out["hint"] = Dialect44
	return out
}

func findAndModifyNeeds(_ *Standin, r *request) ([]access, error) {
	ns, err := r.collection()
	if err != nil {
		return nil, err
	}
	actions := []string{"find"}
	if r.flag("remove") {
		actions = append(actions, "remove")
	} else {
		actions = append(actions, "update")
		if r.flag("upsert") {
			actions = append(actions, "insert")
		}
	}
	return needAll(resource{db: ns.db, coll: ns.coll}, actions...), nil
}

// runFindAndModify changes at most one document and gives it back, all within
// one step: the compare-and-set that the lease is built on.
func runFindAndModify(s *Standin, r *request) (bson.D, error) {
	ns, err := r.collection()
	if err != nil {
		return nil, err
	}
	if err := writable(ns); err != nil {
		return nil, err
	}
	if err := refuse(r, "collation", "arrayFilters"); err != nil {
		return nil, err
	}
	txn, err := s.enterReplay(r)
	if err != nil {
		return nil, err
	}
	if reply, err := txn.answer(r); reply != nil || err != nil {
		return reply, err
	}
	reply, err := s.findAndModify(r, ns)
	if err == nil {
		txn.recordAnswer(r, reply)
	}
	return reply, err
}

func (s *Standin) findAndModify(r *request, ns namespace) (bson.D, error) {
	remove, wantNew, upsert := r.flag("remove"), r.flag("new"), r.flag("upsert")
	update, hasUpdate := lookupField(r.body, "update")
	switch {
	case remove && hasUpdate:
		return nil, errf(codeFailedToParse, "Cannot specify both an update and remove=true")
	case remove && upsert:
		return nil, errf(codeFailedToParse, "Cannot specify both upsert=true and remove=true")
	case remove && wantNew:
		return nil, errf(codeFailedToParse, "Cannot specify both new=true and remove=true; 'remove' always returns the deleted document")
	case !remove && !hasUpdate:
		return nil, errf(codeFailedToParse, "Either an update or remove=true must be specified")
	}
	filter, err := r.doc("query")
	if err != nil {
		return nil, err
	}
	match, err := compileFilter(filter)
	if err != nil {
		return nil, err
	}
	var up *updater
	if !remove {
		if up, err = s.parseModification(update); err != nil {
			return nil, err
		}
	}
	spec, err := r.doc("fields")
	if err != nil {
		return nil, err
	}
	p, err := compileProjection(spec)
	if err != nil {
		return nil, err
	}
	e, err := s.pickOne(r, ns, filter, match)
	if err != nil {
		return nil, err
	}
	status := func(n int32, more ...bson.E) bson.D {
		return append(bson.D{{Key: "n", Value: n}}, more...)
	}
	answer := func(last bson.D, doc bson.D) bson.D {
		var value any
		if doc != nil {
			value = p.apply(doc)
		}
		return bson.D{{Key: "lastErrorObject", Value: last}, {Key: "value", Value: value}}
	}
	switch {
	case remove && e == nil:
		return answer(status(0), nil), nil
	case remove:
		old := e.doc
		s.store.find(ns).remove(e)
		return answer(status(1), old), nil
	case e == nil && !upsert:
		return answer(status(0, bson.E{Key: "updatedExisting", Value: false}), nil), nil
	case e == nil:
		doc, err := s.upsert(ns, filter, up)
		if err != nil {
			return nil, err
		}
		last := status(1, bson.E{Key: "updatedExisting", Value: false}, bson.E{Key: "upserted", Value: doc[0].Value})
		if !wantNew {
			doc = nil
		}
		return answer(last, doc), nil
	}
	old := e.doc
	if _, err := s.modify(ns, e, up); err != nil {
		return nil, err
	}
	if wantNew {
		old = e.doc
	}
	return answer(status(1, bson.E{Key: "updatedExisting", Value: true}), old), nil
}

// parseModification takes the update of a findAndModify. 4.0 has no pipelines:
// it reads an array as a document, which then fails on the operators in it.
func (s *Standin) parseModification(update any) (*updater, error) {
	switch u := update.(type) {
	case bson.D:
		return compileUpdate(u)
	case bson.A:
		if s.since(Dialect42) {
			return nil, notImplemented("a findAndModify by pipeline")
		}
		if len(u) > 0 {
			if stage, ok := u[0].(bson.D); ok && len(stage) > 0 {
				return nil, errf(codeDollarPrefixedFieldName, "The dollar ($) prefixed field '%s' in '0.%s' is not valid for storage.", stage[0].Key, stage[0].Key)
			}
		}
		return nil, errf(codeFailedToParse, "Either an update or remove=true must be specified")
	}
	return nil, errf(codeFailedToParse, "Update argument must be an object")
}

// pickOne gives the document to change: the first match, or the first in sort
// order; nil when none matches.
func (s *Standin) pickOne(r *request, ns namespace, filter bson.D, match predicate) (*entry, error) {
	spec, err := r.doc("sort")
	if err != nil {
		return nil, err
	}
	limit := 1
	if len(spec) > 0 {
		limit = 0
	}
	hits := s.store.find(ns).selectEntries(filter, match, limit)
	if len(hits) == 0 {
		return nil, nil
	}
	docs := make([]bson.D, len(hits))
	for i, e := range hits {
		docs[i] = e.doc
	}
	if err := sortDocs(docs, spec); err != nil {
		return nil, err
	}
	id, _ := lookupField(docs[0], "_id")
	return s.store.find(ns).byID[indexKey(id)], nil
}
