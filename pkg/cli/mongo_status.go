package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/environment"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/failover"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongo"
)

type mongoStatusOptions struct {
	f     *Factory
	mongo mongoFlags
	print printFlags
}

func newMongoStatusCmd(f *Factory) *cobra.Command {
	o := &mongoStatusOptions{f: f}
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the cluster's routers, shards, members, zones, key ranges, users and roles",
		Long: `Show the cluster's routers, shards, members, zones, key ranges, users and what they may do, versions and the balancer, as a router tells
them: with any database, in a cluster or outside. Nothing is changed. What could not be read is shown as ?, which is not the same as
down; only when nothing at all could be read is it an error. A member's state is what the router's monitors see.`,
		Example: `  kubectl aporeto mongo status
  kubectl aporeto mongo status -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context()) },
	}
	o.mongo.add(f, cmd)
	o.print.add(cmd, formatJSON, formatYAML)
	return cmd
}

func (o *mongoStatusOptions) run(ctx context.Context) error {
	if err := o.print.check(); err != nil {
		return err
	}
	db, err := o.mongo.open(o.f)
	if err != nil {
		return err
	}
	client, err := db.any(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = client.Close(context.WithoutCancel(ctx)) }() // nothing was written
	d, err := client.Describe(ctx, storeTime)
	if err != nil {
		return err
	}
	if d.Nothing() {
		return explainBootstrap(d.Unknown["users"]) // every part has the same reason
	}
	st := newMongoStatus(d, db.env.ID)
	done, err := o.print.object(o.f.IO.Out, st)
	if err == nil && !done {
		err = printMongoStatus(o.f.IO.Out, st)
	}
	for _, part := range slices.Sorted(maps.Keys(st.Unknown)) {
		o.f.say("warning: the " + part + " could not be read: " + st.Unknown[part])
	}
	return err
}

// mongoStatus is the cluster as mongo status prints it; null is what could not be read.
type mongoStatus struct {
	APIVersion  string             `json:"apiVersion"`
	Kind        string             `json:"kind"`
	Environment string             `json:"environment"`
	ClusterID   *string            `json:"clusterID"`
	Version     *string            `json:"version"` // the router's that answered
	Balancer    *mongo.Balancer    `json:"balancer"`
	Routers     []mongoRouter      `json:"routers"`
	Shards      []mongoShard       `json:"shards"`
	ShardZones  []mongoShardZone   `json:"shardZones"`
	Users       []mongoUser        `json:"users"`
	Roles       []mongo.CustomRole `json:"roles"`
	Unknown     map[string]string  `json:"unknown,omitempty"` // why, by part
}

type mongoRouter struct {
	Host    string   `json:"host"`
	Version string   `json:"version"`
	AgeSecs *float64 `json:"ageSeconds"` // since it last said that it runs, by the answering router's clock
}

type mongoShard struct {
	Name       string        `json:"name"`
	ReplicaSet string        `json:"replicaSet"`
	Zones      []string      `json:"zones"`
	Members    []mongoMember `json:"members"`
}

type mongoMember struct {
	Host  string  `json:"host"`
	State *string `json:"state"`
}

type mongoShardZone struct {
	Name   string       `json:"name"`
	Shards []string     `json:"shards"`
	Ranges []mongoRange `json:"ranges"`
}

type mongoRange struct {
	Namespace string `json:"namespace"`
	From      string `json:"from"`
	To        string `json:"to"`
}

type mongoUser struct {
	Name         string       `json:"name"`
	Database     string       `json:"database"`
	Roles        []mongo.Role `json:"roles"`
	Environments []string     `json:"environments,omitempty"` // that recorded it as theirs
}

// newMongoStatus shapes what was read.
func newMongoStatus(d mongo.Description, id string) mongoStatus {
	st := mongoStatus{APIVersion: environment.APIVersion, Kind: "MongoStatus", Environment: id, ClusterID: known(d.ClusterID), Version: known(d.Version),
		Balancer: d.Balancer, Roles: d.Roles, Unknown: map[string]string{}}
	for part, err := range d.Unknown {
		st.Unknown[part] = err.Error()
	}
	if d.Routers != nil {
		st.Routers = []mongoRouter{}
	}
	for _, r := range d.Routers {
		router := mongoRouter{Host: r.Host, Version: r.Version}
		if !d.Now.IsZero() && !r.Seen.IsZero() {
			router.AgeSecs = new(max(0, d.Now.Sub(r.Seen).Round(time.Second).Seconds()))
		}
		st.Routers = append(st.Routers, router)
	}
	for _, s := range d.Shards {
		shard := mongoShard{Name: s.Name, ReplicaSet: s.Set, Zones: s.Zones}
		for _, m := range s.Members {
			shard.Members = append(shard.Members, mongoMember{Host: m.Host, State: known(m.State)})
		}
		st.Shards = append(st.Shards, shard)
	}
	st.ShardZones = shardZonesOf(d)
	for _, u := range d.Users {
		st.Users = append(st.Users, mongoUser{Name: u.Name, Database: u.Database, Roles: u.Roles, Environments: u.Environments})
	}
	return st
}

// shardZonesOf lists the shard zones by name: those that shards are in, and those that only key ranges name. nil is unknown.
func shardZonesOf(d mongo.Description) []mongoShardZone {
	if d.Shards == nil || d.Ranges == nil {
		return nil
	}
	byName := map[string]*mongoShardZone{}
	zone := func(name string) *mongoShardZone {
		if byName[name] == nil {
			byName[name] = &mongoShardZone{Name: name, Shards: []string{}, Ranges: []mongoRange{}}
		}
		return byName[name]
	}
	for _, s := range d.Shards {
		for _, name := range s.Zones {
			z := zone(name)
			z.Shards = append(z.Shards, s.Name)
		}
	}
	for _, r := range d.Ranges {
		z := zone(r.Zone)
		from, to := r.Bounds()
		z.Ranges = append(z.Ranges, mongoRange{Namespace: r.Namespace, From: from, To: to})
	}
	zones := []mongoShardZone{}
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		zones = append(zones, *byName[name])
	}
	return zones
}

// known is nil for "", which stands for what was not told.
func known(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

func orUnknown(text *string) string {
	if text == nil {
		return failover.Unknown
	}
	return *text
}

// any returns a client of the first routers that answer; which of the zones' they are does not matter to a reader.
func (d *database) any(ctx context.Context) (*mongo.Client, error) {
	// What is wrong on this side is no router's fault.
	if _, err := d.options(d.hosts[0]); err != nil {
		return nil, err
	}
	if err := d.way(ctx); err != nil {
		return nil, err
	}
	var failed []error
	for _, host := range d.hosts {
		client, err := d.nearest(ctx, host)
		if err == nil {
			return client, nil
		}
		failed = append(failed, err)
	}
	return nil, fmt.Errorf("no router answers: %w", errors.Join(failed...))
}
