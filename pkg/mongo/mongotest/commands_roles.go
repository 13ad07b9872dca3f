package mongotest

import (
	"slices"

	"go.mongodb.org/mongo-driver/bson"
)

func roleCommands() []*command {
	return []*command{
		{name: "createRole", run: runCreateRole, needs: roleAccess("createRole"), write: true, changes: allUsersChanged},
		{name: "updateRole", run: runUpdateRole, needs: roleAccess("revokeRole"), write: true, changes: allUsersChanged},
		{name: "dropRole", run: runDropRole, needs: onDatabase("dropRole"), write: true, changes: allUsersChanged},
		{name: "rolesInfo", run: runRolesInfo, needs: onDatabase("viewRole"), primary: true},
		{name: "grantPrivilegesToRole", run: runGrantPrivileges, needs: roleAccess("grantRole"), write: true, changes: allUsersChanged},
	}
}

// roleAccess needs the action on the role's database and grantRole on that of
// every privilege and inherited role.
func roleAccess(action string) func(*Standin, *request) ([]access, error) {
	return func(_ *Standin, r *request) ([]access, error) {
		needs := append(needAll(resource{db: r.db}, action), roleNeeds(r, "grantRole")...)
		list, _ := r.get("privileges").(bson.A)
		for _, v := range list {
			if p, err := parsePrivilege(v); err == nil {
				on := resource{db: p.on.db}
				if p.on.cluster || p.on.anything || p.on.db == "" {
					on.db = adminDB
				}
				needs = append(needs, access{"grantRole", on})
			}
		}
		return needs, nil
	}
}

func parsePrivilege(v any) (privilege, error) {
	d, ok := v.(bson.D)
	if !ok {
		return privilege{}, errf(codeFailedToParse, "Privileges must be documents")
	}
	res, _ := lookupField(d, "resource")
	on, err := parseResource(res)
	if err != nil {
		return privilege{}, err
	}
	acts, _ := lookupField(d, "actions")
	list, ok := acts.(bson.A)
	if !ok || len(list) == 0 {
		return privilege{}, errf(codeFailedToParse, "Privileges need a non-empty \"actions\" array")
	}
	p := privilege{on: on, actions: map[string]bool{}}
	for _, a := range list {
		name, ok := a.(string)
		if !ok || !knownActions[name] {
			return privilege{}, errf(codeFailedToParse, "Unrecognized action privilege strings: %s", text(a))
		}
		p.actions[name] = true
	}
	return p, nil
}

// knownActions are the actions a privilege may name.
var knownActions = set(readActions, writeActions, dbAdminActions, userAdminActions, clusterMonitorActions, clusterManagerActions,
	hostManagerActions, "anyAction internal applyOps authSchemaUpgrade indexStats listDatabases changeOwnPassword changeOwnCustomData "+
		"killAnyCursor repairDatabase viewRole viewUser getDatabaseVersion getShardVersion")

// parseRoleBody reads privileges and inherited roles. A role outside admin may
// only reach its own database.
func (s *Standin) parseRoleBody(r *request) (privs, roles bson.A, err error) {
	list, err := r.array("privileges")
	if err != nil {
		return nil, nil, err
	}
	privs = bson.A{}
	for _, v := range list {
		p, err := parsePrivilege(v)
		if err != nil {
			return nil, nil, err
		}
		if r.db != adminDB && (p.on.cluster || p.on.anything || p.on.db != r.db) {
			return nil, nil, errf(51, "Roles on the '%s' database cannot be granted privileges that target other databases or the cluster", r.db)
		}
		privs = append(privs, v)
	}
	roles = bson.A{}
	if r.has("roles") {
		if roles, err = s.parseRoles(r); err != nil {
			return nil, nil, err
		}
	}
	return privs, roles, nil
}

func runCreateRole(s *Standin, r *request) (bson.D, error) {
	name, ok := r.first().(string)
	switch {
	case !ok || name == "":
		return nil, errf(codeBadValue, "Role name must be non-empty")
	case !validDBName(r.db) || r.db == localDB || r.db == externalDB:
		return nil, errf(codeBadValue, "Cannot create roles in the %s database", r.db)
	case !r.has("privileges"):
		return nil, errf(codeBadValue, "\"createRole\" command requires a \"privileges\" array")
	case !r.has("roles"):
		return nil, errf(codeBadValue, "\"createRole\" command requires a \"roles\" array")
	}
	if _, builtin := builtinRole(name, r.db); builtin {
		return nil, errf(codeBadValue, "Cannot create roles with the same name as a built-in role")
	}
	privs, roles, err := s.parseRoleBody(r)
	if err != nil {
		return nil, err
	}
	if s.store.find(rolesNS).get(userKey(r.db, name)) != nil {
		code := int32(codeDuplicateKey)
		if s.since(Dialect42) {
			code = codeRoleAlreadyExists
		}
		return nil, errf(code, `Role "%s@%s" already exists`, name, r.db)
	}
	s.store.ensure(rolesNS).put(bson.D{{Key: "_id", Value: userKey(r.db, name)}, {Key: "role", Value: name}, {Key: "db", Value: r.db},
		{Key: "privileges", Value: privs}, {Key: "roles", Value: roles}})
	return bson.D{}, nil
}

// storedRole gives the custom role a command names.
func (s *Standin) storedRole(r *request) (bson.D, error) {
	name, _ := r.first().(string)
	if _, builtin := builtinRole(name, r.db); builtin {
		return nil, errf(55, "%s@%s is a built-in role and cannot be modified", name, r.db)
	}
	role := s.store.find(rolesNS).get(userKey(r.db, name))
	if role == nil {
		return nil, errf(codeRoleNotFound, "Role %s@%s not found", name, r.db)
	}
	return role, nil
}

func runUpdateRole(s *Standin, r *request) (bson.D, error) {
	if !r.has("privileges") && !r.has("roles") {
		return nil, errf(codeBadValue, "Must specify at least one field to update in updateRole")
	}
	role, err := s.storedRole(r)
	if err != nil {
		return nil, err
	}
	privs, roles, err := s.parseRoleBody(r)
	if err != nil {
		return nil, err
	}
	if r.has("privileges") {
		role = withField(role, "privileges", privs)
	}
	if r.has("roles") {
		role = withField(role, "roles", roles)
	}
	s.store.ensure(rolesNS).put(role)
	return bson.D{}, nil
}

func runGrantPrivileges(s *Standin, r *request) (bson.D, error) {
	role, err := s.storedRole(r)
	if err != nil {
		return nil, err
	}
	more, _, err := s.parseRoleBody(r)
	if err != nil {
		return nil, err
	}
	have, _ := lookupField(role, "privileges")
	list, _ := have.(bson.A)
	s.store.ensure(rolesNS).put(withField(role, "privileges", append(append(bson.A{}, list...), more...)))
	return bson.D{}, nil
}

// runDropRole removes a role, from every user and role that had it too.
func runDropRole(s *Standin, r *request) (bson.D, error) {
	role, err := s.storedRole(r)
	if err != nil {
		return nil, err
	}
	name, db := roleOf(role)
	gone := bson.A{bson.D{{Key: "role", Value: name}, {Key: "db", Value: db}}}
	for _, ns := range []namespace{usersNS, rolesNS} {
		for _, d := range s.store.find(ns).docs() {
			s.store.find(ns).put(withField(d, "roles", mergeRoles(d, gone, false)))
		}
	}
	s.store.find(rolesNS).del(role[0].Value)
	return bson.D{}, nil
}

// runRolesInfo answers for names, for {role, db}, for lists of them, and 1 for
// every custom role of the database.
func runRolesInfo(s *Standin, r *request) (bson.D, error) {
	list, ok := r.first().(bson.A)
	if !ok {
		list = bson.A{r.first()}
	}
	out := bson.A{}
	add := func(role bson.D) {
		name, db := roleOf(role)
		info := bson.D{{Key: "role", Value: name}, {Key: "db", Value: db}, {Key: "isBuiltin", Value: false}}
		roles, _ := lookupField(role, "roles")
		privs, _ := lookupField(role, "privileges")
		info = append(info, bson.E{Key: "roles", Value: roles}, bson.E{Key: "inheritedRoles", Value: roles})
		if r.flag("showPrivileges") {
			all := s.rolePrivileges(bson.A{bson.D{{Key: "role", Value: name}, {Key: "db", Value: db}}}, map[string]bool{})
			info = append(info, bson.E{Key: "privileges", Value: privs}, bson.E{Key: "inheritedPrivileges", Value: privilegeDocs(all)})
		}
		out = append(out, info)
	}
	for _, v := range list {
		if isNumber(v) && asFloat(v) == 1 {
			for _, role := range s.store.find(rolesNS).docs() {
				if _, db := roleOf(role); db == r.db {
					add(role)
				}
			}
			continue
		}
		ref, err := parseRole(v, r.db)
		if err != nil {
			return nil, err
		}
		name, db := roleOf(ref)
		if ps, builtin := builtinRole(name, db); builtin {
			info := bson.D{{Key: "role", Value: name}, {Key: "db", Value: db}, {Key: "isBuiltin", Value: true},
				{Key: "roles", Value: bson.A{}}, {Key: "inheritedRoles", Value: bson.A{}}}
			if r.flag("showPrivileges") {
				info = append(info, bson.E{Key: "privileges", Value: privilegeDocs(ps)}, bson.E{Key: "inheritedPrivileges", Value: privilegeDocs(ps)})
			}
			out = append(out, info)
		} else if role := s.store.find(rolesNS).get(userKey(db, name)); role != nil {
			add(role)
		}
	}
	return bson.D{{Key: "roles", Value: out}}, nil
}

// privilegeDocs gives privileges as documents, actions sorted.
func privilegeDocs(ps []privilege) bson.A {
	out := bson.A{}
	for _, p := range ps {
		var names []string
		for a := range p.actions {
			names = append(names, a)
		}
		slices.Sort(names)
		actions := bson.A{}
		for _, n := range names {
			actions = append(actions, n)
		}
		out = append(out, bson.D{{Key: "resource", Value: p.on.doc()}, {Key: "actions", Value: actions}})
	}
	return out
}
