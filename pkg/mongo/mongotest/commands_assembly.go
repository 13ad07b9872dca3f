package mongotest

import (
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/bson"
)

// The codes of servers that are not a cluster yet.
const (
	codeNotYetInitialized = 94
)

// assemblyCommands make a cluster of servers that have just started. They follow MongoDB's documentation of 4.0, not an observed server.
func assemblyCommands() []*command {
	return []*command{
		{name: "replSetGetStatus", run: runReplSetGetStatus, needs: onCluster("replSetGetStatus"), adminOnly: true},
		{name: "replSetInitiate", run: runReplSetInitiate, needs: onCluster("replSetConfigure"), adminOnly: true},
		{name: "addShard", run: runAddShard, needs: onCluster("addShard"), adminOnly: true, mongosOnly: true, write: true},
	}
}

// unassembled is the greeting of a mongod that waits for replSetInitiate.
func unassembled(primaryField string) bson.D {
	return bson.D{{Key: primaryField, Value: false}, {Key: "secondary", Value: false}, {Key: "info", Value: "Does not have a valid replica set config"},
		{Key: "isreplicaset", Value: true}}
}

func runReplSetGetStatus(s *Standin, r *request) (bson.D, error) {
	if s.mongos() {
		return nil, errf(codeCommandNotFound, "no such cmd: %s", r.name)
	}
	if s.fresh.Load() {
		return nil, errf(codeNotYetInitialized, "no replset config has been received")
	}
	members := bson.A{}
	for i, m := range s.cfg.Sets[0].Members {
		state := int32(2)
		if i == 0 {
			state = 1
		}
		members = append(members, bson.D{{Key: "_id", Value: int32(i)}, {Key: "name", Value: m.Host}, {Key: "health", Value: float64(1)}, {Key: "state", Value: state}})
	}
	return bson.D{{Key: "set", Value: s.cfg.Sets[0].Name}, {Key: "myState", Value: int32(1)}, {Key: "members", Value: members}}, nil
}

func runReplSetInitiate(s *Standin, r *request) (bson.D, error) {
	if s.mongos() {
		return nil, errf(codeCommandNotFound, "no such cmd: %s", r.name)
	}
	if !s.fresh.Load() {
		return nil, errf(codeAlreadyInitialized, "already initialized")
	}
	config, _ := r.first().(bson.D)
	name, _ := lookupField(config, "_id")
	if name != s.cfg.ReplicaSet {
		return nil, errf(93, "Attempting to initiate a replica set with name %v, but command line reports %s; rejecting", name, s.cfg.ReplicaSet)
	}
	server, _ := lookupField(config, "configsvr")
	if server == true != (s.cfg.ReplicaSet == "config") {
		return nil, errf(93, "Nodes started with the --configsvr flag must have configsvr:true in their config, and only they")
	}
	set := ReplicaSet{Name: s.cfg.ReplicaSet}
	list, _ := lookupField(config, "members")
	members, _ := list.(bson.A)
	for _, m := range members {
		d, _ := m.(bson.D)
		host, _ := lookupField(d, "host")
		text, ok := host.(string)
		if !ok {
			return nil, errf(93, "Missing expected field \"host\" in replica set member")
		}
		set.Members = append(set.Members, SetMember{Host: text})
	}
	if len(set.Members) == 0 {
		return nil, errf(93, "Replica set configuration must contain at least one member")
	}
	s.cfg.Sets = []ReplicaSet{set}
	s.fresh.Store(false)
	return bson.D{}, nil
}

func runAddShard(s *Standin, r *request) (bson.D, error) {
	host, _ := r.first().(string)
	set, members, ok := strings.Cut(host, "/")
	if !ok || members == "" {
		return nil, errf(codeBadValue, "a shard is given as SET/HOST:PORT")
	}
	name, _ := r.get("name").(string)
	if name == "" {
		name = set
	}
	for _, d := range s.store.find(shardsNS).docs() {
		known, _ := lookupField(d, "_id")
		at, _ := lookupField(d, "host")
		text, _ := at.(string)
		same := strings.HasPrefix(text, set+"/")
		if same && known == name {
			return bson.D{{Key: "shardAdded", Value: name}}, nil
		}
		if same || known == name {
			return nil, errf(codeIllegalOperation, "a shard named %v with the replica set of %s is there already", known, text)
		}
	}
	if !slices.ContainsFunc(s.cfg.Sets, func(r ReplicaSet) bool { return r.Name == name }) {
		added := ReplicaSet{Name: name}
		for member := range strings.SplitSeq(members, ",") {
			added.Members = append(added.Members, SetMember{Host: member})
		}
		s.cfg.Sets = append(s.cfg.Sets, added)
	}
	s.store.ensure(shardsNS).put(bson.D{{Key: "_id", Value: name}, {Key: "host", Value: host}, {Key: "state", Value: int32(1)}})
	return bson.D{{Key: "shardAdded", Value: name}}, nil
}
