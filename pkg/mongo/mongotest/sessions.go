package mongotest

import (
	"crypto/sha256"
	"encoding/base64"
	"time"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/bson/primitive"
)

// sessionLife is logicalSessionTimeoutMinutes: how long a session that nobody
// uses is remembered, with its cursors and its retryable writes.
const sessionLife = 30 * time.Minute

// sessionTable holds the logical sessions. They begin with the first command
// that names them or with startSession, belong to the user who did, and end by
// endSessions or when nobody used them for sessionLife. The server's mutex
// guards the table.
type sessionTable struct {
	byKey map[string]*session
	swept time.Time
}

type session struct {
	used time.Time
	// killed is closed when killSessions ends what the session has under way.
	killed chan struct{}
}

func newSessionTable(at time.Time) *sessionTable {
	return &sessionTable{byKey: map[string]*session{}, swept: at}
}

// touch notes that a session is in use, making it when it is new.
func (t *sessionTable) touch(key string, at time.Time) *session {
	s := t.byKey[key]
	if s == nil {
		s = &session{killed: make(chan struct{})}
		t.byKey[key] = s
	}
	s.used = at
	return s
}

// sessionKey names the session id of a user.
func sessionKey(user, id string) string { return user + "\x00" + id }

// sessionText prints a session as the server's errors do: its id and the digest
// of its owner.
func (s *Standin) sessionText(c *conn, id []byte) string {
	digest := sha256.Sum256([]byte(c.user + "@" + c.userDB))
	out := uuidText(pad16(id)) + " - " + base64.StdEncoding.EncodeToString(digest[:])
	if s.since(Dialect44) {
		out += " -  - "
	}
	return out
}

// parseSession reads {id: UUID}, in the words of the server's parser.
func parseSession(v any, field string) ([]byte, error) {
	d, ok := v.(bson.D)
	if !ok {
		return nil, errf(codeTypeMismatch, "BSON field '%s' is the wrong type '%s', expected type 'object'", field, typeName(v))
	}
	id, ok := lookupField(d, "id")
	if !ok {
		return nil, errf(codeMissingField, "BSON field '%s.id' is missing but a required field", field)
	}
	bin, ok := id.(primitive.Binary)
	switch {
	case !ok:
		return nil, errf(codeTypeMismatch, "BSON field '%s.id' is the wrong type '%s', expected type 'binData'", field, typeName(id))
	case bin.Subtype != 4:
		return nil, errf(codeTypeMismatch, "BSON field '%s.id' is the wrong binData type, expected type 'UUID'", field)
	case len(bin.Data) != 16:
		return nil, errf(codeInvalidUUID, "uuid must be a 16-byte binary field with UUID (4) subtype")
	}
	return bin.Data, nil
}

// enterSession reads lsid and txnNumber of a request. Commands that need no
// login have no session, and neither has who has not logged in.
func (s *Standin) enterSession(r *request) error {
	if r.cmd.open || r.conn.user == "" {
		return nil
	}
	lsid, has := lookupField(r.body, "lsid")
	if _, txn := lookupField(r.body, "txnNumber"); txn {
		if err := checkTxnNumber(r, has); err != nil {
			return err
		}
	}
	if !has {
		return nil
	}
	id, err := parseSession(lsid, "OperationSessionInfo.lsid")
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweepSessions()
	r.session = sessionKey(r.conn.user, string(id))
	r.sessionText = s.sessionText(r.conn, id)
	r.killed = s.sessions.touch(r.session, s.now()).killed
	return nil
}

// checkTxnNumber takes a transaction number on the writes that can be retried.
func checkTxnNumber(r *request, hasSession bool) error {
	number, ok := r.get("txnNumber").(int64)
	switch {
	case !ok:
		return errf(codeTypeMismatch, "BSON field 'OperationSessionInfo.txnNumber' is the wrong type '%s', expected type 'long'", typeName(r.get("txnNumber")))
	case !hasSession:
		return errf(codeInvalidOptions, "Transaction number requires a session ID to also be specified")
	case number < 0:
		return errf(codeInvalidOptions, "Transaction number cannot be negative")
	case r.has("startTransaction") || r.has("autocommit"):
		return notImplemented("a multi-document transaction")
	case !r.cmd.retryable:
		return errf(50768, "txnNumber may only be provided for multi-document transactions and retryable write commands. "+
			"autocommit:false was not provided, and %s is not a retryable write command.", r.cmd.name)
	}
	return nil
}

// sweepSessions forgets sessions that nobody used, with their cursors, and
// writes of sessions that are gone.
func (s *Standin) sweepSessions() {
	at := s.now()
	if at.Sub(s.sessions.swept) < time.Minute {
		return
	}
	s.sessions.swept = at
	for key, old := range s.sessions.byKey {
		if at.Sub(old.used) > sessionLife {
			s.endSession(key)
		}
	}
	s.replay.sweep(at)
}

// endSession forgets a session and closes its cursors. What it wrote is
// remembered until the replay table's own time is over.
func (s *Standin) endSession(key string) {
	if old := s.sessions.byKey[key]; old != nil {
		close(old.killed)
		delete(s.sessions.byKey, key)
	}
	s.cursors.kill(key)
}

func sessionCommands() []*command {
	return []*command{
		{name: "startSession", run: runStartSession, handshake: true},
		{name: "refreshSessions", run: runRefreshSessions, handshake: true},
		{name: "endSessions", run: runEndSessions, handshake: true},
		{name: "killSessions", run: runKillSessions},
		{name: "killAllSessions", run: runKillAllSessions, needs: onCluster("killAnySession")},
		{name: "killAllSessionsByPattern", run: runKillAllSessions, needs: onCluster("killAnySession")},
	}
}

func runStartSession(s *Standin, r *request) (bson.D, error) {
	id := newUUID()
	s.sessions.touch(sessionKey(r.conn.user, string(id.Data)), s.now())
	return bson.D{{Key: "id", Value: bson.D{{Key: "id", Value: id}}}, {Key: "timeoutMinutes", Value: int32(sessionLife.Minutes())}}, nil
}

// sessionKeys reads the list of sessions a command names, all of the sender.
func sessionKeys(r *request) ([]string, error) {
	list, err := r.array(r.name)
	if err != nil {
		return nil, err
	}
	var keys []string
	for _, v := range list {
		id, err := parseSession(v, r.cmd.name+"."+r.cmd.name)
		if err != nil {
			return nil, err
		}
		keys = append(keys, sessionKey(r.conn.user, string(id)))
	}
	return keys, nil
}

func runRefreshSessions(s *Standin, r *request) (bson.D, error) {
	keys, err := sessionKeys(r)
	for _, key := range keys {
		s.sessions.touch(key, s.now())
	}
	return bson.D{}, err
}

func runEndSessions(s *Standin, r *request) (bson.D, error) {
	keys, err := sessionKeys(r)
	for _, key := range keys {
		s.endSession(key)
	}
	return bson.D{}, err
}

// runKillSessions ends what the sender's sessions have under way and their
// cursors, those of all its sessions when it names none. The sessions stay.
func runKillSessions(s *Standin, r *request) (bson.D, error) {
	keys, err := sessionKeys(r)
	if err != nil {
		return nil, err
	}
	if len(keys) == 0 {
		keys = s.sessionsOf(r.conn.user)
	}
	for _, key := range keys {
		s.killSession(r, key)
	}
	return bson.D{}, nil
}

// runKillAllSessions does so for users, all of them when it names none.
func runKillAllSessions(s *Standin, r *request) (bson.D, error) {
	list, err := r.docs1(r.name)
	if err != nil {
		return nil, err
	}
	var keys []string
	if len(list) == 0 {
		keys = s.sessionsOf("")
	}
	for _, d := range list {
		for _, e := range d {
			if e.Key != "user" && e.Key != "db" {
				return nil, notImplemented("%s by %s", r.cmd.name, e.Key)
			}
		}
		user, _ := lookupField(d, "user")
		if name, ok := user.(string); ok && name != "" {
			keys = append(keys, s.sessionsOf(name)...)
		}
	}
	for _, key := range keys {
		s.killSession(r, key)
	}
	return bson.D{}, nil
}

func (s *Standin) sessionsOf(user string) []string {
	var keys []string
	for key := range s.sessions.byKey {
		if user == "" || len(key) > len(user) && key[:len(user)+1] == sessionKey(user, "") {
			keys = append(keys, key)
		}
	}
	return keys
}

// killSession spares the sender's own command.
func (s *Standin) killSession(r *request, key string) {
	if old := s.sessions.byKey[key]; old != nil && key != r.session {
		close(old.killed)
		old.killed = make(chan struct{})
	}
	s.cursors.kill(key)
}
