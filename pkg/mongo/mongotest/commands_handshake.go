package mongotest

import (
	"go.mongodb.org/mongo-driver/bson"
)

func handshakeCommands() []*command {
	return []*command{
		{name: "isMaster", aliases: []string{"ismaster"}, run: runIsMaster, open: true, handshake: true},
		{name: "hello", run: runHello, open: true, handshake: true},
		{name: "authenticate", run: runAuthenticate, open: true, handshake: true},
		{name: "saslStart", run: runSASLStart, open: true, handshake: true},
		{name: "saslContinue", run: runSASLStart, open: true, handshake: true},
		{name: "logout", run: runLogout, open: true, handshake: true},
		{name: "startSession", run: runStartSession, handshake: true},
		{name: "refreshSessions", run: runNothing, handshake: true},
		{name: "endSessions", run: runNothing, open: true, handshake: true},
	}
}

func runIsMaster(s *Standin, r *request) (bson.D, error) { return s.greeting(r, "ismaster"), nil }

func runHello(s *Standin, r *request) (bson.D, error) { return s.greeting(r, "isWritablePrimary"), nil }

// greeting is the answer to isMaster and hello.
func (s *Standin) greeting(r *request, primaryField string) bson.D {
	var d bson.D
	if s.mongos() {
		d = bson.D{{Key: primaryField, Value: true}, {Key: "msg", Value: "isdbgrid"}}
	} else {
		me := r.conn.raw.LocalAddr().String()
		d = bson.D{{Key: "hosts", Value: bson.A{me}}, {Key: "setName", Value: "data"}, {Key: "setVersion", Value: int32(1)},
			{Key: primaryField, Value: true}, {Key: "secondary", Value: false}, {Key: "primary", Value: me}, {Key: "me", Value: me},
			{Key: "electionId", Value: s.processID}, {Key: "lastWrite", Value: bson.D{{Key: "lastWriteDate", Value: now()}}}}
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
		return nil, errf(codeAuthenticationFailed, "There is no x.509 client certificate matching the user.")
	}
	return s.login(r.conn)
}

// login logs a connection in as its certificate's subject.
func (s *Standin) login(c *conn) (bson.D, error) {
	reply := bson.D{{Key: "dbname", Value: externalDB}, {Key: "user", Value: c.subject}}
	if s.isMember(c.subject) && !s.cfg.NoClusterX509 {
		c.user, c.userDB, c.privs = systemUser, localDB, nil
		return reply, nil
	}
	if s.store.find(usersNS).get(userKey(externalDB, c.subject)) == nil {
		return nil, s.userNotFound(c.subject, externalDB)
	}
	c.user, c.userDB, c.privs = c.subject, externalDB, nil
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

func runSASLStart(_ *Standin, r *request) (bson.D, error) {
	mech, _ := r.get("mechanism").(string)
	return nil, errf(codeBadValue, "Unsupported mechanism %s", mech)
}

func runLogout(_ *Standin, r *request) (bson.D, error) {
	if r.conn.userDB == r.db {
		r.conn.user, r.conn.userDB, r.conn.privs = "", "", nil
	}
	return bson.D{}, nil
}

func runStartSession(_ *Standin, _ *request) (bson.D, error) {
	return bson.D{{Key: "id", Value: bson.D{{Key: "id", Value: newUUID()}}},
		{Key: "timeoutMinutes", Value: int32(sessionLife.Minutes())}}, nil
}

func runNothing(_ *Standin, _ *request) (bson.D, error) { return bson.D{}, nil }
