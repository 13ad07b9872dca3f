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
	// retryable commands take a txnNumber.
	retryable bool
	// changes is what the router must forget of users.
	changes invalidation
}

// commandTable gives every command by each of its names.
func commandTable() map[string]*command {
	out := map[string]*command{}
	for _, list := range [][]*command{handshakeCommands(), sessionCommands(), readCommands(), writeCommands(), catalogCommands(), userCommands(),
		roleCommands(), shardingCommands(), diagnosticCommands(), setCommands(), assemblyCommands()} {
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
	s.observers.tell(cmd.name)
	fault := s.faults.take(r)
	if wait(s.ctx, fault.Delay) != nil || fault.DropBefore {
		return nil, outcome{drop: true}
	}
	if fault.Error != nil {
		return s.finish(s.labelled(r, fault.Error.reply())), outcome{delay: fault.ReplyDelay}
	}
	if r.cmd.handshake {
		s.awaitTopology(r)
	}
	doc, err := s.execute(r, fault)
	if err != nil {
		doc = s.labelled(r, s.errorReply(err))
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
	if err := s.enterSession(r); err != nil {
		return nil, err
	}
	if err := s.slow(r, fault.Slow, limit); err != nil {
		return nil, err
	}
	if err := s.needPrimary(r); err != nil {
		return nil, err
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
	doc, err := r.cmd.run(s, r)
	forgetUsers(r)
	return doc, err
}

// isPrimary tells whether this server is a primary, or a router that reaches one.
func (s *Standin) isPrimary() bool {
	return !s.cfg.Secondary && !s.fresh.Load() && !s.faults.inElection()
}

// needPrimary refuses what only a primary does. A router passes on what a shard
// without one says.
func (s *Standin) needPrimary(r *request) error {
	switch {
	case s.isPrimary():
		return nil
	case r.cmd.write:
		return errf(codeNotMaster, "not master")
	case r.cmd.primary && !secondaryOK(r) && s.mongos():
		return errf(codeNotMaster, "not master")
	case r.cmd.primary && !secondaryOK(r):
		return errf(codeNotMasterNoSlaveOk, "not master and slaveOk=false")
	}
	return nil
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
				return errf(codeFailedToParse, "Failed to parse: %s. Unrecognized field '%s'.", describeShort(r.body), e.Key)
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

// slow spends the time a fault asks for, up to the request's own limit, or until
// somebody kills the request's session.
func (s *Standin) slow(r *request, d, limit time.Duration) error {
	over := limit > 0 && d >= limit
	if over {
		d = limit
	}
	if d <= 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-s.ctx.Done():
		return errf(codeInterruptedAtShutdown, "interrupted at shutdown")
	case <-r.killed:
		return errf(codeInterrupted, "operation was interrupted")
	}
	if over {
		return errf(codeMaxTimeMSExpired, "operation exceeded time limit")
	}
	return nil
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

// labelled adds the label by which a driver retries a write from wire version 9
// on; of older servers it knows the codes itself.
func (s *Standin) labelled(r *request, doc bson.D) bson.D {
	code, _ := lookupField(doc, "code")
	if _, has := lookupField(doc, "errorLabels"); has || !s.since(Dialect44) || !r.has("txnNumber") {
		return doc
	}
	switch code {
	case int32(codeNotMaster), int32(codeNotMasterNoSlaveOk), int32(codeInterruptedAtShutdown), int32(91), int32(189), int32(11602), int32(13436):
		return append(doc, bson.E{Key: "errorLabels", Value: bson.A{"RetryableWriteError"}})
	}
	return doc
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
