package mongotest

import (
	"go.mongodb.org/mongo-driver/bson"
)

// usersNS and rolesNS hold users and custom roles, as the server keeps them.
var (
	usersNS = namespace{adminDB, "system.users"}
	rolesNS = namespace{adminDB, "system.roles"}
)

func userCommands() []*command {
	return []*command{
		{name: "createUser", run: runCreateUser, needs: userAccess("createUser"), write: true, changes: oneUserChanged},
		{name: "updateUser", run: runUpdateUser, needs: updateUserNeeds, write: true, changes: oneUserChanged},
		{name: "dropUser", run: runDropUser, needs: userAccess("dropUser"), write: true, changes: oneUserChanged},
		{name: "dropAllUsersFromDatabase", run: runDropAllUsers, needs: userAccess("dropUser"), write: true, changes: allUsersChanged},
		{name: "usersInfo", run: runUsersInfo, needs: usersInfoNeeds, primary: true},
		{name: "grantRolesToUser", run: runGrantRoles, needs: userAccess("grantRole"), write: true, changes: oneUserChanged},
		{name: "revokeRolesFromUser", run: runRevokeRoles, needs: revokeNeeds, write: true, changes: oneUserChanged},
		{name: "invalidateUserCache", run: runNothing, needs: onCluster("invalidateUserCache"), adminOnly: true, changes: allUsersChanged},
	}
}

// userAccess needs the action on the command's database (not for granting
// alone), and grantRole on the database of each role given.
func userAccess(action string) func(*Standin, *request) ([]access, error) {
	return func(_ *Standin, r *request) ([]access, error) {
		var needs []access
		if action != "grantRole" {
			needs = needAll(resource{db: r.db}, action)
		}
		return append(needs, roleNeeds(r, "grantRole")...), nil
	}
}

func revokeNeeds(_ *Standin, r *request) ([]access, error) { return roleNeeds(r, "revokeRole"), nil }

func roleNeeds(r *request, action string) []access {
	var needs []access
	roles, _ := r.get("roles").(bson.A)
	for _, v := range roles {
		if ref, err := parseRole(v, r.db); err == nil {
			_, db := roleOf(ref)
			needs = append(needs, access{action, resource{db: db}})
		}
	}
	return needs
}

// updateUserNeeds: replacing roles takes both revoke (of any) and grant.
func updateUserNeeds(_ *Standin, r *request) ([]access, error) {
	var needs []access
	if r.has("customData") {
		needs = append(needs, access{"changeCustomData", resource{db: r.db}})
	}
	if r.has("pwd") {
		needs = append(needs, access{"changePassword", resource{db: r.db}})
	}
	if r.has("roles") {
		needs = append(needs, access{"revokeRole", resource{db: adminDB}})
		needs = append(needs, roleNeeds(r, "grantRole")...)
	}
	return needs, nil
}

// parseRole reads a role reference: a name in the command's database, or
// {role, db}.
func parseRole(v any, db string) (bson.D, error) {
	if name, ok := v.(string); ok {
		return bson.D{{Key: "role", Value: name}, {Key: "db", Value: db}}, nil
	}
	d, ok := v.(bson.D)
	if !ok {
		return nil, errf(codeBadValue, "Role names must be either strings or objects")
	}
	name, roleDB := roleOf(d)
	if name == "" || roleDB == "" {
		return nil, errf(codeBadValue, "Role object must contain \"role\" and \"db\"")
	}
	return bson.D{{Key: "role", Value: name}, {Key: "db", Value: roleDB}}, nil
}

// parseRoles reads a list of role references and checks that each exists.
func (s *Standin) parseRoles(r *request) (bson.A, error) {
	v := r.get("roles")
	list, ok := v.(bson.A)
	if !ok {
		return nil, errf(codeTypeMismatch, "\"roles\" had the wrong type. Expected array, found %s", typeName(v))
	}
	out := bson.A{}
	seen := map[string]bool{}
	for _, e := range list {
		ref, err := parseRole(e, r.db)
		if err != nil {
			return nil, err
		}
		name, db := roleOf(ref)
		if !s.roleExists(name, db) {
			if s.since(Dialect44) {
				return nil, errf(codeRoleNotFound, "Could not find role: %s@%s", name, db)
			}
			return nil, errf(codeRoleNotFound, "No role named %s@%s", name, db)
		}
		if !seen[userKey(db, name)] {
			seen[userKey(db, name)] = true
			out = append(out, ref)
		}
	}
	return out, nil
}

func (s *Standin) roleExists(name, db string) bool {
	if _, ok := builtinRole(name, db); ok {
		return true
	}
	return s.store.find(rolesNS).get(userKey(db, name)) != nil
}

// userName reads the user a command names.
func userName(r *request) (string, error) {
	name, ok := r.first().(string)
	if !ok || name == "" {
		return "", errf(codeBadValue, "User document needs 'user' field to be non-empty")
	}
	return name, nil
}

func runCreateUser(s *Standin, r *request) (bson.D, error) {
	name, err := userName(r)
	if err != nil {
		return nil, err
	}
	switch {
	case !validDBName(r.db) || r.db == localDB:
		return nil, errf(codeBadValue, "Cannot create users in the %s database", r.db)
	case r.has("pwd") && r.db == externalDB:
		return nil, errf(codeBadValue, "Cannot set the password for users defined on the '$external' database")
	case !r.has("pwd") && r.db != externalDB:
		return nil, errf(codeBadValue, "Must provide a 'pwd' field for all user documents, except those with '$external' as the user's source db")
	case !r.has("roles"):
		return nil, errf(codeBadValue, "\"createUser\" command requires a \"roles\" array")
	case r.db == externalDB && s.isMember(name):
		return nil, errf(codeBadValue, "Cannot create an x509 user with a subjectname that would be recognized as an internal cluster member")
	}
	roles, err := s.parseRoles(r)
	if err != nil {
		return nil, err
	}
	if s.store.find(usersNS).get(userKey(r.db, name)) != nil {
		if s.since(Dialect42) {
			return nil, errf(codeUserAlreadyExists, `User "%s@%s" already exists`, name, r.db)
		}
		return nil, errf(codeDuplicateKey, `User "%s@%s" already exists`, name, r.db)
	}
	if password, ok := r.get("pwd").(string); ok {
		if err := s.setPassword(r.db, name, password); err != nil {
			return nil, err
		}
	}
	doc := bson.D{{Key: "_id", Value: userKey(r.db, name)}, {Key: "userId", Value: newUUID()}, {Key: "user", Value: name},
		{Key: "db", Value: r.db}, {Key: "credentials", Value: bson.D{{Key: "external", Value: r.db == externalDB}}}}
	if custom, ok := r.get("customData").(bson.D); ok {
		doc = append(doc, bson.E{Key: "customData", Value: custom})
	}
	s.store.ensure(usersNS).put(append(doc, bson.E{Key: "roles", Value: roles}))
	return bson.D{}, nil
}

// storedUser gives the stored document of the user a command names, or 11.
func (s *Standin) storedUser(r *request, missing string) (bson.D, error) {
	name, err := userName(r)
	if err != nil {
		return nil, err
	}
	u := s.store.find(usersNS).get(userKey(r.db, name))
	if u == nil {
		return nil, errf(codeUserNotFound, missing, name+"@"+r.db)
	}
	return u, nil
}

// withField gives a copy of doc with a field set.
func withField(doc bson.D, key string, value any) bson.D {
	out := append(bson.D{}, doc...)
	for i := range out {
		if out[i].Key == key {
			out[i].Value = value
			return out
		}
	}
	return append(out, bson.E{Key: key, Value: value})
}

func runUpdateUser(s *Standin, r *request) (bson.D, error) {
	if !r.has("roles") && !r.has("customData") && !r.has("pwd") && !r.has("mechanisms") {
		return nil, errf(codeBadValue, "Must specify at least one field to update in updateUser")
	}
	if r.has("pwd") && r.db == externalDB {
		return nil, errf(codeBadValue, "Cannot set the password for users defined on the '$external' database")
	}
	var roles bson.A
	if r.has("roles") {
		var err error
		if roles, err = s.parseRoles(r); err != nil {
			return nil, err
		}
	}
	u, err := s.storedUser(r, "User %s not found")
	if err != nil {
		return nil, err
	}
	if roles != nil {
		u = withField(u, "roles", roles)
	}
	if custom, ok := r.get("customData").(bson.D); ok {
		u = withField(u, "customData", custom)
	}
	s.store.ensure(usersNS).put(u)
	return bson.D{}, nil
}

func runDropUser(s *Standin, r *request) (bson.D, error) {
	u, err := s.storedUser(r, "User '%s' not found")
	if err != nil {
		return nil, err
	}
	s.store.find(usersNS).del(u[0].Value)
	return bson.D{}, nil
}

func runDropAllUsers(s *Standin, r *request) (bson.D, error) {
	n := int32(0)
	for _, u := range s.store.find(usersNS).docs() {
		if db, _ := lookupField(u, "db"); db == r.db {
			s.store.find(usersNS).del(u[0].Value)
			n++
		}
	}
	return bson.D{{Key: "n", Value: n}}, nil
}

func runGrantRoles(s *Standin, r *request) (bson.D, error) {
	roles, err := s.parseRoles(r)
	if err != nil {
		return nil, err
	}
	u, err := s.storedUser(r, "Could not find user %s")
	if err != nil {
		return nil, err
	}
	s.store.ensure(usersNS).put(withField(u, "roles", mergeRoles(u, roles, true)))
	return bson.D{}, nil
}

func runRevokeRoles(s *Standin, r *request) (bson.D, error) {
	roles, err := s.parseRoles(r)
	if err != nil {
		return nil, err
	}
	u, err := s.storedUser(r, "Could not find user %s")
	if err != nil {
		return nil, err
	}
	s.store.ensure(usersNS).put(withField(u, "roles", mergeRoles(u, roles, false)))
	return bson.D{}, nil
}

// mergeRoles gives the roles of a stored user or role with some added or taken
// away.
func mergeRoles(doc bson.D, roles bson.A, grant bool) bson.A {
	have, _ := lookupField(doc, "roles")
	list, _ := have.(bson.A)
	given := map[string]bool{}
	for _, v := range roles {
		given[indexKey(v)] = true
	}
	out := bson.A{}
	for _, v := range list {
		if !given[indexKey(v)] {
			out = append(out, v)
		}
	}
	if grant {
		out = append(out, roles...)
	}
	return out
}

// ensureAdmin makes the root user that the cluster's owner creates once.
func (s *Standin) ensureAdmin(dn string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.store.find(usersNS).get(userKey(externalDB, dn)) != nil {
		return
	}
	s.store.ensure(usersNS).put(bson.D{{Key: "_id", Value: userKey(externalDB, dn)}, {Key: "userId", Value: newUUID()},
		{Key: "user", Value: dn}, {Key: "db", Value: externalDB},
		{Key: "credentials", Value: bson.D{{Key: "external", Value: true}}},
		{Key: "roles", Value: bson.A{bson.D{{Key: "role", Value: "root"}, {Key: "db", Value: adminDB}}}}})
}
