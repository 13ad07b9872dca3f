package mongotest

import (
	"context"
	"errors"
	"time"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/bson/primitive"
)

// command is one entry of the command table.
type command struct {
	name    string
	aliases []string
	// run carries it out, under the server's mutex.
	run func(s *Standin, r *request) (bson.D, error)
	// needs gives the rights it takes; nil: none beyond a login.
	needs func(s *Standin, r *request) ([]access, error)
	// open commands need no login.
	open bool
	// handshake commands are left alone by faults that name no command.
	handshake bool
	adminOnly bool
	// write and primary say what an election stops.
	write   bool
	primary bool
	// mongosOnly commands do not exist on a mongod.
	mongosOnly bool
	// fields, when set, are the fields a command knows; another is refused.
	fields map[string]Dialect
}

// commandTable gives every command by each of its names.
func commandTable() map[string]*command {
	out := map[string]*command{}
	for _, list := range [][]*command{handshakeCommands(), readCommands(), writeCommands(), catalogCommands(), userCommands(),
		roleCommands(), shardingCommands(), diagnosticCommands()} {
		for _, c := range list {
			out[c.name] = c
			for _, a := range c.aliases {
				out[a] = c
			}
		}
	}
	return out
}

// outcome is what happens to the connection after a command.
type outcome struct {
	drop  bool
	delay time.Duration
}

// handle runs one request and gives its reply.
func (s *Standin) handle(c *conn, m message) (bson.D, outcome) {
	if len(m.body) == 0 {
		return s.finish(errf(codeCommandNotFound, "no such cmd: ").reply()), outcome{}
	}
	r := &request{conn: c, name: m.body[0].Key, db: m.db, body: m.body}
	cmd, err := s.lookupCommand(r.name)
	if err != nil {
		return s.finish(s.errorReply(err)), outcome{}
	}
	r.cmd = cmd
	fault := s.faults.take(r)
	if wait(s.ctx, fault.Delay) != nil || fault.DropBefore {
		return nil, outcome{drop: true}
	}
	if fault.Error != nil {
		return s.finish(fault.Error.reply()), outcome{delay: fault.ReplyDelay}
	}
	doc, err := s.execute(r, fault)
	if err != nil {
		doc = s.errorReply(err)
	}
	return s.finish(doc), outcome{drop: fault.DropAfter, delay: fault.ReplyDelay}
}

// execute checks a request and runs it: existence, login, rights, time limit,
// primary, then the command itself and its write concern.
func (s *Standin) execute(r *request, fault Fault) (bson.D, error) {
	if err := s.admit(r); err != nil {
		return nil, err
	}
	limit, err := r.maxTime()
	if err != nil {
		return nil, err
	}
	if err := s.slow(fault.Slow, limit); err != nil {
		return nil, err
	}
	if (r.cmd.write || r.cmd.primary && !secondaryOK(r)) && s.faults.inElection() {
		return nil, errf(codeNotMaster, "not master")
	}
	concern, err := s.writeConcern(r)
	if err != nil {
		return nil, err
	}
	if err := checkReadConcern(r); err != nil {
		return nil, err
	}
	s.mu.Lock()
	// Rights are looked up under the same lock that the command runs under: a
	// right taken away is gone for every command after it.
	doc, err := s.authorizeAndRun(r)
	s.trace(r, doc, err)
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	s.saver.poke()
	if r.cmd.write {
		if fault.WriteConcernTimeout {
			concern = &CommandError{Code: codeWriteConcernFailed, Message: "waiting for replication timed out",
				Extra: bson.D{{Key: "errInfo", Value: bson.D{{Key: "wtimeout", Value: true}}}}}
		}
		doc = withWriteConcernError(doc, concern)
	}
	return append(doc, bson.E{Key: "ok", Value: float64(1)}), nil
}

func (s *Standin) authorizeAndRun(r *request) (bson.D, error) {
	if err := s.authorize(r); err != nil {
		return nil, err
	}
	if err := s.checkFields(r); err != nil {
		return nil, err
	}
	return r.cmd.run(s, r)
}

// lookupCommand finds a command, or gives the server's text for a missing one.
func (s *Standin) lookupCommand(name string) (*command, error) {
	cmd := s.commands[name]
	hello := cmd != nil && cmd.name == "hello" && !s.since(Dialect44)
	if cmd != nil && !hello && (!cmd.mongosOnly || s.mongos()) {
		return cmd, nil
	}
	if s.mongos() && !s.since(Dialect44) {
		return nil, errf(codeCommandNotFound, "no such cmd: %s", name)
	}
	return nil, errf(codeCommandNotFound, "no such command: '%s'", name)
}

// admit refuses what needs no look at the store.
func (s *Standin) admit(r *request) error {
	if r.cmd.adminOnly && r.db != adminDB {
		return errf(codeUnauthorized, "%s may only be run against the admin database.", r.cmd.name)
	}
	if r.has("apiVersion") && !s.since(Dialect44) {
		return errf(codeInvalidOptions, "stand-in: dialect %s has no stable API", s.cfg.Dialect)
	}
	return nil
}

// checkFields refuses fields that the dialect's command does not know.
func (s *Standin) checkFields(r *request) error {
	if r.cmd.fields == nil {
		return nil
	}
	for _, e := range r.body[1:] {
		if genericFields[e.Key] {
			continue
		}
		since, known := r.cmd.fields[e.Key]
		if !known || !s.since(since) {
			if r.cmd.name == "find" || r.cmd.name == "findAndModify" {
				return errf(codeFailedToParse, "Failed to parse: %s. Unrecognized field '%s'.", describe(r.body), e.Key)
			}
			return errf(codeUnknownField, "BSON field '%s.%s' is an unknown field.", r.cmd.name, e.Key)
		}
	}
	return nil
}

// genericFields are those every command takes.
var genericFields = map[string]bool{
	"$db": true, "lsid": true, "txnNumber": true, "$clusterTime": true, "$readPreference": true, "readConcern": true,
	"writeConcern": true, "maxTimeMS": true, "comment": true, "apiVersion": true, "apiStrict": true, "apiDeprecationErrors": true,
	"$audit": true, "$client": true, "$configServerState": true, "$queryOptions": true,
}

// fields makes a field table of names that 4.0 knows.
func fields(names ...string) map[string]Dialect {
	out := map[string]Dialect{}
	for _, n := range names {
		out[n] = Dialect40
	}
	return out
}

// slow spends the time a fault asks for, up to the request's own limit.
func (s *Standin) slow(d, limit time.Duration) error {
	if limit > 0 && d >= limit {
		if err := wait(s.ctx, limit); err != nil {
			return errf(codeInterruptedAtShutdown, "interrupted at shutdown")
		}
		return errf(codeMaxTimeMSExpired, "operation exceeded time limit")
	}
	if d > 0 && wait(s.ctx, d) != nil {
		return errf(codeInterruptedAtShutdown, "interrupted at shutdown")
	}
	return nil
}

// secondaryOK tells whether a read may go to a secondary.
func secondaryOK(r *request) bool {
	pref, _ := r.get("$readPreference").(bson.D)
	mode, ok := lookupField(pref, "mode")
	return ok && mode != "primary"
}

// writeConcern parses the concern. One that cannot be met is no failure of the
// command: it comes back to be reported beside its result.
func (s *Standin) writeConcern(r *request) (*CommandError, error) {
	v, ok := lookupField(r.body, "writeConcern")
	if !ok || !r.cmd.write {
		return nil, nil
	}
	wc, ok := v.(bson.D)
	if !ok {
		return nil, r.wrongType("writeConcern", v, "object")
	}
	const members = 3 // what a shard of the real cluster would have
	switch w, _ := lookupField(wc, "w"); x := w.(type) {
	case nil:
	case string:
		if x != "majority" {
			return errf(codeUnknownReplWriteConcern, "No write concern mode named '%s' found in replica set configuration", x), nil
		}
	default:
		if !isNumber(w) || asFloat(w) < 0 || asFloat(w) > 50 {
			return nil, errf(codeFailedToParse, "w has to be a number or a string")
		}
		if asFloat(w) > members {
			return errf(codeUnsatisfiableWriteConcern, "Not enough data-bearing nodes"), nil
		}
	}
	return nil, nil
}

func withWriteConcernError(doc bson.D, e *CommandError) bson.D {
	if e == nil {
		return doc
	}
	wce := bson.D{{Key: "code", Value: e.Code}, {Key: "codeName", Value: codeName(e.Code)}, {Key: "errmsg", Value: e.Message}}
	return append(doc, bson.E{Key: "writeConcernError", Value: append(wce, e.Extra...)})
}

// checkReadConcern takes the levels that exist, and linearizable only for the
// primary.
func checkReadConcern(r *request) error {
	rc, err := r.doc("readConcern")
	if err != nil {
		return err
	}
	switch level, _ := lookupField(rc, "level"); level {
	case nil, "local", "available", "majority":
	case "linearizable":
		if secondaryOK(r) {
			return errf(codeNotMaster, "cannot satisfy linearizable read concern on non-primary node")
		}
	case "snapshot":
		return notImplemented("read concern snapshot")
	default:
		return errf(codeFailedToParse, "Failed to parse read concern level")
	}
	return nil
}

// reads gives the store that a read sees: the frozen one under StaleReads
// unless it is linearizable.
func (s *Standin) reads(r *request) *store {
	stale := s.faults.staleStore()
	rc, _ := r.get("readConcern").(bson.D)
	if level, _ := lookupField(rc, "level"); stale == nil || level == "linearizable" {
		return s.store
	}
	return stale
}

// errorReply gives the document of a failed command.
func (s *Standin) errorReply(err error) bson.D {
	var ce *CommandError
	if errors.As(err, &ce) {
		return ce.reply()
	}
	var dup *duplicateError
	if errors.As(err, &dup) {
		return s.duplicate(dup).reply()
	}
	if errors.Is(err, context.Canceled) {
		return errf(codeInterruptedAtShutdown, "interrupted at shutdown").reply()
	}
	return errf(codeInternalError, "%v", err).reply()
}

// duplicate gives E11000 as the dialect words it.
func (s *Standin) duplicate(e *duplicateError) *CommandError {
	ce := errf(codeDuplicateKey, "%s", e.text(s.cfg.Dialect))
	if s.since(Dialect42) {
		value := bson.D{}
		for i, k := range e.key {
			value = append(value, bson.E{Key: k.Key, Value: e.values[i]})
		}
		ce.Extra = bson.D{{Key: "keyPattern", Value: e.key}, {Key: "keyValue", Value: value}}
	}
	return ce
}

// finish adds the cluster time that every reply of a sharded cluster carries.
func (s *Standin) finish(doc bson.D) bson.D {
	t := s.tick()
	return append(doc,
		bson.E{Key: "operationTime", Value: t},
		bson.E{Key: "$clusterTime", Value: bson.D{{Key: "clusterTime", Value: t}, {Key: "signature", Value: bson.D{
			{Key: "hash", Value: primitive.Binary{Data: make([]byte, 20)}}, {Key: "keyId", Value: int64(0)}}}}})
}

// tick gives the logical time: it grows with the wall clock and never falls.
func (s *Standin) tick() primitive.Timestamp {
	base := uint64(time.Now().Unix()) << 32 //nolint:gosec // after 1970
	for {
		old := s.clock.Load()
		next := max(old, base+1)
		if s.clock.CompareAndSwap(old, next) {
			return primitive.Timestamp{T: uint32(next >> 32), I: uint32(next)} //nolint:gosec // the two halves
		}
	}
}
