package mongotest

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/bson/primitive"
)

// shapes bends well-formed commands by the decisions that bytes stand for: bytes
// alone seldom get past the lengths within BSON, and then reach nothing.
type shapes struct{ decisions []byte }

func (s *shapes) next(n int) int {
	if len(s.decisions) == 0 || n <= 1 {
		return 0
	}
	b := s.decisions[0]
	s.decisions = s.decisions[1:]
	return int(b) % n
}

// oddValue is one that a careless handler would stumble over.
func (s *shapes) oddValue(depth int) any {
	odd := []any{nil, true, int32(0), int32(-1), int64(math.MaxInt64), int64(math.MinInt64), math.NaN(), math.Inf(1), 1e300, -0.5, "", "$a", "a.b.c", ".", "a..b", "$", "x\x00y",
		bson.D{}, bson.A{}, primitive.Regex{Pattern: "("}, primitive.MinKey{}, primitive.MaxKey{}, primitive.Undefined{}, primitive.NewObjectID(), primitive.DateTime(-1),
		primitive.Timestamp{T: 1}, primitive.Binary{Subtype: 4, Data: []byte("short")}, newUUID(), primitive.Symbol("s"), primitive.JavaScript("f"),
		primitive.CodeWithScope{Code: "f", Scope: bson.D{}}, primitive.Decimal128{}, primitive.DBPointer{}}
	i := s.next(len(odd) + 8)
	switch {
	case i < len(odd):
		return odd[i]
	case depth > 4:
		return nil
	case i < len(odd)+4:
		return bson.A{s.oddValue(depth + 1), s.oddValue(depth + 1)}
	}
	keys := []string{"$gt", "$in", "$elemMatch", "$each", "_id", "a", "a.0", "0", "", "$", "$eq", "$and", "id", "role", "db", "user", "key", "name", "q", "u", "limit", "multi", "level", "w", "mode"}
	return bson.D{field(keys[s.next(len(keys))], s.oddValue(depth+1)), field(keys[s.next(len(keys))], s.oddValue(depth+1))}
}

// bend changes one place in a document or list.
func (s *shapes) bend(v any, depth int) any {
	if depth > 0 && s.next(3) == 0 {
		return s.oddValue(depth)
	}
	switch x := v.(type) {
	case bson.D:
		if len(x) == 0 {
			return x
		}
		out := append(bson.D{}, x...)
		i := s.next(len(out))
		switch s.next(8) {
		case 0:
			return append(out[:i], out[i+1:]...)
		case 1:
			return append(out, field(out[i].Key, s.oddValue(depth)))
		}
		out[i].Value = s.bend(out[i].Value, depth+1)
		return out
	case bson.A:
		if len(x) == 0 {
			return bson.A{s.oddValue(depth)}
		}
		out := append(bson.A{}, x...)
		i := s.next(len(out))
		out[i] = s.bend(out[i], depth+1)
		return out
	}
	return s.oddValue(depth)
}

// FuzzShapes: no command of any shape panics, hangs or makes the server grow
// without bound, and every reply can be sent.
func FuzzShapes(f *testing.F) {
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same seeds every time
	for range 300 {
		seed := make([]byte, 40+random.IntN(160))
		for i := range seed {
			seed[i] = byte(random.Uint32())
		}
		f.Add(seed)
	}
	servers, seeds := fuzzServers(f), commandSeeds()
	f.Fuzz(func(t *testing.T, decisions []byte) {
		if len(decisions) > 4096 {
			return
		}
		defer frugal(t, len(decisions))()
		s := &shapes{decisions: decisions}
		srv := servers[s.next(len(servers))]
		c := freshConn(srv)
		for len(s.decisions) > 0 {
			command := seeds[s.next(len(seeds))]
			for range s.next(4) {
				command, _ = s.bend(command, 0).(bson.D)
			}
			db := []string{"d", "admin", externalDB, "config", ""}[s.next(5)]
			raw, err := bson.Marshal(append(append(bson.D{}, command...), field("$db", db)))
			if err != nil {
				continue
			}
			budget := maxElements
			body, _, err := takeDocument(raw, &budget)
			if err != nil {
				continue
			}
			m := message{opcode: opMsg, db: db, body: body}
			doc, _ := srv.handle(c, m)
			if _, err := encodeReply(m, 1, doc); err != nil {
				t.Fatalf("%s: %v", describeShort(body), err)
			}
		}
	})
}

// fuzzServers gives a server of every dialect, as a router and as a shard.
func fuzzServers(f *testing.F) []*Standin {
	f.Helper()
	authority := must(NewAuthority())(f)
	cert := must(authority.Issue(RouterDN, "localhost"))(f)
	var servers []*Standin
	for _, d := range []Dialect{Dialect40, Dialect42, Dialect44} {
		for _, mongod := range []bool{false, true} {
			servers = append(servers, must(New(f.Context(), Config{Dialect: d, Mongod: mongod, Certificate: cert, ClientCAs: authority.Chain}))(f))
		}
	}
	return servers
}

// freshConn empties a server and logs the admin in.
func freshConn(s *Standin) *conn {
	s.store, s.cursors, s.sessions, s.replay = newStore(), newCursors(), newSessionTable(time.Now()), newReplayTable()
	s.seedConfig()
	s.ensureAdmin(AdminDN)
	return &conn{server: s, router: &router{}, raw: silent{}, subject: AdminDN, user: AdminDN, userDB: externalDB}
}
