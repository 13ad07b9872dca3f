package mongotest

import (
	"strings"

	"go.mongodb.org/mongo-driver/bson"
)

// resource is what a privilege is on, or what a command touches: the cluster,
// anything, or a database and collection, where empty means all.
type resource struct {
	cluster  bool
	anything bool
	db, coll string
}

// privilege is a set of actions on a resource.
type privilege struct {
	on      resource
	actions map[string]bool
}

// access is one thing a command needs.
type access struct {
	action string
	on     resource
}

// covers tells whether a privilege on p reaches target. Privileges on whole
// databases leave out system collections, those on all databases also local
// and config.
func (p resource) covers(target resource) bool {
	switch {
	case p.anything:
		return true
	case p.cluster || target.cluster:
		return p.cluster == target.cluster
	case p.coll != "":
		return p.coll == target.coll && (p.db == "" || p.db == target.db)
	case strings.HasPrefix(target.coll, "system."):
		return false
	case p.db == "":
		return target.db != configDB && target.db != localDB
	}
	return p.db == target.db
}

func allowed(ps []privilege, want access) bool {
	for _, p := range ps {
		if (p.actions[want.action] || p.actions["anyAction"]) && p.on.covers(want.on) {
			return true
		}
	}
	return false
}

// doc gives the form of rolesInfo and createRole.
func (p resource) doc() bson.D {
	switch {
	case p.anything:
		return bson.D{{Key: "anyResource", Value: true}}
	case p.cluster:
		return bson.D{{Key: "cluster", Value: true}}
	}
	return bson.D{{Key: "db", Value: p.db}, {Key: "collection", Value: p.coll}}
}

// parseResource reads the resource document of createRole.
func parseResource(v any) (resource, error) {
	d, ok := v.(bson.D)
	if !ok {
		return resource{}, errf(codeBadValue, "resource pattern must be a document")
	}
	if c, ok := lookupField(d, "cluster"); ok && truthy(c) {
		return resource{cluster: true}, nil
	}
	if c, ok := lookupField(d, "anyResource"); ok && truthy(c) {
		return resource{anything: true}, nil
	}
	db, okDB := lookupField(d, "db")
	coll, okColl := lookupField(d, "collection")
	dbName, isDB := db.(string)
	collName, isColl := coll.(string)
	if !okDB || !okColl || !isDB || !isColl {
		return resource{}, errf(codeFailedToParse, "resource must set 'db' and 'collection', 'cluster' or 'anyResource'")
	}
	return resource{db: dbName, coll: collName}, nil
}

func set(actions ...string) map[string]bool {
	out := map[string]bool{}
	for _, list := range actions {
		for a := range strings.FieldsSeq(list) {
			out[a] = true
		}
	}
	return out
}
