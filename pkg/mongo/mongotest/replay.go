package mongotest

import (
	"time"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/bson/primitive"
)

// sessionLife is logicalSessionTimeoutMinutes: how long a session's record is
// kept after its last write.
const sessionLife = 30 * time.Minute

// replayTable is the server's memory of retryable writes (config.transactions):
// for each session the highest transaction number and what its statements did.
// A retry of a statement gets the recorded answer and does nothing.
type replayTable struct {
	sessions map[string]*replayEntry
	swept    time.Time
}

type replayEntry struct {
	number  int64
	touched time.Time
	// statements are the results of insert, update and delete, by statement.
	statements map[int]bson.D
	// reply is the whole answer of a findAndModify.
	reply bson.D
}

func newReplayTable() *replayTable {
	return &replayTable{sessions: map[string]*replayEntry{}, swept: time.Now()}
}

// enter finds the record of a request with txnNumber, nil for one without. A
// number older than the session's latest is refused.
func (t *replayTable) enter(r *request) (*replayEntry, error) {
	if !r.has("txnNumber") {
		return nil, nil
	}
	number, err := r.int("txnNumber")
	if err != nil {
		return nil, err
	}
	if r.has("startTransaction") || r.has("autocommit") {
		return nil, notImplemented("a multi-document transaction")
	}
	lsid, _ := r.get("lsid").(bson.D)
	id, _ := lookupField(lsid, "id")
	bin, ok := id.(primitive.Binary)
	if !ok {
		return nil, errf(codeInvalidOptions, "Transaction number requires a session ID to also be specified")
	}
	t.sweep()
	key := r.conn.user + "\x00" + string(bin.Data)
	e := t.sessions[key]
	switch {
	case e == nil || number > e.number:
		e = &replayEntry{number: number, statements: map[int]bson.D{}}
		t.sessions[key] = e
	case number < e.number:
		return nil, errf(codeTransactionTooOld,
			"Retryable write with txnNumber %d is prohibited on session %s because a newer retryable write with txnNumber %d has already started.",
			number, uuidText(pad16(bin.Data)), e.number)
	}
	e.touched = time.Now()
	return e, nil
}

// sweep forgets sessions that ended long ago.
func (t *replayTable) sweep() {
	if time.Since(t.swept) < time.Minute {
		return
	}
	t.swept = time.Now()
	for k, e := range t.sessions {
		if time.Since(e.touched) > sessionLife {
			delete(t.sessions, k)
		}
	}
}

// statement gives the recorded result of a statement.
func (e *replayEntry) statement(i int) (bson.D, bool) {
	if e == nil {
		return nil, false
	}
	d, ok := e.statements[i]
	return d, ok
}

// record keeps a statement's result.
func (e *replayEntry) record(i int, result bson.D) {
	if e != nil {
		e.statements[i] = result
	}
}

func pad16(b []byte) []byte {
	out := make([]byte, 16)
	copy(out, b)
	return out
}
