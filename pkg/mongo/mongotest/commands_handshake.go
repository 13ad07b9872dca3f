package mongotest

import (
	"context"
	"time"

	"go.mongodb.org/mongo-driver/bson"
)

func handshakeCommands() []*command {
	return []*command{
		{name: "isMaster", aliases: []string{"ismaster"}, run: runIsMaster, open: true, handshake: true},
		{name: "hello", run: runHello, open: true, handshake: true},
		{name: "authenticate", run: runAuthenticate, open: true, handshake: true},
		{name: "saslStart", run: runSASLStart, open: true, handshake: true},
		{name: "saslContinue", run: runSASLContinue, open: true, handshake: true},
		{name: "logout", run: runLogout, open: true, handshake: true},
	}
}

func runIsMaster(s *Standin, r *request) (bson.D, error) { return s.greeting(r, "ismaster"), nil }

func runHello(s *Standin, r *request) (bson.D, error) { return s.greeting(r, "isWritablePrimary"), nil }

// greeting is the answer to isMaster and hello.
func (s *Standin) greeting(r *request, primaryField string) bson.D {
	var d bson.D
	if s.mongos() {
		d = bson.D{{Key: primaryField, Value: true}, {Key: "msg", Value: "isdbgrid"}}
	} else if s.fresh.Load() {
		d = unassembled(primaryField)
	} else {
		d = s.describeSet(s.memberGreeting(r, primaryField), r.conn.raw.LocalAddr().String())
	}
	d = append(d, bson.D{
		{Key: "maxBsonObjectSize", Value: int32(maxDocument)},
		{Key: "maxMessageSizeBytes", Value: int32(maxMessage)},
		{Key: "maxWriteBatchSize", Value: int32(maxBatch)},
		{Key: "localTime", Value: now()},
		{Key: "logicalSessionTimeoutMinutes", Value: int32(sessionLife.Minutes())},
	}...)
	if s.since(Dialect42) {
		d = append(d, bson.E{Key: "connectionId", Value: r.conn.id})
	}
	d = append(d, bson.E{Key: "maxWireVersion", Value: s.wire}, bson.E{Key: "minWireVersion", Value: int32(0)})
	d = append(d, s.supportedMechs(r)...)
	if s.since(Dialect44) {
		if r.flag("helloOk") {
			d = append(d, bson.E{Key: "helloOk", Value: true})
		}
		if spec, ok := r.get("speculativeAuthenticate").(bson.D); ok {
			if mech, _ := lookupField(spec, "mechanism"); mech == mechanismX509 {
				// A login that fails here is tried again by the client, which then
				// gets the reason.
				if reply, err := s.login(r.conn); err == nil {
					d = append(d, bson.E{Key: "speculativeAuthenticate", Value: reply})
				}
			}
		}
	}
	return d
}

// memberGreeting is the part of the answer that a member of a replica set gives.
func (s *Standin) memberGreeting(r *request, primaryField string) bson.D {
	me, primary := r.conn.raw.LocalAddr().String(), s.isPrimary()
	var d bson.D
	if s.since(Dialect44) {
		d = bson.D{{Key: "topologyVersion", Value: s.topologyVersion()}}
	}
	d = append(d, bson.D{{Key: "hosts", Value: bson.A{me}}, {Key: "setName", Value: s.cfg.ReplicaSet}, {Key: "setVersion", Value: int32(1)},
		{Key: primaryField, Value: primary}, {Key: "secondary", Value: !primary}}...)
	if primary {
		d = append(d, bson.E{Key: "primary", Value: me})
	}
	d = append(d, bson.E{Key: "me", Value: me})
	if primary {
		d = append(d, bson.E{Key: "electionId", Value: s.processID})
	}
	at, date := s.tick(), now()
	op := bson.D{{Key: "ts", Value: at}, {Key: "t", Value: int64(1)}}
	return append(d, bson.E{Key: "lastWrite", Value: bson.D{{Key: "opTime", Value: op}, {Key: "lastWriteDate", Value: date},
		{Key: "majorityOpTime", Value: op}, {Key: "majorityWriteDate", Value: date}}})
}

// topologyVersion changes with every election that begins or ends.
func (s *Standin) topologyVersion() bson.D {
	return bson.D{{Key: "processId", Value: s.processID}, {Key: "counter", Value: s.faults.topology()}}
}

// awaitTopology holds the answer to a client that waits for a change of what it
// knows already, as it asks to.
func (s *Standin) awaitTopology(r *request) {
	known, ok := r.get("topologyVersion").(bson.D)
	limit, err := r.int("maxAwaitTimeMS")
	if !ok || err != nil || limit <= 0 || s.mongos() || !s.since(Dialect44) {
		return
	}
	ctx, cancel := context.WithTimeout(s.ctx, time.Duration(min(limit, 1<<31))*time.Millisecond)
	defer cancel()
	process, _ := lookupField(known, "processId")
	counter, _ := lookupField(known, "counter")
	for process == s.processID && counter == s.faults.topology() && wait(ctx, 10*time.Millisecond) == nil {
	}
}

const mechanismX509 = "MONGODB-X509"

func runAuthenticate(s *Standin, r *request) (bson.D, error) {
	mech, _ := r.get("mechanism").(string)
	if mech != mechanismX509 {
		return nil, errf(codeBadValue, "Unsupported mechanism: %s", mech)
	}
	if r.db != externalDB {
		return nil, errf(17, "X.509 authentication must always use the $external database.")
	}
	if name, ok := r.get("user").(string); ok && name != r.conn.subject {
		return nil, authFailed()
	}
	return s.login(r.conn)
}

// authFailed is all that the server says of why: a name that is not the
// certificate's subject, or a member's certificate where members use a key file.
func authFailed() error { return errf(codeAuthenticationFailed, "auth failed") }

// login logs a connection in as its certificate's subject.
func (s *Standin) login(c *conn) (bson.D, error) {
	reply := bson.D{{Key: "dbname", Value: externalDB}, {Key: "user", Value: c.subject}}
	if s.isMember(c.subject) {
		if s.cfg.NoClusterX509 {
			return nil, authFailed()
		}
		c.user, c.userDB = systemUser, localDB
		return reply, nil
	}
	if s.cachedUser(c, externalDB, c.subject) == nil {
		return nil, s.userNotFound(c.subject, externalDB)
	}
	c.user, c.userDB = c.subject, externalDB
	return reply, nil
}

// userNotFound words the absence of a user as the dialect's login does.
func (s *Standin) userNotFound(user, db string) error {
	switch {
	case s.since(Dialect42):
		return errf(codeUserNotFound, `Could not find user "%s" for db "%s"`, user, db)
	case s.mongos():
		return errf(codeUserNotFound, `User "%s@%s" not found`, user, db)
	}
	return errf(codeUserNotFound, "Could not find user %s@%s", user, db)
}

func runLogout(_ *Standin, r *request) (bson.D, error) {
	if r.conn.userDB == r.db {
		r.conn.user, r.conn.userDB = "", ""
	}
	return bson.D{}, nil
}

func runNothing(_ *Standin, _ *request) (bson.D, error) { return bson.D{}, nil }
