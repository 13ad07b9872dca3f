package bootstrap

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongo"
)

// assemblePoll is how often servers are tried that do not answer yet: their pods may be starting.
const assemblePoll = 2 * time.Second

// Assembly is an in-cluster MongoDB whose servers run, or are about to, and which is to be one sharded cluster.
type Assembly struct {
	// Member says how the servers are reached, and has the certificate of a member of the cluster: the only one that may do anything while
	// there are no users.
	Member  mongo.Options
	Config  mongo.ReplicaSet
	Shards  []mongo.ReplicaSet
	Routers string // a value of global.database.mongo.host

	Say    func(string) // what was done
	Status func(string) // what is waited for
}

// Assemble initiates the replica sets, adds the shards and makes the administrator, and does again what an interrupted run left undone. It waits for
// servers that do not answer as long as ctx lasts; what they last said is in the error.
func (a Assembly) Assemble(ctx context.Context) error {
	for _, set := range append([]mongo.ReplicaSet{a.Config}, a.Shards...) {
		err := a.wait(ctx, "replica set "+set.Name, func(ctx context.Context) error { return a.replicaSet(ctx, set) })
		if err != nil {
			return err
		}
	}
	o := a.Member
	var err error
	if o.URI, err = mongo.URI(a.Routers, ""); err != nil {
		return err
	}
	router, err := mongo.Connect(ctx, o)
	if err != nil {
		return err
	}
	defer func() { _ = router.Close(context.WithoutCancel(ctx)) }() // what was written is acknowledged
	if err := a.wait(ctx, "routers", router.Probe); err != nil {
		return err
	}
	return a.wait(ctx, "shards", func(ctx context.Context) error { return a.shards(ctx, router) })
}

func (a Assembly) replicaSet(ctx context.Context, set mongo.ReplicaSet) error {
	made, has, err := mongo.EnsureReplicaSet(ctx, a.Member, set)
	if made {
		a.Say(fmt.Sprintf("replica set %s initiated: %s", set.Name, strings.Join(set.Members, ", ")))
	}
	if err != nil {
		return err
	}
	if want := slices.Sorted(slices.Values(set.Members)); !made && !slices.Equal(has, want) {
		a.Say(fmt.Sprintf("warning: the members of replica set %s are %s, and the values want %s: rs.add and rs.remove, in a mongo shell on its primary, change them",
			set.Name, strings.Join(has, ", "), strings.Join(want, ", ")))
	}
	return nil
}

func (a Assembly) shards(ctx context.Context, router *mongo.Client) error {
	for _, set := range a.Shards {
		made, err := router.EnsureShard(ctx, set)
		if err != nil {
			return err
		}
		if made {
			a.Say("shard " + set.Name + " added")
		}
	}
	made, err := EnsureAdmin(ctx, router)
	if made {
		a.Say("user " + AdminUser().Name + " created")
	}
	return err
}

// wait repeats step until it succeeds or ctx ends. Every step may be repeated.
func (a Assembly) wait(ctx context.Context, what string, step func(context.Context) error) error {
	poll := time.NewTicker(assemblePoll)
	defer poll.Stop()
	for {
		err := step(ctx)
		if err == nil {
			return nil
		}
		a.Status(fmt.Sprintf("waiting for %s: %v", what, err))
		select {
		case <-ctx.Done():
			return fmt.Errorf("in-cluster MongoDB, %s: %w", what, err)
		case <-poll.C:
		}
	}
}
