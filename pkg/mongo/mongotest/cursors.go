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
	ns      string
	user    string
	docs    []bson.D
	touched time.Time
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
		if id, err = s.cursors.add(&cursor{ns: ns, user: r.conn.user, docs: rest, touched: time.Now()}); err != nil {
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

func (cs *cursors) add(c *cursor) (int64, error) {
	if len(cs.byID) >= maxCursors {
		for id, old := range cs.byID {
			if time.Since(old.touched) > cursorLife {
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
	if c == nil || time.Since(c.touched) > cursorLife {
		return nil, errf(codeCursorNotFound, "Cursor not found (namespace: '%s.%s', id: %d).", r.db, coll, id)
	}
	if c.user != r.conn.user {
		return nil, errf(codeUnauthorized, "cursor id %d was not created by the authenticated user", id)
	}
	if c.ns != r.db+"."+coll {
		return nil, errf(codeUnauthorized, "Requested getMore on namespace '%s.%s', but cursor belongs to a different namespace %s", r.db, coll, c.ns)
	}
	size, err := r.int("batchSize")
	if err != nil {
		return nil, err
	}
	if size <= 0 {
		size = int64(len(c.docs))
	}
	batch, rest := takeBatch(c.docs, size)
	c.docs, c.touched = rest, time.Now()
	if len(rest) == 0 {
		delete(s.cursors.byID, id)
		id = 0
	}
	return cursorReply("nextBatch", batch, id, c.ns), nil
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
