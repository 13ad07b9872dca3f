package mongotest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/bson"
)

// ReplicaSet is what a shard's members are said to be. Nothing is replicated: documents are in one store.
type ReplicaSet struct {
	Name     string
	Members  []SetMember
	Election time.Duration // electionTimeoutMillis, 10 s when 0
}

// SetMember is one member of a replica set, with a vote unless Mute.
type SetMember struct {
	Host    string
	Tags    map[string]string
	Arbiter bool
	Mute    bool
}

func setCommands() []*command {
	return []*command{
		{name: "connPoolStats", run: runConnPoolStats, needs: onCluster("connPoolStats")},
		{name: "replSetGetConfig", run: runReplSetGetConfig, needs: onCluster("replSetGetConfig"), adminOnly: true},
	}
}

// completeSets gives every shard a replica set.
func completeSets(cfg Config) []ReplicaSet {
	sets := cfg.Sets
	for i, shard := range cfg.Shards {
		name, at, told := strings.Cut(shard, "/")
		if slices.ContainsFunc(sets, func(s ReplicaSet) bool { return s.Name == name }) {
			continue
		}
		set := ReplicaSet{Name: name}
		if told {
			set.Members = []SetMember{{Host: at}}
		}
		for n := len(set.Members); !told && n < 3; n++ {
			// Addresses of the loopback network that nobody listens on: to connect fails at once.
			set.Members = append(set.Members, SetMember{Host: fmt.Sprintf("127.%d.0.1:%d", n+1, 27018+i), Tags: map[string]string{"region": fmt.Sprintf("region-%d", n+1)}})
		}
		sets = append(sets, set)
	}
	return sets
}

func (s *Standin) set(name string) ReplicaSet {
	i := slices.IndexFunc(s.cfg.Sets, func(set ReplicaSet) bool { return set.Name == name })
	return s.cfg.Sets[i] // completeSets has made one for every shard
}

// hostString is what config.shards says of a set: arbiters are not in it.
func (r ReplicaSet) hostString() string { return r.Name + "/" + strings.Join(r.hosts(false), ",") }

func (r ReplicaSet) hosts(arbiters bool) []string {
	var hosts []string
	for _, m := range r.Members {
		if m.Arbiter == arbiters {
			hosts = append(hosts, m.Host)
		}
	}
	return hosts
}

func tagDoc(tags map[string]string) bson.D {
	d := bson.D{}
	for k, v := range tags {
		d = append(d, bson.E{Key: k, Value: v})
	}
	slices.SortFunc(d, func(a, b bson.E) int { return strings.Compare(a.Key, b.Key) })
	return d
}

func textArray(list []string) bson.A {
	out := bson.A{}
	for _, v := range list {
		out = append(out, v)
	}
	return out
}

// describeSet puts the members of a mongod's set into its greeting, where the set names this listener.
func (s *Standin) describeSet(greeting bson.D, me string) bson.D {
	set := s.cfg.Sets[0]
	i := slices.IndexFunc(set.Members, func(m SetMember) bool { return m.Host == me })
	if i < 0 {
		return greeting
	}
	for n, e := range greeting {
		switch e.Key {
		case "hosts":
			greeting[n].Value = textArray(set.hosts(false))
		case "setName":
			greeting[n].Value = set.Name
		}
	}
	if arbiters := set.hosts(true); len(arbiters) > 0 {
		greeting = append(greeting, bson.E{Key: "arbiters", Value: textArray(arbiters)})
	}
	if tags := set.Members[i].Tags; len(tags) > 0 {
		greeting = append(greeting, bson.E{Key: "tags", Value: tagDoc(tags)})
	}
	return greeting
}

// runConnPoolStats tells what a router's monitors see of the shards: members with data, and their tags.
func runConnPoolStats(s *Standin, _ *request) (bson.D, error) {
	sets := bson.D{}
	if s.mongos() {
		for _, set := range s.cfg.Sets {
			hosts := bson.A{}
			for n, m := range set.Members {
				if m.Arbiter {
					continue
				}
				d := bson.D{{Key: "addr", Value: m.Host}, {Key: "ok", Value: true}, {Key: "ismaster", Value: n == 0}, {Key: "hidden", Value: false},
					{Key: "secondary", Value: n > 0}, {Key: "pingTimeMillis", Value: int32(0)}}
				if len(m.Tags) > 0 {
					d = append(d, bson.E{Key: "tags", Value: tagDoc(m.Tags)})
				}
				hosts = append(hosts, d)
			}
			sets = append(sets, bson.E{Key: set.Name, Value: bson.D{{Key: "hosts", Value: hosts}}})
		}
	}
	return bson.D{{Key: "numClientConnections", Value: int32(0)}, {Key: "hosts", Value: bson.D{}}, {Key: "replicaSets", Value: sets}}, nil
}

func runReplSetGetConfig(s *Standin, r *request) (bson.D, error) {
	if s.mongos() {
		return nil, errf(codeCommandNotFound, "no such cmd: %s", r.name)
	}
	set := s.cfg.Sets[0]
	members := bson.A{}
	for i, m := range set.Members {
		votes := int32(1)
		if m.Mute {
			votes = 0
		}
		members = append(members, bson.D{{Key: "_id", Value: int32(i)}, {Key: "host", Value: m.Host}, {Key: "arbiterOnly", Value: m.Arbiter},
			{Key: "hidden", Value: false}, {Key: "priority", Value: float64(votes)}, {Key: "tags", Value: tagDoc(m.Tags)}, {Key: "votes", Value: votes}})
	}
	election := set.Election
	if election == 0 {
		election = 10 * time.Second
	}
	return bson.D{{Key: "config", Value: bson.D{{Key: "_id", Value: set.Name}, {Key: "version", Value: int32(1)}, {Key: "members", Value: members},
		{Key: "settings", Value: bson.D{{Key: "electionTimeoutMillis", Value: election.Milliseconds()}}}}}}, nil
}
