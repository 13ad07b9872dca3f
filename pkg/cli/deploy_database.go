package cli

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"strings"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/bootstrap"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/kube"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongo"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/plan"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/values"
)

// inCluster makes one sharded cluster of a zone's in-cluster MongoDB, then everything that is made in a database of the user's own. The
// pods are reached by port-forward, TLS end to end: workstations have no way to their names.
func (s *shared) inCluster(ctx context.Context, w plan.Wanted, status func(string)) error {
	services, err := servicesOf([]plan.Wanted{w}, s.privileged)
	if err != nil {
		return err
	}
	client, err := kube.Open(w.Zone, s.f.Kubeconfig())
	if err != nil {
		return err
	}
	trust, err := s.certificates.MongoTrust()
	if err != nil {
		return err
	}
	member, err := s.certificates.MemberTLS()
	if err != nil {
		return err
	}
	dial := podDialer(client)
	servers := w.ShardDatabase()
	routers := servers[len(servers)-1]
	a := bootstrap.Assembly{
		Member: mongo.Options{CA: trust, AppName: "kubectl-aporeto", Dial: dial, Retry: true, Certificate: func() (*tls.Certificate, error) { return &member, nil }},
		Config: replicaSet(servers[0]), Routers: routers.ClientHosts(),
		Say:    func(text string) { s.progress.say("MongoDB: " + text) },
		Status: status,
	}
	for _, shard := range servers[1 : len(servers)-1] {
		a.Shards = append(a.Shards, replicaSet(shard))
	}
	if err := a.Assemble(ctx); err != nil {
		return err
	}
	db := &database{f: s.f, dir: s.want.dir, env: s.want.env, certificates: s.certificates, hosts: []string{routers.ClientHosts()}, dial: dial}
	admin, err := db.nearest(ctx, routers.ClientHosts())
	if err != nil {
		return err
	}
	defer func() { _ = admin.Close(context.WithoutCancel(ctx)) }() // what was written is acknowledged
	return s.bootstrap(ctx, admin, services)
}

func replicaSet(s plan.ShardServers) mongo.ReplicaSet {
	return mongo.ReplicaSet{Name: s.Set, Members: s.Addresses(), ConfigServers: s.Component == "config"}
}

// podDialer reaches the pod that an address begins with.
func podDialer(client *kube.Client) mongo.Dial {
	return func(ctx context.Context, _, address string) (net.Conn, error) {
		pod, _, found := strings.Cut(address, ".")
		if !found {
			return nil, fmt.Errorf("%q is no pod's name", address)
		}
		return client.DialPod(ctx, pod, plan.MongoDBPort)
	}
}

// shardHosts is a layer: where a zone has an in-cluster MongoDB, its routers are found without being told.
func shardHosts(w plan.Wanted) values.Layer {
	layer := values.Layer{Name: "routers of mongodb-shard", Values: map[string]any{}}
	servers := w.ShardDatabase()
	if servers == nil {
		return layer
	}
	layer.Values = map[string]any{values.Global: map[string]any{"database": map[string]any{"mongo": map[string]any{"host": servers[len(servers)-1].ClientHosts()}}}}
	return layer
}
