package mongotest

import (
	"time"

	"go.mongodb.org/mongo-driver/bson"
)

// replayTable is the server's memory of retryable writes (config.transactions):
// for each session the highest transaction number and what its statements did.
// A retry of a statement gets the recorded answer and does nothing; a statement
// that failed is not recorded and is carried out again.
type replayTable struct {
	sessions map[string]*replayEntry
}

type replayEntry struct {
	number  int64
	touched time.Time
	// statements are the results of insert, update and delete, by statement.
	statements map[int]recorded
	// modified is what a findAndModify did.
	modified *recorded
}

// recorded is the outcome of one statement: of what kind (insert, update,
// delete) it was and its result, for a findAndModify the whole reply.
type recorded struct {
	kind   string
	result bson.D
	isNew  bool // the reply holds the document as it was afterwards
}

func newReplayTable() *replayTable { return &replayTable{sessions: map[string]*replayEntry{}} }

// enterReplay finds the record of a request with txnNumber, nil for one without.
// A number older than the session's latest is refused.
func (s *Standin) enterReplay(r *request) (*replayEntry, error) {
	number, ok := r.get("txnNumber").(int64)
	if !ok || r.session == "" { // checkTxnNumber has refused every other form
		return nil, nil
	}
	e := s.replay.sessions[r.session]
	switch {
	case e == nil || number > e.number:
		e = &replayEntry{number: number, statements: map[int]recorded{}}
		s.replay.sessions[r.session] = e
	case number < e.number && s.since(Dialect44):
		return nil, errf(codeTransactionTooOld,
			"Retryable write with txnNumber %d is prohibited on session %s because a newer retryable write with txnNumber %d has already started on this session.",
			number, r.sessionText, e.number)
	case number < e.number:
		return nil, errf(codeTransactionTooOld, "Cannot start transaction %d on session %s because a newer transaction %d has already started.",
			number, r.sessionText, e.number)
	}
	e.touched = s.now()
	return e, nil
}

// sweep forgets what nobody will ask for any more.
func (t *replayTable) sweep(at time.Time) {
	for k, e := range t.sessions {
		if at.Sub(e.touched) > sessionLife {
			delete(t.sessions, k)
		}
	}
}

// statement gives the recorded result of a statement of a kind.
func (e *replayEntry) statement(i int, kind string) (bson.D, bool, error) {
	if e == nil {
		return nil, false, nil
	}
	was, ok := e.statements[i]
	if !ok && e.modified != nil && i == 0 {
		was, ok = *e.modified, true
	}
	if ok && kind == "update" && was.kind == "delete" {
		return nil, false, errf(40638, "update retry request is not compatible with previous write in the transaction of type: d")
	}
	return was.result, ok, nil
}

// record keeps a statement's result.
func (e *replayEntry) record(i int, kind string, result bson.D) {
	if e != nil {
		e.statements[i] = recorded{kind: kind, result: result}
	}
}

// answer gives the recorded reply of a findAndModify, nil when it was not
// carried out yet. A retry that asks for something else is refused.
func (e *replayEntry) answer(r *request) (bson.D, error) {
	if e == nil || e.modified == nil {
		return nil, nil
	}
	was := e.modified
	incompatible := func(code int32) error {
		return errf(code, "findAndModify retry request: %s is not compatible with previous write in the transaction of type: %s", describeShort(r.body), was.kind[:1])
	}
	switch {
	case was.kind == "delete" && !r.flag("remove"):
		return nil, incompatible(40606)
	case was.kind == "insert" && !r.flag("upsert"):
		return nil, incompatible(40608)
	case was.kind == "update" && r.flag("remove"):
		return nil, incompatible(40609)
	case was.kind == "update" && r.flag("new") && !was.isNew:
		return nil, errf(40611, "findAndModify retry request: %s wants the document after update returned, but only before update document is stored", describeShort(r.body))
	case was.kind == "update" && !r.flag("new") && was.isNew:
		return nil, errf(40612, "findAndModify retry request: %s wants the document before update returned, but only after update document is stored", describeShort(r.body))
	}
	return append(bson.D{}, was.result...), nil
}

// recordAnswer keeps the reply of a findAndModify that changed something; one
// that changed nothing left no trace in the real server's log either.
func (e *replayEntry) recordAnswer(r *request, reply bson.D) {
	if e == nil {
		return
	}
	last, _ := lookupField(reply, "lastErrorObject")
	status, _ := last.(bson.D)
	if n, _ := lookupField(status, "n"); asFloat(n) == 0 {
		return
	}
	kind := "update"
	if _, upserted := lookupField(status, "upserted"); upserted {
		kind = "insert"
	}
	if r.flag("remove") {
		kind = "delete"
	}
	e.modified = &recorded{kind: kind, result: append(bson.D{}, reply...), isNew: r.flag("new")}
}

func pad16(b []byte) []byte {
	out := make([]byte, 16)
	copy(out, b)
	return out
}
