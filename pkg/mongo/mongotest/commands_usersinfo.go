package mongotest

import (
	"go.mongodb.org/mongo-driver/bson"
)

// usersInfoNeeds: everybody may look at themselves.
func usersInfoNeeds(_ *Standin, r *request) ([]access, error) {
	sel, err := userSelectors(r)
	if err != nil {
		return nil, err
	}
	if sel == nil {
		db := r.db
		if d, ok := r.first().(bson.D); ok && len(d) > 0 { // {forAllDBs: true}
			db = ""
		}
		return []access{{"viewUser", resource{db: db}}}, nil
	}
	var needs []access
	for _, u := range sel {
		if u.name != r.conn.user || u.db != r.conn.userDB {
			needs = append(needs, access{"viewUser", resource{db: u.db}})
		}
	}
	return needs, nil
}

type userSelector struct{ name, db string }

// userSelectors reads what usersInfo asks for; nil means every user of the
// database, or of all with {forAllDBs: true}.
func userSelectors(r *request) ([]userSelector, error) {
	one := func(v any) (userSelector, error) {
		switch x := v.(type) {
		case string:
			return userSelector{x, r.db}, nil
		case bson.D:
			name, _ := lookupField(x, "user")
			db, _ := lookupField(x, "db")
			n, okName := name.(string)
			d, okDB := db.(string)
			if okName && okDB {
				return userSelector{n, d}, nil
			}
		}
		return userSelector{}, errf(codeBadValue, "User identifiers must be strings or documents of user and db")
	}
	switch v := r.first().(type) {
	case bson.A:
		out := []userSelector{}
		for _, e := range v {
			sel, err := one(e)
			if err != nil {
				return nil, err
			}
			out = append(out, sel)
		}
		return out, nil
	case bson.D:
		if all, ok := lookupField(v, "forAllDBs"); ok && truthy(all) {
			return nil, nil
		}
	case int32, int64, float64:
		if asFloat(v) == 1 {
			return nil, nil
		}
	}
	sel, err := one(r.first())
	return []userSelector{sel}, err
}

func runUsersInfo(s *Standin, r *request) (bson.D, error) {
	sel, err := userSelectors(r)
	if err != nil {
		return nil, err
	}
	var found []bson.D
	_, allDBs := r.first().(bson.D)
	if sel == nil {
		for _, u := range s.store.find(usersNS).docs() {
			if db, _ := lookupField(u, "db"); allDBs || db == r.db {
				found = append(found, u)
			}
		}
	}
	for _, want := range sel {
		if u := s.store.find(usersNS).get(userKey(want.db, want.name)); u != nil {
			found = append(found, u)
		}
	}
	list := bson.A{}
	for _, u := range found {
		list = append(list, s.userInfo(u, r.flag("showPrivileges")))
	}
	return bson.D{{Key: "users", Value: list}}, nil
}

// userInfo is the form of usersInfo: no credentials, but the mechanisms.
func (s *Standin) userInfo(u bson.D, showPrivileges bool) bson.D {
	var out bson.D
	for _, e := range u {
		if e.Key != "credentials" {
			out = append(out, e)
		}
	}
	mechanisms := bson.A{"SCRAM-SHA-1", "SCRAM-SHA-256"}
	if db, _ := lookupField(u, "db"); db == externalDB {
		mechanisms = bson.A{"external"}
	}
	out = append(out, bson.E{Key: "mechanisms", Value: mechanisms})
	if showPrivileges {
		roles, _ := lookupField(u, "roles")
		list, _ := roles.(bson.A)
		out = append(out, bson.E{Key: "inheritedRoles", Value: list},
			bson.E{Key: "inheritedPrivileges", Value: privilegeDocs(s.rolePrivileges(list, map[string]bool{}))})
	}
	return out
}
