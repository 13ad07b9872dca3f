package mongotest

import (
	"math/rand/v2"
	"time"

	"go.mongodb.org/mongo-driver/bson"
)

const (
	defaultBatch = 101
	cursorLife   = 10 * time.Minute
	maxCursors   = 10_000
)

// cursors are the results not yet fetched. The server's mutex guards them.
type cursors struct {
	byID map[int64]*cursor
}

type cursor struct {
	ns                   string
	user                 string
	session, sessionText string
	docs                 []bson.D
	touched              time.Time
}

func newCursors() *cursors { return &cursors{byID: map[int64]*cursor{}} }

// firstBatch answers a query with its first batch, keeping the rest behind a
// cursor. opts holds batchSize and singleBatch.
func (s *Standin) firstBatch(r *request, ns string, docs []bson.D, opts bson.D) (bson.D, error) {
	size := int64(defaultBatch)
	if v, ok := lookupField(opts, "batchSize"); ok {
		if !isNumber(v) || asFloat(v) < 0 {
			return nil, errf(codeBadValue, "BatchSize value must be non-negative, but received: %s", describe(v))
		}
		size = int64(asFloat(v))
	}
	batch, rest := takeBatch(docs, size)
	single, _ := lookupField(opts, "singleBatch")
	var id int64
	if len(rest) > 0 && !truthy(single) {
		var err error
		if id, err = s.cursors.add(&cursor{ns: ns, user: r.conn.user, session: r.session, sessionText: r.sessionText, docs: rest, touched: s.now()}); err != nil {
			return nil, err
		}
	}
	return cursorReply("firstBatch", batch, id, ns), nil
}

func cursorReply(field string, batch bson.A, id int64, ns string) bson.D {
	return bson.D{{Key: "cursor", Value: bson.D{{Key: field, Value: batch}, {Key: "id", Value: id}, {Key: "ns", Value: ns}}}}
}

// takeBatch cuts a batch of at most size documents and 16 MB off docs.
func takeBatch(docs []bson.D, size int64) (bson.A, []bson.D) {
	batch := bson.A{}
	total := 0
	for len(docs) > 0 && int64(len(batch)) < size {
		raw, err := bson.Marshal(docs[0])
		if err != nil || (len(batch) > 0 && total+len(raw) > maxDocument) {
			break
		}
		total += len(raw)
		batch = append(batch, bson.Raw(raw))
		docs = docs[1:]
	}
	return batch, docs
}

// kill closes the cursors of a session.
func (cs *cursors) kill(session string) {
	for id, c := range cs.byID {
		if c.session == session {
			delete(cs.byID, id)
		}
	}
}

func (cs *cursors) add(c *cursor) (int64, error) {
	if len(cs.byID) >= maxCursors {
		for id, old := range cs.byID {
			if c.touched.Sub(old.touched) > cursorLife {
				delete(cs.byID, id)
			}
		}
		if len(cs.byID) >= maxCursors {
			return 0, errf(codeInternalError, "stand-in: more than %d open cursors", maxCursors)
		}
	}
	for {
		id := rand.Int64() //nolint:gosec // a handle, no secret: its owner is checked
		if _, taken := cs.byID[id]; id != 0 && !taken {
			cs.byID[id] = c
			return id, nil
		}
	}
}

func runGetMore(s *Standin, r *request) (bson.D, error) {
	id, _ := asInt(r.first())
	coll, _ := r.get("collection").(string)
	c := s.cursors.byID[id]
	if c == nil || s.now().Sub(c.touched) > cursorLife {
		return nil, errf(codeCursorNotFound, "Cursor not found (namespace: '%s.%s', id: %d).", r.db, coll, id)
	}
	if c.user != r.conn.user {
		return nil, errf(codeUnauthorized, "cursor id %d was not created by the authenticated user", id)
	}
	if c.ns != r.db+"."+coll {
		return nil, errf(codeUnauthorized, "Requested getMore on namespace '%s.%s', but cursor belongs to a different namespace %s", r.db, coll, c.ns)
	}
	if err := s.checkCursorSession(r, id, c); err != nil {
		return nil, err
	}
	size, err := r.int("batchSize")
	if err != nil {
		return nil, err
	}
	if size <= 0 {
		size = int64(len(c.docs))
	}
	batch, rest := takeBatch(c.docs, size)
	c.docs, c.touched = rest, s.now()
	if len(rest) == 0 {
		delete(s.cursors.byID, id)
		id = 0
	}
	return cursorReply("nextBatch", batch, id, c.ns), nil
}

// checkCursorSession: a cursor is read on in the session that opened it.
func (s *Standin) checkCursorSession(r *request, id int64, c *cursor) error {
	code := int32(50736)
	if s.mongos() {
		code = 50799
	}
	switch {
	case r.session != "" && c.session == "":
		return errf(code, "Cannot run getMore on cursor %d, which was not created in a session, in session %s", id, r.sessionText)
	case r.session == "" && c.session != "":
		return errf(code+1, "Cannot run getMore on cursor %d, which was created in session %s, without an lsid", id, c.sessionText)
	case r.session != c.session:
		return errf(code+2, "Cannot run getMore on cursor %d, which was created in session %s, in session %s", id, c.sessionText, r.sessionText)
	}
	return nil
}

func runKillCursors(s *Standin, r *request) (bson.D, error) {
	ids, err := r.array("cursors")
	if err != nil {
		return nil, err
	}
	killed, missing := bson.A{}, bson.A{}
	for _, v := range ids {
		id, _ := asInt(v)
		if c := s.cursors.byID[id]; c != nil && c.user == r.conn.user {
			delete(s.cursors.byID, id)
			killed = append(killed, id)
			continue
		}
		missing = append(missing, id)
	}
	return bson.D{{Key: "cursorsKilled", Value: killed}, {Key: "cursorsNotFound", Value: missing},
		{Key: "cursorsAlive", Value: bson.A{}}, {Key: "cursorsUnknown", Value: bson.A{}}}, nil
}
