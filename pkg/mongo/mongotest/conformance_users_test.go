package mongotest

import (
	"net"
	"testing"
	"time"

	"crypto/tls"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/bson/primitive"
	"go.mongodb.org/mongo-driver/mongo/options"
)

func cmd(name string, value any, more ...bson.E) bson.D {
	return append(bson.D{{Key: name, Value: value}}, more...)
}

func field(key string, value any) bson.E { return bson.E{Key: key, Value: value} }

func conformUsersInfo(t *testing.T, f *facts) {
	ctx := t.Context()
	dn := f.dn("info")
	f.srv.CreateUser(dn, Role("read", "shared_zoning"), Role("readWrite", f.db))
	var got struct {
		Users []struct {
			ID         string           `bson:"_id"`
			UserID     primitive.Binary `bson:"userId"`
			User       string           `bson:"user"`
			DB         string           `bson:"db"`
			Roles      []bson.M         `bson:"roles"`
			Mechanisms []string         `bson:"mechanisms"`
		} `bson:"users"`
	}
	ext := f.admin.Database("$external")
	if err := ext.RunCommand(ctx, cmd("usersInfo", dn)).Decode(&got); err != nil {
		t.Fatal(err)
	}
	if len(got.Users) != 1 {
		t.Fatalf("users: %+v", got)
	}
	u := got.Users[0]
	if u.ID != "$external."+dn || u.User != dn || u.DB != "$external" || u.UserID.Subtype != 4 || len(u.Roles) != 2 ||
		len(u.Mechanisms) != 1 || u.Mechanisms[0] != "external" {
		t.Errorf("usersInfo: %+v", u)
	}
	got.Users = nil
	if err := ext.RunCommand(ctx, cmd("usersInfo", f.dn("unknown"))).Decode(&got); err != nil || len(got.Users) != 0 {
		t.Errorf("unknown user: %+v, %v", got, err)
	}
	if err := ext.RunCommand(ctx, cmd("usersInfo", 1)).Decode(&got); err != nil || len(got.Users) == 0 {
		t.Errorf("all users: %+v, %v", got, err)
	}
}

func conformUsers(t *testing.T, f *facts) {
	dn := f.dn("users")
	f.srv.CreateUser(dn, Role("readWrite", f.db))
	duplicate := 51003
	if f.before(4, 2) {
		duplicate = 11000
	}
	none, unknown := field("roles", bson.A{}), f.dn("unknown")
	wantCode(t, f.run(t, "$external", cmd("createUser", dn, none)), duplicate, `User "`+dn+`@$external" already exists`)
	wantCode(t, f.run(t, "$external", cmd("createUser", unknown, field("roles", bson.A{Role("nosuch", "admin")}))), 31, "nosuch@admin")
	wantCode(t, f.run(t, "$external", cmd("createUser", unknown, field("roles", bson.A{"readWrite"}))), 31, "readWrite@$external")
	wantCode(t, f.run(t, "$external", cmd("createUser", unknown, field("pwd", "x"), none)), 2, "")
	if f.before(5, 0) {
		wantCode(t, f.run(t, "$external", cmd("createUser", unknown)), 2, "roles")
	}
	wantCode(t, f.run(t, "$external", cmd("dropUser", unknown)), 11, unknown)
	wantCode(t, f.run(t, "$external", cmd("updateUser", unknown, none)), 11, unknown)
	wantCode(t, f.run(t, "$external", cmd("grantRolesToUser", unknown, field("roles", bson.A{Role("read", f.db)}))), 11, unknown)

	// The trap: who has the O, OU and DC of the routers' certificate is a member.
	name, _, _ := net.SplitHostPort(f.host)
	cfg := f.srv.TLSConfig(f.srv.Admin())
	cfg.ServerName = name
	conn := must((&tls.Dialer{Config: cfg}).DialContext(t.Context(), "tcp", f.host))(t)
	defer conn.Close()
	subject := must(Subject(conn.(*tls.Conn).ConnectionState().PeerCertificates[0]))(t)
	member := "CN=" + f.tag
	for _, rdn := range splitDN(subject) {
		if rdn[:2] != "CN" {
			member += "," + rdn
		}
	}
	err := f.run(t, "$external", cmd("createUser", member, none))
	if memberKey(subject) != "" {
		wantCode(t, err, 2, "recognized as an internal cluster member")
	} else if err != nil {
		t.Errorf("routers without O, OU and DC have no members: %v", err)
	} else if err := f.run(t, "$external", cmd("dropUser", member)); err != nil {
		t.Error(err)
	}
}

func conformLogin(t *testing.T, f *facts) {
	absent := f.dn("absent")
	auth := cmd("authenticate", 1, field("mechanism", "MONGODB-X509"))
	dialRaw(t, f.srv, f.host, absent).fails(11, absent, "$external", auth)

	// A user made with its RDNs in another order exists and never logs in.
	turned := "O=system,OU=root,CN=turned-" + f.tag
	f.srv.CreateUser(turned)
	dialRaw(t, f.srv, f.host, f.dn("turned")).fails(11, f.dn("turned"), "$external", auth)

	dn := f.dn("login")
	f.srv.CreateUser(dn)
	r := dialRaw(t, f.srv, f.host, dn)
	if m := r.ok("$external", auth); m["user"] != dn || m["dbname"] != "$external" {
		t.Errorf("login: %v", m)
	}
	// A driver with another Username logs in as the certificate's subject.
	other := options.Client().SetAuth(options.Credential{AuthMechanism: "MONGODB-X509", AuthSource: "$external"})
	var status struct {
		AuthInfo struct {
			Users []struct{ User string } `bson:"authenticatedUsers"`
		} `bson:"authInfo"`
	}
	err := f.srv.Client(dn, other).Database("admin").RunCommand(t.Context(), cmd("connectionStatus", 1)).Decode(&status)
	if err != nil || len(status.AuthInfo.Users) != 1 || status.AuthInfo.Users[0].User != dn {
		t.Errorf("connectionStatus: %+v, %v", status, err)
	}
}

func conformRights(t *testing.T, f *facts) {
	ctx := t.Context()
	stranger := dialRaw(t, f.srv, f.host, f.dn("stranger"))
	// Without a login the text is "requires authentication", but under the
	// localhost exception the server only then looks at the rights.
	if m := stranger.run("admin", cmd("find", "things")); m["code"] != int32(13) {
		t.Errorf("find without login: %v", m)
	}
	dn := f.dn("rights")
	f.srv.CreateUser(dn, Role("readWrite", f.db), Role("read", "shared_zoning"))
	c := f.srv.Client(dn)
	wantCode(t, c.Database("admin").RunCommand(ctx, cmd("listShards", 1)).Err(), 13, "not authorized on admin to execute command { listShards: 1")
	_, err := c.Database("shared_zoning").Collection("x").InsertOne(ctx, bson.D{})
	wantCode(t, err, 13, "not authorized on shared_zoning to execute command { insert: \"x\"")
	wantCode(t, c.Database("$external").RunCommand(ctx, cmd("usersInfo", f.srv.Admin())).Err(), 13, "not authorized on $external")
	if err := c.Database("$external").RunCommand(ctx, cmd("usersInfo", dn)).Err(); err != nil {
		t.Errorf("a user may see itself: %v", err)
	}
	coll := c.Database(f.db).Collection("rights")
	if _, err := coll.InsertOne(ctx, bson.D{}); err != nil {
		t.Fatal(err)
	}

	// A right taken away is gone on connections that are open already.
	if err := f.run(t, "$external", cmd("updateUser", dn, field("roles", bson.A{Role("read", f.db)}))); err != nil {
		t.Fatal(err)
	}
	refused := func() bool { _, err = coll.InsertOne(ctx, bson.D{}); return err != nil }
	for deadline := time.Now().Add(35 * time.Second); !refused() && time.Now().Before(deadline); {
		<-time.After(20 * time.Millisecond) // another router may have cached the user
	}
	wantCode(t, err, 13, "not authorized on "+f.db)

	// A role on single collections, as the gateway and the job have.
	role := "gate-" + f.tag
	privilege := bson.D{field("resource", bson.D{field("db", f.db), field("collection", "lease")}), field("actions", bson.A{"find", "update"})}
	if err := f.run(t, f.db, cmd("createRole", role, field("privileges", bson.A{privilege}), field("roles", bson.A{}))); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.run(t, f.db, cmd("dropRole", role)) }()
	gate := f.dn("gate")
	f.srv.CreateUser(gate, Role(role, f.db))
	db := f.srv.Client(gate).Database(f.db)
	if _, err := db.Collection("lease").UpdateOne(ctx, bson.D{field("_id", 1)}, bson.D{field("$set", bson.D{field("a", 1)})}); err != nil {
		t.Errorf("update of its own collection: %v", err)
	}
	_, err = db.Collection("lease").InsertOne(ctx, bson.D{})
	wantCode(t, err, 13, "not authorized on "+f.db)
	wantCode(t, db.Collection("journal").FindOne(ctx, bson.D{}).Err(), 13, "not authorized on "+f.db)
}
