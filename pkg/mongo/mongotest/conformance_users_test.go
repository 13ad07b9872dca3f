package mongotest

import (
	"slices"
	"strings"
	"testing"
	"unicode"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/bson/primitive"
	"go.mongodb.org/mongo-driver/mongo/options"
)

func cmd(name string, value any, more ...bson.E) bson.D {
	return append(bson.D{{Key: name, Value: value}}, more...)
}

func field(key string, value any) bson.E { return bson.E{Key: key, Value: value} }

func conformUsersInfo(t *testing.T, f *facts) {
	dn := f.dn("info")
	f.srv.CreateUser(dn, Role("read", "shared_zoning"), Role("readWrite", f.db))
	var got struct {
		Users []bson.M `bson:"users"`
		OK    float64  `bson:"ok"`
	}
	ask := func(what any) []bson.M {
		got.Users, got.OK = nil, 0
		if err := f.admin.Database("$external").RunCommand(t.Context(), cmd("usersInfo", what)).Decode(&got); err != nil || got.OK != 1 {
			t.Fatalf("usersInfo %v: %v, %v", what, got, err)
		}
		return got.Users
	}
	users := ask(dn)
	if len(users) != 1 {
		t.Fatalf("users: %v", users)
	}
	u := users[0]
	id, _ := u["userId"].(primitive.Binary)
	if u["_id"] != "$external."+dn || u["user"] != dn || u["db"] != "$external" || id.Subtype != 4 || len(id.Data) != 16 {
		t.Errorf("usersInfo: %v", u)
	}
	if m, _ := u["mechanisms"].(bson.A); len(m) != 1 || m[0] != "external" {
		t.Errorf("mechanisms: %v", u["mechanisms"])
	}
	roles, _ := u["roles"].(bson.A)
	var names []string
	for _, v := range roles {
		r, _ := v.(bson.M)
		if len(r) != 2 {
			t.Errorf("role: %v", r)
		}
		names = append(names, text(r["role"])+"@"+text(r["db"]))
	}
	slices.Sort(names)
	if !slices.Equal(names, []string{"read@shared_zoning", "readWrite@" + f.db}) {
		t.Errorf("roles: %v", names)
	}
	for key := range u {
		if !slices.Contains([]string{"_id", "userId", "user", "db", "roles", "mechanisms"}, key) && f.observed() {
			t.Errorf("usersInfo tells %s: %v", key, u[key])
		}
	}
	if users := ask(f.dn("unknown")); len(users) != 0 {
		t.Errorf("unknown user: %v", users)
	}
	if users := ask(1); len(users) == 0 {
		t.Error("no user at all")
	}
}

func conformUsers(t *testing.T, f *facts) {
	dn := f.dn("users")
	f.srv.CreateUser(dn, Role("readWrite", "nosuch_"+f.tag)) // a built-in role on a database that does not exist
	duplicate := 51003
	if f.observed() {
		duplicate = 11000
	}
	none, unknown := field("roles", bson.A{}), f.dn("unknown")
	defer func() { _ = f.run(t, "$external", cmd("dropUser", unknown)) }() // should a server take what this one refuses
	create := func(more ...bson.E) error { return f.run(t, "$external", cmd("createUser", unknown, more...)) }
	wantCode(t, f.run(t, "$external", cmd("createUser", dn, none)), duplicate, `User "`+dn+`@$external" already exists`)
	wantCode(t, create(field("roles", bson.A{Role("nosuch", "admin")})), 31, "nosuch@admin")
	wantCode(t, create(field("roles", bson.A{"readWrite"})), 31, "readWrite@$external")
	wantCode(t, create(field("pwd", "x"), none), 2, "")
	if f.before(5, 0, 0) {
		wantCode(t, create(), 2, "roles")
	}
	wantCode(t, f.run(t, "$external", cmd("dropUser", unknown)), 11, unknown)
	wantCode(t, f.run(t, "$external", cmd("updateUser", unknown, none)), 11, unknown)
	wantCode(t, f.run(t, "$external", cmd("grantRolesToUser", unknown, field("roles", bson.A{Role("read", f.db)}))), 11, unknown)
}

// conformMembership is the trap: a client with exactly the O, OU and DC of the
// routers' certificate is taken for a member of the cluster.
func conformMembership(t *testing.T, f *facts) {
	var rdns []string
	for _, rdn := range splitDN(f.peer(t)) {
		if kind, _, _ := strings.Cut(rdn, "="); kind == "O" || kind == "OU" || kind == "DC" {
			rdns = append(rdns, rdn)
		}
	}
	if len(rdns) == 0 { // such a cluster has no members, so a bare CN is nobody special
		bare := "CN=" + f.tag
		if err := f.createUser(t, bare); err != nil {
			t.Errorf("routers without O, OU and DC have no members: %v", err)
		}
		if m := dialRaw(t, f.srv, f.host, "CN=absent-"+f.tag).run("$external", loginX509); m["ok"] == 1.0 {
			t.Errorf("nobody logged in: %v", m)
		}
		return
	}
	turned := slices.Clone(rdns)
	slices.Reverse(turned)
	member := "CN=" + f.tag + "," + strings.Join(rdns, ",")
	for what, dn := range map[string]string{
		"the same": member, "another CN": "CN=x" + f.tag + "," + strings.Join(rdns, ","), "with a country": member + ",C=CH",
		"in another order": strings.Join(turned, ",") + ",CN=" + f.tag,
	} {
		wantCode(t, f.createUser(t, dn), 2, "recognized as an internal cluster member")
		if t.Failed() {
			t.Fatalf("createUser of a member's subject, %s (%s), was not refused", what, dn)
		}
	}
	strangers := map[string]string{"one OU more": "CN=" + f.tag + ",OU=" + f.tag + "," + strings.Join(rdns, ",")}
	if other := otherCase(rdns); other != strings.Join(rdns, ",") {
		strangers["another letter case"] = "CN=" + f.tag + "," + other
	}
	for what, dn := range strangers {
		if err := f.createUser(t, dn); err != nil {
			t.Errorf("%s (%s) is no member: %v", what, dn, err)
		}
	}

	// The other way round: it needs no user. With clusterAuthMode x509 it is
	// __system, else it is refused.
	r := dialRaw(t, f.srv, f.host, member)
	m := r.run("$external", loginX509)
	if m["ok"] != 1.0 {
		if code := number(m, "code"); code != 18 && code != 11 {
			t.Errorf("login of a member: %v", m)
		}
		t.Logf("clusterAuthMode is not x509: %v", m["errmsg"])
		return
	}
	if users := authenticated(r); len(users) != 1 || users[0] != "__system@local" {
		t.Errorf("a member logged in as %v", users)
	}
}

// otherCase changes the letter case of the values.
func otherCase(rdns []string) string {
	out := make([]string, len(rdns))
	for i, rdn := range rdns {
		kind, value, _ := strings.Cut(rdn, "=")
		out[i] = kind + "=" + strings.Map(func(r rune) rune {
			if unicode.IsLower(r) {
				return unicode.ToUpper(r)
			}
			return unicode.ToLower(r)
		}, value)
	}
	return strings.Join(out, ",")
}

// authenticated gives who a connection is, as user@database.
func authenticated(r *rawConn) []string {
	info, _ := r.ok("admin", cmd("connectionStatus", 1))["authInfo"].(bson.M)
	users, _ := info["authenticatedUsers"].(bson.A)
	var out []string
	for _, v := range users {
		u, _ := v.(bson.M)
		out = append(out, text(u["user"])+"@"+text(u["db"]))
	}
	return out
}

func conformLogin(t *testing.T, f *facts) {
	absent := f.dn("absent")
	unknownUser(t, f, dialRaw(t, f.srv, f.host, absent), `User "`+absent+`@$external" not found`)

	// A user made with its RDNs in another order exists and never logs in.
	f.srv.CreateUser("O=system,OU=root,CN=turned-" + f.tag)
	unknownUser(t, f, dialRaw(t, f.srv, f.host, f.dn("turned")), f.dn("turned"))

	dn := f.dn("login")
	f.srv.CreateUser(dn)
	r := dialRaw(t, f.srv, f.host, dn)
	if m := r.ok("$external", loginX509); m["user"] != dn || m["dbname"] != "$external" {
		t.Errorf("login: %v", m)
	}
	if users := authenticated(r); len(users) != 1 || users[0] != dn+"@$external" {
		t.Errorf("logged in as %v", users)
	}
	// A driver given another Username logs in as the certificate's subject.
	other := options.Client().SetAuth(options.Credential{AuthMechanism: "MONGODB-X509", AuthSource: "$external", Username: absent})
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

// unknownUser states that a login fails for want of a user. Newer servers say no
// more than that it failed.
func unknownUser(t *testing.T, f *facts, r *rawConn, part string) {
	t.Helper()
	if f.observed() {
		r.fails(11, part, "$external", loginX509)
		return
	}
	if m := r.run("$external", loginX509); m["ok"] == 1.0 || number(m, "code") != 11 && number(m, "code") != 18 {
		t.Errorf("login without a user: %v", m)
	}
}

// conformLocalhost asks whether the localhost exception holds by a createUser
// that is malformed: where it holds the server looks at it, else at nothing.
func conformLocalhost(t *testing.T, f *facts) {
	r := dialRaw(t, f.srv, f.host, f.dn("stranger"))
	you, _ := r.ok("admin", cmd("whatsmyuri", 1))["you"].(string)
	from := hostName(you)
	local := from == "127.0.0.1" || from == "::1"
	var inAdmin struct{ Users []bson.M }
	if err := f.admin.Database("admin").RunCommand(t.Context(), cmd("usersInfo", 1)).Decode(&inAdmin); err != nil {
		t.Fatal(err)
	}
	var parameter struct {
		EnableLocalhostAuthBypass bool `bson:"enableLocalhostAuthBypass"`
	}
	parameter.EnableLocalhostAuthBypass = true
	_ = f.admin.Database("admin").RunCommand(t.Context(), cmd("getParameter", 1, field("enableLocalhostAuthBypass", 1))).Decode(&parameter)
	possible := local && len(inAdmin.Users) == 0 && parameter.EnableLocalhostAuthBypass

	open := f.localhostException(r)
	t.Logf("localhost exception: open=%t (from %s, %d users in admin, enableLocalhostAuthBypass=%t)", open, from, len(inAdmin.Users), parameter.EnableLocalhostAuthBypass)
	switch {
	case open && !possible:
		t.Error("the localhost exception holds where it must not")
	case !open && possible:
		// A router that once saw a user in admin does not ask again.
		t.Log("closed, as it is after a user was in admin")
	}
}

// localhostException tells whether the exception holds for a connection that has
// not logged in. It changes nothing: a createUser without roles is malformed.
func (f *facts) localhostException(r *rawConn) bool {
	m := r.run("admin", cmd("createUser", "conformance-"+f.tag, field("pwd", f.tag)))
	if m["ok"] == 1.0 { // no server does this
		_ = f.admin.Database("admin").RunCommand(r.t.Context(), cmd("dropUser", "conformance-"+f.tag)).Err()
	}
	closed := number(m, "code") == 13
	if msg, _ := m["errmsg"].(string); m["ok"] == 1.0 || closed && f.observed() && !strings.Contains(msg, "command createUser requires authentication") {
		r.t.Errorf("createUser without roles: %v", m)
	}
	return !closed
}
