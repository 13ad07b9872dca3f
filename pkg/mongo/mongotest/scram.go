package mongotest

import (
	"crypto/rand"
	"fmt"

	"github.com/xdg-go/scram"
	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/bson/primitive"
)

const mechanismScram = "SCRAM-SHA-256"

// passwords are what SCRAM verifies users of databases other than $external by, for the life of the process.
type passwords map[string]scram.StoredCredentials

// setPassword keeps what proves a password, not the password.
func (s *Standin) setPassword(db, user, password string) error {
	client, err := scram.SHA256.NewClient(user, password, "")
	if err != nil {
		return errf(codeBadValue, "Error preparing the password: %v", err)
	}
	const iterations = 4096 // the least that the protocol allows
	s.passwords[userKey(db, user)] = client.GetStoredCredentials(scram.KeyFactors{Salt: rand.Text(), Iters: iterations})
	return nil
}

// scramLogin is a login under way on one connection.
type scramLogin struct {
	conversation *scram.ServerConversation
	db           string
	short        bool // without the empty exchange at the end
}

func runSASLStart(s *Standin, r *request) (bson.D, error) {
	mech, _ := r.get("mechanism").(string)
	if mech == "SCRAM-SHA-1" && r.db != "$external" { // what drivers take for a user who has no mechanisms, being unknown; nobody here has a password for it
		return nil, errf(codeAuthenticationFailed, "Authentication failed.")
	}
	if mech != mechanismScram {
		return nil, errf(codeBadValue, "Unsupported mechanism %s", mech)
	}
	server, err := scram.SHA256.NewServer(func(user string) (scram.StoredCredentials, error) {
		stored, ok := s.passwords[userKey(r.db, user)]
		if !ok {
			return stored, fmt.Errorf("user %q is unknown", user)
		}
		return stored, nil
	})
	if err != nil {
		return nil, errf(codeAuthenticationFailed, "Authentication failed.")
	}
	options, _ := r.get("options").(bson.D)
	short, _ := lookupField(options, "skipEmptyExchange")
	r.conn.scram = &scramLogin{conversation: server.NewConversation(), db: r.db, short: s.since(Dialect44) && truthy(short)}
	return scramStep(s, r)
}

func runSASLContinue(s *Standin, r *request) (bson.D, error) {
	if r.conn.scram == nil {
		return nil, errf(17, "No SASL session state found")
	}
	return scramStep(s, r)
}

func scramStep(s *Standin, r *request) (bson.D, error) {
	login := r.conn.scram
	reply := func(payload string, done bool) (bson.D, error) {
		return bson.D{{Key: "conversationId", Value: int32(1)}, {Key: "done", Value: done}, {Key: "payload", Value: primitive.Binary{Data: []byte(payload)}}}, nil
	}
	if login.conversation.Done() {
		r.conn.scram = nil
		return reply("", true)
	}
	payload, _ := r.get("payload").(primitive.Binary)
	answer, err := login.conversation.Step(string(payload.Data))
	if err != nil {
		r.conn.scram = nil
		return nil, errf(codeAuthenticationFailed, "Authentication failed.")
	}
	if login.conversation.Valid() {
		user := login.conversation.Username()
		if s.store.find(usersNS).get(userKey(login.db, user)) == nil {
			return nil, errf(codeAuthenticationFailed, "Authentication failed.")
		}
		r.conn.user, r.conn.userDB = user, login.db
	}
	return reply(answer, login.conversation.Done() && login.short)
}

// supportedMechs answers a handshake that names a user.
func (s *Standin) supportedMechs(r *request) bson.D {
	name, _ := r.get("saslSupportedMechs").(string)
	if _, known := s.passwords[name]; !known {
		return nil
	}
	return bson.D{{Key: "saslSupportedMechs", Value: bson.A{mechanismScram}}}
}
