package mongotest

import (
	"strings"

	"go.mongodb.org/mongo-driver/bson"
)

// systemUser is who a cluster member logs in as.
const systemUser = "__system"

// authorize refuses a request whose sender may not do it, with the server's
// texts. It runs under the mutex.
func (s *Standin) authorize(r *request) error {
	if r.cmd.open {
		return nil
	}
	privs := s.privileges(r.conn)
	if r.conn.user == "" && !s.localhostBypass(r.conn) {
		return errf(codeUnauthorized, "command %s requires authentication", r.cmd.name)
	}
	if r.cmd.needs == nil {
		return nil
	}
	needs, err := r.cmd.needs(s, r)
	if err != nil {
		return err
	}
	for _, n := range needs {
		if !allowed(privs, n) {
			return errf(codeUnauthorized, "not authorized on %s to execute command %s", r.db, describeShort(redact(r.body)))
		}
	}
	return nil
}

// redact leaves passwords out of a text.
func redact(body bson.D) bson.D {
	out := make(bson.D, len(body))
	copy(out, body)
	for i, e := range out {
		if e.Key == "pwd" {
			out[i].Value = "xxx"
		}
	}
	return out
}

// localhostBypass tells whether the localhost exception holds: a loopback
// connection while no user is in admin. A mongos asks for users of admin alone
// (the hole that `mongo check` reports); a mongod for any user.
func (s *Standin) localhostBypass(c *conn) bool {
	if s.cfg.NoLocalhostBypass || !c.local {
		return false
	}
	for _, u := range s.store.find(usersNS).docs() {
		if db, _ := lookupField(u, "db"); db == adminDB || !s.mongos() {
			return false
		}
	}
	return true
}

// privileges gives what a connection may do now.
func (s *Standin) privileges(c *conn) []privilege {
	if c.user == "" {
		if !s.localhostBypass(c) {
			return nil
		}
		return []privilege{
			{resource{db: adminDB}, set("createUser grantRole")},
			{resource{db: externalDB}, set("createUser")},
			{resource{cluster: true}, set("addShard replSetConfigure replSetGetStatus")},
		}
	}
	if c.user == systemUser {
		return adminRole(systemUser)
	}
	u := s.cachedUser(c, c.userDB, c.user)
	if u == nil { // dropped: nobody is logged in here any more
		c.user, c.userDB = "", ""
		return nil
	}
	return u.privs
}

// rolePrivileges resolves roles, custom ones with what they inherit.
func (s *Standin) rolePrivileges(roles bson.A, seen map[string]bool) []privilege {
	var out []privilege
	for _, v := range roles {
		d, _ := v.(bson.D)
		name, db := roleOf(d)
		if seen[db+"."+name] {
			continue
		}
		seen[db+"."+name] = true
		if ps, ok := builtinRole(name, db); ok {
			out = append(out, ps...)
			continue
		}
		role := s.store.find(rolesNS).get(db + "." + name)
		own, _ := lookupField(role, "privileges")
		list, _ := own.(bson.A)
		for _, p := range list {
			if parsed, err := parsePrivilege(p); err == nil {
				out = append(out, parsed)
			}
		}
		inherited, _ := lookupField(role, "roles")
		more, _ := inherited.(bson.A)
		out = append(out, s.rolePrivileges(more, seen)...)
	}
	return out
}

// onCollection gives a needs function for actions on the command's collection.
func onCollection(actions ...string) func(*Standin, *request) ([]access, error) {
	return func(_ *Standin, r *request) ([]access, error) {
		ns, err := r.collection()
		if err != nil {
			return nil, err
		}
		return needAll(resource{db: ns.db, coll: ns.coll}, actions...), nil
	}
}

// onDatabase gives a needs function for actions on the command's database.
func onDatabase(actions ...string) func(*Standin, *request) ([]access, error) {
	return func(_ *Standin, r *request) ([]access, error) { return needAll(resource{db: r.db}, actions...), nil }
}

// onCluster gives a needs function for actions on the cluster.
func onCluster(actions ...string) func(*Standin, *request) ([]access, error) {
	return func(_ *Standin, _ *request) ([]access, error) {
		return needAll(resource{cluster: true}, actions...), nil
	}
}

func needAll(on resource, actions ...string) []access {
	out := make([]access, len(actions))
	for i, a := range actions {
		out[i] = access{a, on}
	}
	return out
}

// roleOf gives name and database of a stored role reference.
func roleOf(d bson.D) (name, db string) {
	n, _ := lookupField(d, "role")
	b, _ := lookupField(d, "db")
	name, _ = n.(string)
	db, _ = b.(string)
	return name, db
}

// isMember tells whether a DN would be taken for a member of the cluster.
func (s *Standin) isMember(dn string) bool {
	return s.members != "" && memberKey(dn) == s.members
}

func userKey(db, user string) string { return strings.Join([]string{db, user}, ".") }
