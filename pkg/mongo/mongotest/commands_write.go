package mongotest

import (
	"errors"

	"go.mongodb.org/mongo-driver/bson"
)

func writeCommands() []*command {
	write := func(names ...string) map[string]Dialect {
		return fields(append(names, "ordered", "bypassDocumentValidation", "shardVersion", "databaseVersion", "allowImplicitCollectionCreation", "stmtId", "stmtIds")...)
	}
	return []*command{
		{name: "insert", run: runInsert, needs: onCollection("insert"), write: true, retryable: true, fields: write("documents")},
		{name: "update", run: runUpdate, needs: updateNeeds, write: true, retryable: true, fields: write("updates")},
		{name: "delete", run: runDelete, needs: onCollection("remove"), write: true, retryable: true, fields: write("deletes")},
		{name: "findAndModify", aliases: []string{"findandmodify"}, run: runFindAndModify, needs: findAndModifyNeeds, write: true, retryable: true,
			fields: findAndModifyFields()},
	}
}

func updateNeeds(_ *Standin, r *request) ([]access, error) {
	ns, err := r.collection()
	if err != nil {
		return nil, err
	}
	on := resource{db: ns.db, coll: ns.coll}
	needs := needAll(on, "update")
	if stmts, err := r.array("updates"); err == nil {
		for _, v := range stmts {
			d, _ := v.(bson.D)
			if up, _ := lookupField(d, "upsert"); truthy(up) {
				return append(needs, access{"insert", on}), nil
			}
		}
	}
	return needs, nil
}

// writable refuses writes to what only the server's own commands may change.
func writable(ns namespace) error {
	if ns == usersNS || ns == rolesNS {
		return notImplemented("a direct write to %s", ns)
	}
	return nil
}

// statements runs the statements of a write in order, each at most once per
// transaction number, and gathers n and writeErrors. run gives the statement's
// own result: n, and nModified and upserted for updates.
func (s *Standin) statements(r *request, stmts []bson.D, run func(stmt bson.D) (bson.D, error)) (bson.D, error) {
	ordered := true
	if v, ok := lookupField(r.body, "ordered"); ok {
		ordered = truthy(v)
	}
	txn, err := s.enterReplay(r)
	if err != nil && s.mongos() {
		return s.routedError(r, err, len(stmts), ordered), nil
	}
	if err != nil {
		return nil, err
	}
	var n, modified int64
	upserted, failures := bson.A{}, bson.A{}
	for i, stmt := range stmts {
		result, done, err := txn.statement(i, r.cmd.name)
		if err == nil && !done {
			if result, err = s.runStatement(txn, stmt, run); err == nil {
				txn.record(i, r.cmd.name, result)
			}
		}
		if err != nil {
			failures = append(failures, s.writeError(i, err))
			if ordered {
				break
			}
			continue
		}
		got := func(key string) int64 {
			v, _ := lookupField(result, key)
			k, _ := asInt(v)
			return k
		}
		n += got("n")
		modified += got("nModified")
		if id, ok := lookupField(result, "upserted"); ok {
			upserted = append(upserted, bson.D{{Key: "index", Value: int32(i)}, {Key: "_id", Value: id}})
		}
	}
	reply := bson.D{{Key: "n", Value: int32(n)}}
	if r.cmd.name == "update" {
		reply = append(reply, bson.E{Key: "nModified", Value: int32(modified)})
	}
	if len(upserted) > 0 {
		reply = append(reply, bson.E{Key: "upserted", Value: upserted})
	}
	if len(failures) > 0 {
		reply = append(reply, bson.E{Key: "writeErrors", Value: failures})
	}
	return reply, nil
}

// runStatement carries a statement out. One that may change several documents
// cannot be retried, and is refused where the command says that it may be.
func (s *Standin) runStatement(txn *replayEntry, stmt bson.D, run func(bson.D) (bson.D, error)) (bson.D, error) {
	if txn != nil {
		if multi, ok := lookupField(stmt, "multi"); ok && truthy(multi) {
			return nil, errf(codeInvalidOptions, "Cannot use (or request) retryable writes with multi=true")
		}
		if limit, ok := lookupField(stmt, "limit"); ok && asFloat(limit) == 0 {
			return nil, errf(codeInvalidOptions, "Cannot use (or request) retryable writes with limit=0")
		}
	}
	return run(stmt)
}

// routedError gives a shard's refusal of a whole batch as a router words it: the
// command succeeds, its statements did not.
func (s *Standin) routedError(r *request, err error, statements int, ordered bool) bson.D {
	if ordered {
		statements = 1
	}
	failures := bson.A{}
	for i := range statements {
		failures = append(failures, s.writeError(i, err))
	}
	reply := bson.D{{Key: "n", Value: int32(0)}}
	if r.cmd.name == "update" {
		reply = append(reply, bson.E{Key: "nModified", Value: int32(0)})
	}
	return append(reply, bson.E{Key: "writeErrors", Value: failures})
}

func (s *Standin) writeError(i int, err error) bson.D {
	var ce *CommandError
	var dup *duplicateError
	switch {
	case errors.As(err, &dup):
		ce = s.duplicate(dup)
	case !errors.As(err, &ce):
		ce = errf(codeInternalError, "%v", err)
	}
	d := bson.D{{Key: "index", Value: int32(i)}, {Key: "code", Value: ce.Code}} //nolint:gosec // ≤ maxBatch
	d = append(d, ce.Extra...)
	return append(d, bson.E{Key: "errmsg", Value: ce.Message})
}

func runInsert(s *Standin, r *request) (bson.D, error) {
	ns, err := r.collection()
	if err != nil {
		return nil, err
	}
	if err := writable(ns); err != nil {
		return nil, err
	}
	docs, err := r.docs("documents")
	if err != nil {
		return nil, err
	}
	coll := s.store.ensure(ns)
	return s.statements(r, docs, func(doc bson.D) (bson.D, error) {
		for _, e := range doc {
			if e.Key != "" && e.Key[0] == '$' {
				return nil, errf(codeBadValue, "Document can't have $ prefixed field names: %s", e.Key)
			}
		}
		if _, err := coll.insert(doc); err != nil {
			return nil, err
		}
		return bson.D{{Key: "n", Value: int32(1)}}, nil
	})
}

func runUpdate(s *Standin, r *request) (bson.D, error) {
	ns, err := r.collection()
	if err != nil {
		return nil, err
	}
	if err := writable(ns); err != nil {
		return nil, err
	}
	stmts, err := r.docs("updates")
	if err != nil {
		return nil, err
	}
	for _, stmt := range stmts {
		if err := s.checkUpdateStatement(r, stmt); err != nil {
			return nil, err
		}
	}
	return s.statements(r, stmts, func(stmt bson.D) (bson.D, error) { return s.updateOne(ns, stmt) })
}

// checkUpdateStatement refuses a statement's shape before any is carried out.
func (s *Standin) checkUpdateStatement(r *request, stmt bson.D) error {
	for _, e := range stmt {
		switch e.Key {
		case "q", "u", "multi", "upsert":
		case "collation", "arrayFilters":
			if truthy(e.Value) {
				return notImplemented("%s of update", e.Key)
			}
		case "hint":
			if !s.since(Dialect42) {
				return errf(codeUnknownField, "BSON field 'update.updates.hint' is an unknown field.")
			}
		default:
			return errf(codeUnknownField, "BSON field 'update.updates.%s' is an unknown field.", e.Key)
		}
	}
	for _, key := range []string{"q", "u"} {
		v, ok := lookupField(stmt, key)
		if !ok {
			return errf(codeMissingField, "BSON field 'update.updates.%s' is missing but a required field", key)
		}
		if _, isDoc := v.(bson.D); isDoc {
			continue
		}
		if _, pipeline := v.(bson.A); pipeline && key == "u" && s.since(Dialect42) {
			return notImplemented("an update by pipeline")
		}
		return errf(codeTypeMismatch, "BSON field '%s.updates.%s' is the wrong type '%s', expected type 'object'", r.cmd.name, key, typeName(v))
	}
	return nil
}

func (s *Standin) updateOne(ns namespace, stmt bson.D) (bson.D, error) {
	q, _ := lookupField(stmt, "q")
	u, _ := lookupField(stmt, "u")
	filter := q.(bson.D)
	match, err := compileFilter(filter)
	if err != nil {
		return nil, err
	}
	up, err := compileUpdate(u.(bson.D))
	if err != nil {
		return nil, err
	}
	multi, _ := lookupField(stmt, "multi")
	if truthy(multi) && !up.isOperator {
		return nil, errf(codeFailedToParse, "multi update only works with $ operators")
	}
	limit := 1
	if truthy(multi) {
		limit = 0
	}
	hits := s.store.find(ns).selectEntries(filter, match, limit)
	if upsert, _ := lookupField(stmt, "upsert"); len(hits) == 0 && truthy(upsert) {
		doc, err := s.upsert(ns, filter, up)
		if err != nil {
			return nil, err
		}
		return bson.D{{Key: "n", Value: int32(1)}, {Key: "nModified", Value: int32(0)}, {Key: "upserted", Value: doc[0].Value}}, nil
	}
	modified := int32(0)
	for _, e := range hits {
		changed, err := s.modify(ns, e, up)
		if err != nil {
			return nil, err
		}
		if changed {
			modified++
		}
	}
	return bson.D{{Key: "n", Value: int32(len(hits))}, {Key: "nModified", Value: modified}}, nil //nolint:gosec // in memory
}

// modify applies an update to a stored document and tells whether it changed.
func (s *Standin) modify(ns namespace, e *entry, up *updater) (bool, error) {
	doc, err := up.apply(e.doc, false)
	if err != nil {
		return false, err
	}
	if sameDocument(doc, e.doc) {
		return false, nil
	}
	return true, s.store.find(ns).replace(e, doc)
}

// upsert inserts what filter and update make and gives it.
func (s *Standin) upsert(ns namespace, filter bson.D, up *updater) (bson.D, error) {
	seed, err := seedFromFilter(filter)
	if err != nil {
		return nil, err
	}
	if !up.isOperator { // a replacement takes only the filter's _id
		id, ok := lookupField(seed, "_id")
		seed = bson.D{}
		if ok {
			seed = bson.D{{Key: "_id", Value: id}}
		}
	}
	doc, err := up.apply(seed, true)
	if err != nil {
		return nil, err
	}
	return s.store.ensure(ns).insert(doc)
}

func runDelete(s *Standin, r *request) (bson.D, error) {
	ns, err := r.collection()
	if err != nil {
		return nil, err
	}
	if err := writable(ns); err != nil {
		return nil, err
	}
	stmts, err := r.docs("deletes")
	if err != nil {
		return nil, err
	}
	return s.statements(r, stmts, func(stmt bson.D) (bson.D, error) {
		if c, ok := lookupField(stmt, "collation"); ok && truthy(c) {
			return nil, notImplemented("collation of delete")
		}
		q, _ := lookupField(stmt, "q")
		filter, ok := q.(bson.D)
		if !ok {
			return nil, errf(codeTypeMismatch, "BSON field 'delete.deletes.q' is the wrong type '%s', expected type 'object'", typeName(q))
		}
		limit, ok := lookupField(stmt, "limit")
		if n := asFloat(limit); !ok || (n != 0 && n != 1) {
			return nil, errf(codeFailedToParse, "The limit field in delete objects must be 0 or 1. Got %s", describe(limit))
		}
		match, err := compileFilter(filter)
		if err != nil {
			return nil, err
		}
		hits := s.store.find(ns).selectEntries(filter, match, int(asFloat(limit)))
		for _, e := range hits {
			s.store.find(ns).remove(e)
		}
		return bson.D{{Key: "n", Value: int32(len(hits))}}, nil //nolint:gosec // in memory
	})
}
