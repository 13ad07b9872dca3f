package mongotest

import (
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/bson/primitive"
)

// The collections of the config database that clients read.
var (
	shardsNS      = namespace{configDB, "shards"}
	tagsNS        = namespace{configDB, "tags"}
	versionNS     = namespace{configDB, "version"}
	mongosNS      = namespace{configDB, "mongos"}
	databasesNS   = namespace{configDB, "databases"}
	collectionsNS = namespace{configDB, "collections"}
)

func shardingCommands() []*command {
	zone := func(name string, run func(*Standin, *request) (bson.D, error)) *command {
		return &command{name: name, run: run, adminOnly: true, write: true, mongosOnly: true,
			needs: func(*Standin, *request) ([]access, error) {
				return []access{{"update", resource{db: configDB, coll: "shards"}}, {"update", resource{db: configDB, coll: "tags"}}}, nil
			}}
	}
	return []*command{
		{name: "listShards", run: runListShards, needs: onCluster("listShards"), adminOnly: true, mongosOnly: true, primary: true},
		zone("addShardToZone", runAddShardToZone),
		zone("removeShardFromZone", runRemoveShardFromZone),
		zone("updateZoneKeyRange", runUpdateZoneKeyRange),
		{name: "enableSharding", run: runEnableSharding, needs: shardingNeeds, adminOnly: true, mongosOnly: true, write: true},
		{name: "shardCollection", run: runShardCollection, needs: shardingNeeds, adminOnly: true, mongosOnly: true, write: true},
		{name: "balancerStatus", run: runBalancerStatus, adminOnly: true, mongosOnly: true,
			needs: func(*Standin, *request) ([]access, error) {
				return []access{{"find", resource{db: configDB, coll: "settings"}}}, nil
			}},
	}
}

// shardingNeeds is enableSharding on the database or collection named.
func shardingNeeds(_ *Standin, r *request) ([]access, error) {
	name, _ := r.first().(string)
	db, coll, _ := strings.Cut(name, ".")
	return []access{{"enableSharding", resource{db: db, coll: coll}}}, nil
}

// seedConfig writes what a fresh cluster's config database holds.
func (s *Standin) seedConfig() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.store.find(versionNS).count() == 0 {
		s.store.ensure(versionNS).put(bson.D{{Key: "_id", Value: int32(1)}, {Key: "minCompatibleVersion", Value: int32(5)},
			{Key: "currentVersion", Value: int32(6)}, {Key: "clusterId", Value: primitive.NewObjectID()}})
	}
	for _, shard := range s.cfg.Shards {
		name, _, _ := strings.Cut(shard, "/")
		if s.store.find(shardsNS).get(name) == nil {
			host := s.set(name).hostString()
			s.store.ensure(shardsNS).put(bson.D{{Key: "_id", Value: name}, {Key: "host", Value: host}, {Key: "state", Value: int32(1)}})
		}
	}
	s.store.ensure(tagsNS)
	s.store.ensure(mongosNS)
	s.store.ensure(databasesNS)
	s.store.ensure(collectionsNS)
}

// noteMongos keeps config.mongos, where routers announce themselves.
func (s *Standin) noteMongos(addr string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.store.ensure(mongosNS).put(bson.D{{Key: "_id", Value: addr}, {Key: "mongoVersion", Value: s.version}, {Key: "ping", Value: now()},
		{Key: "up", Value: int64(0)}, {Key: "waiting", Value: true}})
}

// runListShards gives the shards; tags only on those that have a zone.
func runListShards(s *Standin, _ *request) (bson.D, error) {
	list := bson.A{}
	for _, d := range s.store.find(shardsNS).docs() {
		list = append(list, d)
	}
	return bson.D{{Key: "shards", Value: list}}, nil
}

// zoneArgs reads shard and zone of the two commands that take them.
func (s *Standin) zoneArgs(r *request) (shard bson.D, zone string, err error) {
	name, ok := r.first().(string)
	if !ok {
		return nil, "", r.wrongType(r.cmd.name, r.first(), "string")
	}
	z, ok := lookupField(r.body, "zone")
	if !ok {
		return nil, "", errf(codeNoSuchKey, "Missing expected field \"zone\"")
	}
	zone, ok = z.(string)
	if !ok {
		return nil, "", errf(codeTypeMismatch, "\"zone\" had the wrong type. Expected string, found %s", typeName(z))
	}
	shard = s.store.find(shardsNS).get(name)
	if shard == nil {
		return nil, "", errf(codeShardNotFound, "shard %s does not exist", name)
	}
	return shard, zone, nil
}

func tagsOf(shard bson.D) bson.A {
	v, _ := lookupField(shard, "tags")
	list, _ := v.(bson.A)
	return list
}

func runAddShardToZone(s *Standin, r *request) (bson.D, error) {
	shard, zone, err := s.zoneArgs(r)
	if err != nil {
		return nil, err
	}
	if tags := tagsOf(shard); !slices.Contains(tags, any(zone)) {
		s.store.find(shardsNS).put(withField(shard, "tags", append(append(bson.A{}, tags...), zone)))
	}
	return bson.D{}, nil
}

func runRemoveShardFromZone(s *Standin, r *request) (bson.D, error) {
	shard, zone, err := s.zoneArgs(r)
	if err != nil {
		return nil, err
	}
	tags := tagsOf(shard)
	if !slices.Contains(tags, any(zone)) {
		return bson.D{}, nil
	}
	if s.shardsInZone(zone) == 1 {
		for _, d := range s.store.find(tagsNS).docs() {
			if tag, _ := lookupField(d, "tag"); tag == zone {
				return nil, errf(codeZoneStillInUse, "cannot remove a shard from zone if a chunk range is associated with it")
			}
		}
	}
	left := slices.DeleteFunc(slices.Clone(tags), func(v any) bool { return v == zone })
	s.store.find(shardsNS).put(withField(shard, "tags", left))
	return bson.D{}, nil
}

func (s *Standin) shardsInZone(zone string) int {
	n := 0
	for _, d := range s.store.find(shardsNS).docs() {
		if slices.Contains(tagsOf(d), any(zone)) {
			n++
		}
	}
	return n
}

func runUpdateZoneKeyRange(s *Standin, r *request) (bson.D, error) {
	full, _ := r.first().(string)
	ns, ok := splitNS(full)
	if !ok {
		return nil, errf(codeInvalidNamespace, "invalid namespace specified '%s'", full)
	}
	low, err := r.doc("min")
	if err != nil {
		return nil, err
	}
	high, err := r.doc("max")
	if err != nil {
		return nil, err
	}
	zoneValue, ok := lookupField(r.body, "zone")
	if !ok {
		return nil, errf(codeNoSuchKey, "Missing expected field \"zone\"")
	}
	tags := s.store.ensure(tagsNS)
	id := bson.D{{Key: "ns", Value: ns.String()}, {Key: "min", Value: low}}
	if zoneValue == nil { // null takes the range away
		tags.del(id)
		return bson.D{}, nil
	}
	zone, ok := zoneValue.(string)
	if !ok {
		return nil, errf(codeTypeMismatch, "\"zone\" had the wrong type. Expected string, found %s", typeName(zoneValue))
	}
	if s.shardsInZone(zone) == 0 {
		return nil, errf(codeZoneNotFound, "zone %s does not exist", zone)
	}
	if err := s.checkRangeKeys(ns, low, high); err != nil {
		return nil, err
	}
	if err := s.checkOverlap(ns, low, high, zone); err != nil {
		return nil, err
	}
	tags.put(bson.D{{Key: "_id", Value: id}, {Key: "ns", Value: ns.String()}, {Key: "min", Value: low}, {Key: "max", Value: high}, {Key: "tag", Value: zone}})
	return bson.D{}, nil
}

// checkRangeKeys refuses bounds that do not fit each other or the shard key.
func (s *Standin) checkRangeKeys(ns namespace, low, high bson.D) error {
	if len(low) == 0 || !sameKeys(low, high) {
		return errf(codeShardKeyNotFound, "the min and max keys must have the same set of keys: min %s, max %s", describe(low), describe(high))
	}
	if compareDocuments(low, high) >= 0 {
		return errf(codeFailedToParse, "min: %s should be less than max: %s", describe(low), describe(high))
	}
	sharded := s.store.find(collectionsNS).get(ns.String())
	if sharded == nil {
		return nil
	}
	key, _ := lookupField(sharded, "key")
	pattern, _ := key.(bson.D)
	if len(low) > len(pattern) || !sameKeys(low, pattern[:len(low)]) {
		return errf(codeShardKeyNotFound, "min: %s is not a prefix of the shard key %s of ns: %s", describe(low), describe(pattern), ns)
	}
	return nil
}

// checkOverlap refuses a range that meets another; the very same one may be
// assigned anew.
func (s *Standin) checkOverlap(ns namespace, low, high bson.D, zone string) error {
	for _, d := range s.store.find(tagsNS).docs() {
		other, _ := lookupField(d, "ns")
		lo, _ := lookupField(d, "min")
		hi, _ := lookupField(d, "max")
		if other != ns.String() || (compareValues(lo, low) == 0 && compareValues(hi, high) == 0) {
			continue
		}
		if compareValues(low, hi) < 0 && compareValues(lo, high) < 0 {
			tag, _ := lookupField(d, "tag")
			return errf(codeRangeOverlapConflict, "Zone range: [%s, %s) of zone %s is overlapping with existing: [%s, %s) of zone %s",
				describe(low), describe(high), zone, describe(lo), describe(hi), text(tag))
		}
	}
	return nil
}

func sameKeys(a, b bson.D) bool {
	return slices.EqualFunc(a, b, func(x, y bson.E) bool { return x.Key == y.Key })
}

func runEnableSharding(s *Standin, r *request) (bson.D, error) {
	db, _ := r.first().(string)
	switch {
	case !validDBName(db) || db == externalDB:
		return nil, errf(codeInvalidNamespace, "invalid db name specified: %s", db)
	case db == adminDB || db == localDB:
		return nil, errf(codeInvalidOptions, "can't shard %s database", db)
	case db == configDB:
		return bson.D{}, nil
	}
	shards := s.store.find(shardsNS).docs()
	if len(shards) == 0 {
		return nil, errf(codeShardNotFound, "No shards found")
	}
	if old := s.store.find(databasesNS).get(db); old != nil {
		s.store.find(databasesNS).put(withField(old, "partitioned", true))
		return bson.D{}, nil
	}
	s.store.ensure(databasesNS).put(bson.D{{Key: "_id", Value: db}, {Key: "primary", Value: shards[0][0].Value},
		{Key: "partitioned", Value: true}, {Key: "version", Value: bson.D{{Key: "uuid", Value: newUUID()}, {Key: "lastMod", Value: int32(1)}}}})
	return bson.D{}, nil
}

func runShardCollection(s *Standin, r *request) (bson.D, error) {
	full, _ := r.first().(string)
	ns, ok := splitNS(full)
	if !ok {
		return nil, errf(codeInvalidNamespace, "invalid namespace specified '%s'", full)
	}
	key, err := r.doc("key")
	if err != nil {
		return nil, err
	}
	if len(key) == 0 {
		return nil, errf(codeBadValue, "shard key is empty")
	}
	if db := s.store.find(databasesNS).get(ns.db); db == nil {
		return nil, errf(codeNamespaceNotFound, "database %s not found", ns.db)
	} else if on, _ := lookupField(db, "partitioned"); !truthy(on) {
		return nil, errf(codeIllegalOperation, "sharding not enabled for db %s", ns.db)
	}
	if old := s.store.find(collectionsNS).get(ns.String()); old != nil {
		have, _ := lookupField(old, "key")
		unique, _ := lookupField(old, "unique")
		if compareValues(have, key) != 0 || truthy(unique) != r.flag("unique") {
			return nil, errf(codeAlreadyInitialized, "sharding already enabled for collection %s with options %s", ns, describe(old))
		}
		return bson.D{{Key: "collectionsharded", Value: ns.String()}}, nil
	}
	coll := s.store.ensure(ns)
	s.store.ensure(collectionsNS).put(bson.D{{Key: "_id", Value: ns.String()}, {Key: "lastmodEpoch", Value: primitive.NewObjectID()},
		{Key: "lastmod", Value: now()}, {Key: "dropped", Value: false}, {Key: "key", Value: key}, {Key: "unique", Value: r.flag("unique")},
		{Key: "uuid", Value: coll.uuid}})
	return bson.D{{Key: "collectionsharded", Value: ns.String()}, {Key: "collectionUUID", Value: coll.uuid}}, nil
}

func runBalancerStatus(_ *Standin, _ *request) (bson.D, error) {
	return bson.D{{Key: "mode", Value: "full"}, {Key: "inBalancerRound", Value: false}, {Key: "numBalancerRounds", Value: int64(0)}}, nil
}
