package plan

import (
	"fmt"
	"strings"
)

// MongoDBPort is where every server of an in-cluster MongoDB listens.
const MongoDBPort = 27017

// ShardServers are the pods of one part of an in-cluster MongoDB: the members of a replica set, or the routers. What they are called is the
// control-plane chart's to say (templates/mongodb.yaml); a test of the charts holds both to it.
type ShardServers struct {
	Component string // config, data, reports or router
	Set       string // name of the replica set, and of the shard it is; "" for the routers
	Service   string // their headless Service, and the beginning of their names
	Secret    string // their certificate
	Namespace string
	Replicas  int
}

// The defaults of mongodb-shard in the chart.
const (
	setReplicas    = 3
	routerReplicas = 2
)

// ShardDatabase returns the servers of the zone's in-cluster MongoDB: config servers, the shards data and reports, routers. There are none where
// mongodb-shard is not enabled.
func (w Wanted) ShardDatabase() []ShardServers {
	shard := child(w.ControlPlane, "mongodb-shard")
	if on, _ := shard["enabled"].(bool); !on {
		return nil
	}
	servers := []ShardServers{{Component: "config", Set: "config", Replicas: replicas(child(shard, "config"), setReplicas)}}
	for _, name := range []string{"data", "reports"} {
		servers = append(servers, ShardServers{Component: name, Set: name, Replicas: replicas(child(child(shard, "shards"), name), setReplicas)})
	}
	servers = append(servers, ShardServers{Component: "router", Replicas: replicas(child(shard, "routers"), routerReplicas)})
	for i := range servers {
		s := &servers[i]
		s.Service, s.Secret, s.Namespace = "mongodb-shard-"+s.Component, "aporeto-member-"+s.Component, w.Zone.Namespace
	}
	return servers
}

func replicas(values map[string]any, absent int) int {
	switch n := values["replicas"].(type) {
	case int:
		return n
	case int64:
		return int(n)
	case float64:
		return int(n)
	}
	return absent
}

// Pods are the names of the pods, the first one's first.
func (s ShardServers) Pods() []string {
	pods := make([]string, s.Replicas)
	for i := range pods {
		pods[i] = fmt.Sprintf("%s-%d", s.Service, i)
	}
	return pods
}

// Addresses are what the servers know each other by, host:port, in the order of Pods.
func (s ShardServers) Addresses() []string {
	pods := s.Pods()
	for i, pod := range pods {
		pods[i] = fmt.Sprintf("%s.%s.%s.svc:%d", pod, s.Service, s.Namespace, MongoDBPort)
	}
	return pods
}

// ClientHosts is what clients inside the cluster find the routers by: a value of global.database.mongo.host. Each router has its own
// name in it, for a driver must know which of them has its cursors.
func (s ShardServers) ClientHosts() string {
	pods := s.Pods()
	for i, pod := range pods {
		pods[i] = fmt.Sprintf("%s.%s.%s:%d", pod, s.Service, s.Namespace, MongoDBPort)
	}
	return strings.Join(pods, ",")
}

// Names is everything that a client may call one of the servers: what their certificate is for.
func (s ShardServers) Names() []string {
	var names []string
	for _, host := range append(s.Pods(), "") {
		at := s.Service
		if host != "" {
			at = host + "." + s.Service
		}
		inNamespace := at + "." + s.Namespace
		names = append(names, at, inNamespace, inNamespace+".svc", inNamespace+".svc.cluster.local")
	}
	return append(names, "localhost", "127.0.0.1")
}
