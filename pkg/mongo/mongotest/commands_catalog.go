package mongotest

import (
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/bson"
)

func catalogCommands() []*command {
	return []*command{
		{name: "listDatabases", run: runListDatabases, adminOnly: true, primary: true},
		{name: "listCollections", run: runListCollections, needs: onDatabase("listCollections"), primary: true},
		{name: "listIndexes", run: runListIndexes, needs: onCollection("listIndexes"), primary: true},
		{name: "create", run: runCreate, needs: onCollection("createCollection"), write: true},
		{name: "createIndexes", run: runCreateIndexes, needs: onCollection("createIndex"), write: true},
		{name: "dropIndexes", aliases: []string{"deleteIndexes"}, run: runDropIndexes, needs: onCollection("dropIndex"), write: true},
		{name: "drop", run: runDrop, needs: onCollection("dropCollection"), write: true},
		{name: "dropDatabase", run: runDropDatabase, needs: onDatabase("dropDatabase"), write: true},
	}
}

// runListDatabases shows all databases to who may list them, to others those
// they have any right on.
func runListDatabases(s *Standin, r *request) (bson.D, error) {
	filter, err := r.doc("filter")
	if err != nil {
		return nil, err
	}
	match, err := compileFilter(filter)
	if err != nil {
		return nil, err
	}
	privs := s.privileges(r.conn)
	all := allowed(privs, access{"listDatabases", resource{cluster: true}})
	if v, ok := lookupField(r.body, "authorizedDatabases"); ok && !truthy(v) && !all {
		return nil, errf(codeUnauthorized, "not authorized on %s to execute command %s", r.db, describeShort(r.body))
	}
	var names []string
	for db := range s.store.dbs {
		if db != localDB && (all || allowed(privs, access{"find", resource{db: db}})) {
			names = append(names, db)
		}
	}
	slices.Sort(names)
	list := bson.A{}
	for _, db := range names {
		d := bson.D{{Key: "name", Value: db}}
		if !r.flag("nameOnly") {
			d = append(d, bson.E{Key: "sizeOnDisk", Value: float64(4096)}, bson.E{Key: "empty", Value: false})
		}
		if match(d) {
			list = append(list, d)
		}
	}
	reply := bson.D{{Key: "databases", Value: list}}
	if !r.flag("nameOnly") {
		reply = append(reply, bson.E{Key: "totalSize", Value: float64(4096 * len(list))})
	}
	return reply, nil
}

func runListCollections(s *Standin, r *request) (bson.D, error) {
	filter, err := r.doc("filter")
	if err != nil {
		return nil, err
	}
	match, err := compileFilter(filter)
	if err != nil {
		return nil, err
	}
	var docs []bson.D
	for _, name := range s.store.names(r.db) {
		d := bson.D{{Key: "name", Value: name}, {Key: "type", Value: "collection"}}
		full := append(append(bson.D{}, d...), bson.D{{Key: "options", Value: bson.D{}},
			{Key: "info", Value: bson.D{{Key: "readOnly", Value: false}, {Key: "uuid", Value: s.store.find(namespace{r.db, name}).uuid}}}}...)
		if !match(full) {
			continue
		}
		if !r.flag("nameOnly") {
			d = full
		}
		docs = append(docs, d)
	}
	opts, err := r.doc("cursor")
	if err != nil {
		return nil, err
	}
	return s.firstBatch(r, r.db+".$cmd.listCollections", docs, opts)
}

func runListIndexes(s *Standin, r *request) (bson.D, error) {
	ns, err := r.collection()
	if err != nil {
		return nil, err
	}
	c := s.reads(r).find(ns)
	if c == nil {
		return nil, errf(codeNamespaceNotFound, "ns does not exist: %s", ns)
	}
	docs := []bson.D{{{Key: "v", Value: int32(2)}, {Key: "key", Value: bson.D{{Key: "_id", Value: int32(1)}}},
		{Key: "name", Value: "_id_"}, {Key: "ns", Value: ns.String()}}}
	for _, ix := range c.indexes {
		docs = append(docs, ix.Raw)
	}
	opts, err := r.doc("cursor")
	if err != nil {
		return nil, err
	}
	return s.firstBatch(r, ns.db+".$cmd.listIndexes."+ns.coll, docs, opts)
}

func runCreate(s *Standin, r *request) (bson.D, error) {
	ns, err := r.collection()
	if err != nil {
		return nil, err
	}
	if err := refuse(r, "capped", "viewOn", "validator", "collation", "timeseries"); err != nil {
		return nil, err
	}
	if s.store.find(ns) != nil {
		if s.since(Dialect44) {
			return nil, errf(codeNamespaceExists, "Collection already exists. NS: %s", ns)
		}
		return nil, errf(codeNamespaceExists, "a collection '%s' already exists", ns)
	}
	s.store.ensure(ns)
	return bson.D{}, nil
}

func runCreateIndexes(s *Standin, r *request) (bson.D, error) {
	ns, err := r.collection()
	if err != nil {
		return nil, err
	}
	specs, err := r.docs("indexes")
	if err != nil {
		return nil, err
	}
	created := s.store.find(ns) == nil
	c := s.store.ensure(ns)
	before := len(c.indexes) + 1
	for _, spec := range specs {
		if err := c.addIndex(spec); err != nil {
			return nil, err
		}
	}
	return bson.D{{Key: "createdCollectionAutomatically", Value: created},
		{Key: "numIndexesBefore", Value: int32(before)},                 //nolint:gosec // few
		{Key: "numIndexesAfter", Value: int32(len(c.indexes) + 1)}}, nil //nolint:gosec // few
}

func (c *collection) addIndex(spec bson.D) error {
	k, _ := lookupField(spec, "key")
	key, ok := k.(bson.D)
	name, _ := lookupField(spec, "name")
	text, isText := name.(string)
	if !ok || len(key) == 0 || !isText {
		return errf(codeFailedToParse, "The 'key' and 'name' fields are required properties of an index specification: %s", describe(spec))
	}
	for _, ix := range c.indexes {
		if ix.Name == text {
			if compareDocuments(ix.Key, key) != 0 {
				return errf(86, "Index must have unique name. The existing index: %s has the same name as the requested index: %s", describe(ix.Raw), describe(spec))
			}
			return nil
		}
	}
	if len(key) == 1 && key[0].Key == "_id" {
		return nil
	}
	unique, _ := lookupField(spec, "unique")
	ix := index{Name: text, Key: key, Unique: truthy(unique), Raw: spec}
	if ix.Unique {
		for _, option := range []string{"partialFilterExpression", "sparse"} {
			if v, ok := lookupField(spec, option); ok && truthy(v) {
				return notImplemented("%s of a unique index", option)
			}
		}
		seen := map[string]bool{}
		for _, d := range c.docs() {
			values := keyValues(d, key)
			k := indexKey(values)
			if seen[k] {
				return duplicateKey(c.ns, text, key, values)
			}
			seen[k] = true
		}
	}
	c.indexes = append(c.indexes, ix)
	c.store.touch(c.ns)
	return nil
}

func runDropIndexes(s *Standin, r *request) (bson.D, error) {
	ns, err := r.collection()
	if err != nil {
		return nil, err
	}
	c := s.store.find(ns)
	if c == nil {
		return nil, errf(codeNamespaceNotFound, "ns not found")
	}
	was := len(c.indexes) + 1
	name, _ := r.get("index").(string)
	c.indexes = slices.DeleteFunc(slices.Clone(c.indexes), func(ix index) bool { return name == "*" || ix.Name == name })
	if name != "*" && was == len(c.indexes)+1 {
		return nil, errf(codeIndexNotFound, "index not found with name [%s]", name)
	}
	s.store.touch(ns)
	return bson.D{{Key: "nIndexesWas", Value: int32(was)}}, nil //nolint:gosec // few
}

func runDrop(s *Standin, r *request) (bson.D, error) {
	ns, err := r.collection()
	if err != nil {
		return nil, err
	}
	if err := writable(ns); err != nil {
		return nil, err
	}
	if ns.db == adminDB || ns.db == configDB || strings.HasPrefix(ns.coll, "system.") {
		return nil, errf(codeIllegalOperation, "can't drop system collection %s", ns)
	}
	if !s.store.drop(ns) {
		return nil, errf(codeNamespaceNotFound, "ns not found")
	}
	s.store.find(collectionsNS).del(ns.String())
	return bson.D{{Key: "nIndexesWas", Value: int32(1)}, {Key: "ns", Value: ns.String()}}, nil
}

func runDropDatabase(s *Standin, r *request) (bson.D, error) {
	if r.db == adminDB || r.db == configDB || r.db == localDB {
		return nil, errf(codeIllegalOperation, "Cannot drop '%s' database", r.db)
	}
	for _, name := range s.store.names(r.db) {
		s.store.drop(namespace{r.db, name})
		s.store.find(collectionsNS).del(r.db + "." + name)
	}
	s.store.find(databasesNS).del(r.db)
	return bson.D{{Key: "dropped", Value: r.db}}, nil
}
