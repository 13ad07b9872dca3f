package mongotest

import (
	"bufio"
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"net"
	"runtime"
	"slices"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/bson"
)

// frugal bounds what a hostile input may cost: time, and memory in proportion to
// its length. Call what it gives when the work is done.
func frugal(t *testing.T, length int) func() {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	return func() {
		runtime.ReadMemStats(&after)
		const limit = 512 << 20
		if grown := after.TotalAlloc - before.TotalAlloc; grown > uint64(limit+4096*length) { //nolint:gosec // a length
			t.Errorf("%d bytes of input took %d bytes of memory", length, grown)
		}
		if took := time.Since(start); took > 20*time.Second {
			t.Errorf("%d bytes of input took %s", length, took)
		}
	}
}

// FuzzReadMessage: no bytes panic the decoder, and what it takes can be matched,
// printed and answered.
func FuzzReadMessage(f *testing.F) {
	add := func(opcode uint32, payload []byte) { f.Add(framed(opcode, payload)) }
	for _, d := range []bson.D{
		{field("ping", 1), field("$db", "admin")},
		{field("find", "x"), field("$db", "d"), field("filter", bson.D{field("a.b", bson.D{field("$gt", 1)}), field("$or", bson.A{bson.D{}})})},
		{field("update", "x"), field("$db", "d"), field("updates", bson.A{bson.D{field("q", bson.D{}), field("u", bson.D{field("$push", bson.D{field("a.0", 1)})})}})},
	} {
		raw, err := bson.Marshal(d)
		if err != nil {
			f.Fatal(err)
		}
		add(opMsg, section(raw))
		add(opQuery, append([]byte("\x00\x00\x00\x00admin.$cmd\x00\x00\x00\x00\x00\xff\xff\xff\xff"), raw...))
	}
	add(opMsg, section(nested(300)))
	f.Fuzz(func(t *testing.T, raw []byte) {
		defer frugal(t, len(raw))()
		m, err := readMessage(bytes.NewReader(raw))
		if err != nil {
			return
		}
		_ = describe(m.body)
		_ = indexKey(m.body)
		for _, e := range m.body {
			d, ok := e.Value.(bson.D)
			if !ok {
				continue
			}
			if match, err := compileFilter(d); err == nil {
				match(m.body)
			}
			if up, err := compileUpdate(d); err == nil {
				_, _ = up.apply(m.body, true)
			}
			_, _ = compileProjection(d)
			_ = sortDocs([]bson.D{m.body, d}, d)
		}
		if _, err := encodeReply(m, 1, m.body); err != nil {
			t.Logf("reply: %v", err)
		}
	})
}

// commandSeeds name every command once, with arguments that reach into it.
func commandSeeds() []bson.D {
	doc := bson.D{field("_id", 1), field("a", bson.A{1, bson.D{field("b", "c")}}), field("n", int64(2))}
	session := []bson.E{field("lsid", bson.D{field("id", newUUID())}), field("txnNumber", int64(1))}
	roles := field("roles", bson.A{Role("readWrite", "d"), "read"})
	privileges := field("privileges", bson.A{bson.D{field("resource", bson.D{field("db", "d"), field("collection", "c")}), field("actions", bson.A{"find", "update"})}})
	update := bson.D{field("$set", bson.D{field("a.0", 1)}), field("$inc", bson.D{field("n", 1)}), field("$push", bson.D{field("l", bson.D{field("$each", bson.A{1, 2}), field("$slice", -1)})}),
		field("$unset", bson.D{field("x.y", 1)}), field("$addToSet", bson.D{field("s", 1)}), field("$pull", bson.D{field("p", bson.D{field("$gt", 1)})}),
		field("$min", bson.D{field("m", 1)}), field("$currentDate", bson.D{field("t", true)}), field("$setOnInsert", bson.D{field("o", 1)})}
	filter := bson.D{field("a.b", bson.D{field("$gt", 1), field("$in", bson.A{1, nil, "c"})}), field("$or", bson.A{bson.D{}, bson.D{field("l", bson.D{field("$elemMatch", bson.D{field("$lt", 3)})})}}),
		field("z", bson.D{field("$not", bson.D{field("$exists", true)})})}
	return []bson.D{
		cmd("isMaster", 1, field("speculativeAuthenticate", bson.D{field("authenticate", 1), field("mechanism", "MONGODB-X509")})), cmd("hello", 1), cmd("buildInfo", 1),
		cmd("authenticate", 1, field("mechanism", "MONGODB-X509"), field("user", "CN=x")), cmd("saslStart", 1), cmd("logout", 1), cmd("ping", 1),
		cmd("startSession", 1), cmd("refreshSessions", bson.A{bson.D{field("id", newUUID())}}), cmd("endSessions", bson.A{}), cmd("killSessions", bson.A{}),
		cmd("killAllSessions", bson.A{bson.D{field("user", "u"), field("db", "d")}}), cmd("connectionStatus", 1, field("showPrivileges", true)), cmd("whatsmyuri", 1),
		cmd("getParameter", "*"), cmd("serverStatus", 1), cmd("getCmdLineOpts", 1), cmd("invalidateUserCache", 1),
		append(cmd("insert", "c", field("documents", bson.A{doc, bson.D{}}), field("ordered", false)), session...),
		append(cmd("update", "c", field("updates", bson.A{bson.D{field("q", filter), field("u", update), field("upsert", true)}, bson.D{field("q", bson.D{}), field("u", doc)}})), session...),
		append(cmd("delete", "c", field("deletes", bson.A{bson.D{field("q", filter), field("limit", 1)}})), session...),
		append(cmd("findAndModify", "c", field("query", filter), field("update", update), field("new", true), field("upsert", true), field("sort", bson.D{field("n", -1)}), field("fields", bson.D{field("a.b", 1)})), session...),
		cmd("find", "c", field("filter", filter), field("sort", bson.D{field("a.b", 1)}), field("projection", bson.D{field("a", 0)}), field("batchSize", 1), field("skip", 0), field("limit", 3),
			field("readConcern", bson.D{field("level", "linearizable")}), field("maxTimeMS", 1000)),
		cmd("getMore", int64(1), field("collection", "c")), cmd("killCursors", "c", field("cursors", bson.A{int64(1)})), cmd("count", "c", field("query", filter)),
		cmd("distinct", "c", field("key", "a.b"), field("query", bson.D{})),
		cmd("aggregate", "c", field("cursor", bson.D{}), field("pipeline", bson.A{bson.D{field("$match", filter)}, bson.D{field("$sort", bson.D{field("n", 1)})},
			bson.D{field("$group", bson.D{field("_id", "$a.b"), field("n", bson.D{field("$sum", "$n")}), field("f", bson.D{field("$first", "$a")})})}, bson.D{field("$project", bson.D{field("n", 1)})}, bson.D{field("$count", "x")}})),
		cmd("listDatabases", 1), cmd("listCollections", 1, field("filter", bson.D{field("name", "c")})), cmd("listIndexes", "c"), cmd("create", "c"),
		cmd("createIndexes", "c", field("indexes", bson.A{bson.D{field("key", bson.D{field("a.b", 1)}), field("name", "i"), field("unique", true)}})), cmd("dropIndexes", "c", field("index", "*")),
		cmd("drop", "c"), cmd("dropDatabase", 1),
		cmd("createUser", "u", field("pwd", "x"), roles), cmd("updateUser", "u", roles), cmd("grantRolesToUser", "u", roles), cmd("revokeRolesFromUser", "u", roles), cmd("dropUser", "u"),
		cmd("dropAllUsersFromDatabase", 1), cmd("usersInfo", bson.A{"u", bson.D{field("user", "u"), field("db", "d")}}, field("showPrivileges", true)), cmd("usersInfo", bson.D{field("forAllDBs", true)}),
		cmd("createRole", "r", privileges, roles), cmd("updateRole", "r", privileges), cmd("grantPrivilegesToRole", "r", privileges), cmd("rolesInfo", 1, field("showPrivileges", true)), cmd("dropRole", "r"),
		cmd("listShards", 1), cmd("addShardToZone", "data", field("zone", "z")), cmd("updateZoneKeyRange", "d.c", field("min", bson.D{field("k", 0)}), field("max", bson.D{field("k", 1)}), field("zone", "z")),
		cmd("removeShardFromZone", "data", field("zone", "z")), cmd("enableSharding", "d"), cmd("shardCollection", "d.c", field("key", bson.D{field("k", 1)})), cmd("balancerStatus", 1),
	}
}

// silent is a connection that carries nothing.
type silent struct{ net.Conn }

func (silent) LocalAddr() net.Addr  { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }
func (silent) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 2} }

// FuzzCommands: no conversation of an administrator with a server of any dialect
// panics, hangs or makes it grow without bound, and all its replies can be sent.
func FuzzCommands(f *testing.F) {
	admin := []string{"admin", "d", "$external"}
	var all []byte
	for i, c := range commandSeeds() {
		for n, db := range admin {
			raw, err := bson.Marshal(append(slices.Clone(c), field("$db", db)))
			if err != nil {
				f.Fatal(err)
			}
			message := framed(opMsg, section(raw))
			f.Add(byte(i+n), message)
			all = append(all, message...)
		}
	}
	f.Add(byte(0), all)
	servers := fuzzServers(f)
	f.Fuzz(func(t *testing.T, which byte, raw []byte) {
		defer frugal(t, len(raw))()
		s := servers[int(which)%len(servers)]
		c := freshConn(s)
		for r := bytes.NewReader(raw); ; {
			m, err := readMessage(r)
			if err != nil {
				return
			}
			doc, _ := s.handle(c, m)
			reply, err := encodeReply(m, 1, doc)
			if err != nil {
				t.Fatalf("%s: %v", describe(m.body), err)
			}
			if len(reply) < headerLen {
				t.Fatal("an empty reply")
			}
		}
	})
}

// FuzzSnapshot: a damaged data file is an error, and what is taken of one can be
// written again.
func FuzzSnapshot(f *testing.F) {
	s := newStore()
	c := s.ensure(namespace{"d", "c"})
	c.put(bson.D{field("_id", 1), field("a", bson.A{1, "x"})})
	if err := c.addIndex(bson.D{field("key", bson.D{field("a", 1)}), field("name", "i"), field("unique", true)}); err != nil {
		f.Fatal(err)
	}
	var file bytes.Buffer
	if err := s.dump(&file); err != nil {
		f.Fatal(err)
	}
	f.Add(file.Bytes())
	f.Add(file.Bytes()[:file.Len()-3])
	f.Fuzz(func(t *testing.T, raw []byte) {
		defer frugal(t, len(raw))()
		s := newStore()
		if err := s.load(bufio.NewReader(bytes.NewReader(raw))); err != nil {
			return
		}
		newReplayTable().restore(s)
		var again bytes.Buffer
		if err := s.snapshot().dump(&again); err != nil {
			t.Error(err)
		}
	})
}

// FuzzSubject: no subject of a certificate panics, and the text of one that can
// be written by hand gives the same text again.
func FuzzSubject(f *testing.F) {
	for _, dn := range []string{AdminDN, RouterDN, service, `CN=a\,b+O=c,DC=d`, "CN=x,UID=y,ST=z"} {
		f.Add(must(encodeDN(dn))(f), dn)
	}
	f.Add(must(asn1.Marshal(pkix.Name{CommonName: "ü", Country: []string{"CH"}, SerialNumber: "1"}.ToRDNSequence()))(f), "=,=")
	f.Fuzz(func(t *testing.T, der []byte, dn string) {
		defer frugal(t, len(der)+len(dn))()
		if text, err := Subject(&x509.Certificate{RawSubject: der}); err == nil {
			_ = memberKey(text)
		}
		raw, err := encodeDN(dn)
		if err != nil {
			return
		}
		text, err := Subject(&x509.Certificate{RawSubject: raw})
		if err != nil {
			t.Fatalf("%q: %v", dn, err)
		}
		// What a certificate is called can be asked of an authority again.
		second, err := encodeDN(text)
		if err != nil {
			return // a value that the text must escape in another way than by hand
		}
		if again, err := Subject(&x509.Certificate{RawSubject: second}); err != nil || memberKey(again) != memberKey(text) && text == dn {
			t.Errorf("%q, then %q: %v", text, again, err)
		}
	})
}

// FuzzCertKey: no file with a certificate and a key panics or is taken halfway.
func FuzzCertKey(f *testing.F) {
	cert := must(must(NewAuthority())(f).Issue(service))(f)
	full := must(PEM(cert))(f)
	f.Add(full, "")
	f.Add(bytes.Replace(full, []byte("PRIVATE KEY"), []byte("ENCRYPTED PRIVATE KEY"), 2), "secret")
	f.Add(full[:len(full)/2], "")
	f.Fuzz(func(t *testing.T, file []byte, pass string) {
		defer frugal(t, len(file))()
		if c, err := ParseCertKey(file, []byte(pass)); err == nil && (c.Leaf == nil || c.PrivateKey == nil) {
			t.Error("half a certificate")
		}
	})
}
