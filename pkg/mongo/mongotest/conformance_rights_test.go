package mongotest

import (
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/bson"
)

// within repeats what must come true soon.
func within(t *testing.T, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(limit); !ok(); {
		if time.Now().After(deadline) {
			t.Errorf("%s: not within %s", what, limit)
			return
		}
		<-time.After(10 * time.Millisecond)
	}
}

func conformRights(t *testing.T, f *facts) {
	ctx := t.Context()
	stranger := dialRaw(t, f.srv, f.host, f.dn("stranger"))
	text := "command find requires authentication"
	if f.localhostException(stranger) || !f.observed() { // then the server looks at the rights and words their want
		text = ""
	}
	stranger.fails(13, text, "admin", cmd("find", "things"))

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

	// A right taken away is gone, through the same router, on connections that are
	// open already; so is a user who was dropped.
	open, admin := dialLogin(t, f.srv, f.host, dn), dialLogin(t, f.srv, f.host, f.srv.Admin())
	insert := cmd("insert", "rights", field("documents", bson.A{bson.D{}}))
	open.ok(f.db, insert)
	admin.ok("$external", cmd("updateUser", dn, field("roles", bson.A{Role("read", f.db)})))
	within(t, 5*time.Second, "a right that was taken away", func() bool { return number(open.run(f.db, insert), "code") == 13 })
	open.fails(13, "not authorized on "+f.db, f.db, insert)
	open.ok(f.db, cmd("find", "rights"))
	admin.ok("$external", cmd("dropUser", dn))
	within(t, 5*time.Second, "a user that was dropped", func() bool { return number(open.run(f.db, cmd("find", "rights")), "code") == 13 })
}

// conformRoles is a role on single collections, as the gateway and the job have.
func conformRoles(t *testing.T, f *facts) {
	ctx := t.Context()
	role, heir := "gate-"+f.tag, "heir-"+f.tag
	privileges := func(actions ...any) bson.E {
		return field("privileges", bson.A{bson.D{field("resource", bson.D{field("db", f.db), field("collection", "gated")}), field("actions", bson.A(actions))}})
	}
	none := field("roles", bson.A{})
	f.must(t, f.db, cmd("createRole", role, privileges("find", "update"), none))
	defer func() { _ = f.run(t, f.db, cmd("dropRole", role)) }()
	duplicate := 51002
	if f.observed() {
		duplicate = 11000
	}
	wantCode(t, f.run(t, f.db, cmd("createRole", role, privileges("find"), none)), duplicate, "already exists")
	wantCode(t, f.run(t, f.db, cmd("updateRole", "nosuch-"+f.tag, privileges("find"))), 31, "nosuch-"+f.tag)
	f.must(t, f.db, cmd("createRole", heir, field("privileges", bson.A{}), field("roles", bson.A{Role(role, f.db)})))
	defer func() { _ = f.run(t, f.db, cmd("dropRole", heir)) }()

	gate := f.dn("gate")
	f.srv.CreateUser(gate, Role(heir, f.db))
	db := f.srv.Client(gate).Database(f.db)
	if _, err := db.Collection("gated").UpdateOne(ctx, bson.D{field("_id", 1)}, bson.D{field("$set", bson.D{field("a", 1)})}); err != nil {
		t.Errorf("update of its own collection: %v", err)
	}
	_, err := db.Collection("gated").InsertOne(ctx, bson.D{})
	wantCode(t, err, 13, "not authorized on "+f.db)
	wantCode(t, db.Collection("journal").FindOne(ctx, bson.D{}).Err(), 13, "not authorized on "+f.db)

	// A role that changes changes what its holders may do, through the same router.
	open, admin := dialLogin(t, f.srv, f.host, gate), dialLogin(t, f.srv, f.host, f.srv.Admin())
	insert := cmd("insert", "gated", field("documents", bson.A{bson.D{}}))
	open.fails(13, "not authorized on "+f.db, f.db, insert)
	admin.ok(f.db, cmd("updateRole", role, privileges("find", "insert")))
	within(t, 5*time.Second, "a right that was given", func() bool { return open.run(f.db, insert)["ok"] == 1.0 })

	var info struct {
		Roles []struct {
			Role, DB  string
			IsBuiltin bool `bson:"isBuiltin"`
			Roles     []bson.M
			Inherited []struct{ Actions []string } `bson:"inheritedPrivileges"`
		}
	}
	ask := cmd("rolesInfo", Role(heir, f.db), field("showPrivileges", true))
	if err := f.admin.Database(f.db).RunCommand(ctx, ask).Decode(&info); err != nil || len(info.Roles) != 1 || info.Roles[0].IsBuiltin ||
		len(info.Roles[0].Roles) != 1 || len(info.Roles[0].Inherited) != 1 || len(info.Roles[0].Inherited[0].Actions) != 2 {
		t.Errorf("rolesInfo: %+v, %v", info, err)
	}
}

// conformRouters: a router may believe its users as they were before another
// router changed them; invalidateUserCache there ends that.
func conformRouters(t *testing.T, f *facts) {
	hosts := f.srv.Hosts()
	if len(hosts) < 2 {
		t.Log("one router: there is no other's cache to look at")
		return
	}
	here, there := dialLogin(t, f.srv, f.host, f.srv.Admin()), dialLogin(t, f.srv, address(hosts[1]), f.srv.Admin())
	dn, insert := f.dn("cached"), cmd("insert", "cached", field("documents", bson.A{bson.D{}}))
	f.srv.CreateUser(dn, Role("readWrite", f.db))
	open := dialLogin(t, f.srv, address(hosts[1]), dn)
	open.ok(f.db, insert)
	here.ok("$external", cmd("updateUser", dn, field("roles", bson.A{})))
	t.Logf("through another router the user may still write: %t", open.run(f.db, insert)["ok"] == 1.0)
	there.ok("admin", cmd("invalidateUserCache", 1))
	within(t, 5*time.Second, "a right that was taken away through another router", func() bool { return number(open.run(f.db, insert), "code") == 13 })
}
