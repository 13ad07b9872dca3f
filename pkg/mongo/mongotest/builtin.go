package mongotest

// The actions of the built-in roles, as the manual lists them for 4.0
// (https://www.mongodb.com/docs/manual/reference/built-in-roles/).
const (
	readActions    = "find collStats dbHash dbStats killCursors listCollections listIndexes planCacheRead changeStream"
	writeActions   = "insert update remove createCollection createIndex dropCollection dropIndex convertToCapped emptycapped renameCollectionSameDB"
	dbAdminActions = "bypassDocumentValidation collMod collStats compact convertToCapped createCollection createIndex dbHash dbStats dropCollection " +
		"dropDatabase dropIndex enableProfiler listCollections listIndexes planCacheIndexFilter planCacheRead planCacheWrite reIndex " +
		"renameCollectionSameDB storageDetails validate killCursors"
	userAdminActions = "changeCustomData changePassword createRole createUser dropRole dropUser grantRole revokeRole " +
		"setAuthenticationRestriction viewRole viewUser"
	clusterMonitorActions = "checkFreeMonitoringStatus connPoolStats getCmdLineOpts getLog getParameter getShardMap hostInfo inprog listDatabases " +
		"listSessions listShards netstat replSetGetConfig replSetGetStatus serverStatus setFreeMonitoring shardingState top useUUID"
	clusterManagerActions = "addShard appendOplogNote applicationMessage cleanupOrphaned flushRouterConfig getShardMap listShards removeShard " +
		"replSetConfigure replSetGetConfig replSetGetStatus replSetStateChange resync setFeatureCompatibilityVersion shardingState " +
		"enableSharding moveChunk splitChunk splitVector listSessions"
	hostManagerActions = "applicationMessage closeAllDatabases connPoolSync flushRouterConfig fsync invalidateUserCache killAnyCursor killAnySession " +
		"killop logRotate resync setParameter shutdown touch unlock killCursors"
)

// builtinRole gives the privileges of a built-in role, or false. Roles on one
// database exist on every database but $external, those on all only on admin.
func builtinRole(role, db string) ([]privilege, bool) {
	if db == externalDB {
		return nil, false
	}
	if ps := databaseRole(role, db); ps != nil {
		return ps, true
	}
	if db != adminDB {
		return nil, false
	}
	ps := adminRole(role)
	return ps, ps != nil
}

func databaseRole(role, db string) []privilege {
	on := func(actions ...string) []privilege { return []privilege{{resource{db: db}, set(actions...)}} }
	switch role {
	case "read":
		return append(on(readActions), privilege{resource{db: db, coll: "system.js"}, set(readActions)})
	case "readWrite":
		return append(on(readActions, writeActions), privilege{resource{db: db, coll: "system.js"}, set(readActions, writeActions)})
	case "dbAdmin":
		return append(on(dbAdminActions), privilege{resource{db: db, coll: "system.profile"}, set(readActions, "dropCollection createCollection")})
	case "userAdmin":
		return on(userAdminActions)
	case "dbOwner":
		return on(readActions, writeActions, dbAdminActions, userAdminActions)
	case "enableSharding":
		return on("enableSharding")
	}
	return nil
}

// adminRole gives the roles that exist on admin only.
func adminRole(role string) []privilege {
	everywhere := func(actions ...string) []privilege { return []privilege{{resource{}, set(actions...)}} }
	cluster := func(actions ...string) privilege { return privilege{resource{cluster: true}, set(actions...)} }
	config := func(actions ...string) privilege { return privilege{resource{db: configDB}, set(actions...)} }
	local := func(actions ...string) privilege { return privilege{resource{db: localDB}, set(actions...)} }
	switch role {
	case "readAnyDatabase":
		return append(everywhere(readActions), cluster("listDatabases"))
	case "readWriteAnyDatabase":
		return append(everywhere(readActions, writeActions), cluster("listDatabases"))
	case "dbAdminAnyDatabase":
		return append(everywhere(dbAdminActions), cluster("listDatabases applyOps"))
	case "userAdminAnyDatabase":
		return append(everywhere(userAdminActions), config(userAdminActions), local(userAdminActions),
			cluster("authSchemaUpgrade invalidateUserCache listDatabases"),
			privilege{resource{db: adminDB, coll: "system.users"}, set("collStats dbHash dbStats find killCursors planCacheRead createIndex dropIndex")},
			privilege{resource{db: adminDB, coll: "system.roles"}, set("collStats dbHash dbStats find killCursors planCacheRead createIndex dropIndex")})
	case "clusterMonitor":
		return append(everywhere("collStats dbStats getDatabaseVersion getShardVersion indexStats listCollections listIndexes"),
			cluster(clusterMonitorActions), config(readActions, "indexStats"), local(readActions))
	case "clusterManager":
		return append(everywhere("enableSharding moveChunk splitChunk splitVector"),
			cluster(clusterManagerActions), config(readActions, "insert update remove enableSharding moveChunk splitChunk splitVector"), local(readActions))
	case "hostManager":
		return append(everywhere("killCursors"), cluster(hostManagerActions))
	case "clusterAdmin":
		return union("clusterManager", "clusterMonitor", "hostManager", privilege{resource{}, set("dropDatabase")},
			cluster("appendOplogNote listDatabases"))
	case "backup":
		return append(everywhere(readActions), cluster("appendOplogNote getParameter listDatabases"), config(readActions), local(readActions),
			privilege{resource{coll: "system.users"}, set("find")}, privilege{resource{coll: "system.roles"}, set("find")})
	case "restore":
		return append(everywhere("bypassDocumentValidation collMod convertToCapped createCollection createIndex createRole createUser dropCollection "+
			"dropRole dropUser grantRole insert revokeRole viewRole viewUser"), cluster("getParameter listDatabases"))
	case "root":
		return union("readWriteAnyDatabase", "dbAdminAnyDatabase", "userAdminAnyDatabase", "clusterAdmin", "restore", "backup",
			privilege{resource{}, set("validate")}, config("enableSharding"))
	case "__system":
		return []privilege{{resource{anything: true}, set("anyAction")}}
	}
	return nil
}

// union joins roles of admin, by name, and further privileges.
func union(parts ...any) []privilege {
	var out []privilege
	for _, p := range parts {
		switch x := p.(type) {
		case string:
			out = append(out, adminRole(x)...)
		case privilege:
			out = append(out, x)
		}
	}
	return out
}
