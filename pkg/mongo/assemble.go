package mongo

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/bson"
)

// Codes of servers on their way to a cluster.
const (
	codeAlreadyInitialized = 23
	codeNotYetInitialized  = 94
)

// electionPoll is how often a new replica set is asked for its primary; it has one within seconds.
const electionPoll = 500 * time.Millisecond

// ReplicaSet is what servers that were started with --replSet are to become.
type ReplicaSet struct {
	Name          string
	Members       []string // host:port, as the members and the routers reach each other
	ConfigServers bool
}

// Host is the set as a shard is added by it.
func (r ReplicaSet) Host() string { return r.Name + "/" + strings.Join(r.Members, ",") }

// EnsureReplicaSet initiates set unless that was done, and returns once it has a primary. o says how its members are reached and as whom: a
// certificate of a member of the cluster may do everything before there are any users; o.URI is not looked at. made tells whether it was
// initiated now; has are the members that it has, which a set that was initiated before keeps.
func EnsureReplicaSet(ctx context.Context, o Options, set ReplicaSet) (made bool, has []string, err error) {
	member := func(address string) (*Client, error) {
		query := url.Values{"tls": {"true"}, "authMechanism": {"MONGODB-X509"}, "authSource": {External}, "directConnection": {"true"}}
		o.URI = "mongodb://" + address + "/?" + query.Encode()
		return Connect(ctx, o)
	}
	first, err := member(set.Members[0])
	if err != nil {
		return false, nil, err
	}
	defer func() { _ = first.Close(context.WithoutCancel(ctx)) }() // what was written is acknowledged
	if made, err = first.initiate(ctx, set); err != nil {
		return made, nil, fmt.Errorf("replica set %q, member %s: %w", set.Name, set.Members[0], err)
	}
	if err = first.awaitPrimary(ctx); err != nil {
		return made, nil, fmt.Errorf("replica set %q has no primary: %w", set.Name, err)
	}
	has, err = first.setMembers(ctx)
	return made, has, err
}

func (c *Client) initiate(ctx context.Context, set ReplicaSet) (bool, error) {
	err := c.run(ctx, "admin", bson.D{{Key: "replSetGetStatus", Value: 1}}, nil)
	if !hasCode(err, codeNotYetInitialized) {
		return false, err
	}
	members := bson.A{}
	for i, host := range set.Members {
		members = append(members, bson.D{{Key: "_id", Value: i}, {Key: "host", Value: host}})
	}
	config := bson.D{{Key: "_id", Value: set.Name}, {Key: "members", Value: members}}
	if set.ConfigServers {
		config = append(config, bson.E{Key: "configsvr", Value: true})
	}
	err = c.run(ctx, "admin", bson.D{{Key: "replSetInitiate", Value: config}}, nil)
	if hasCode(err, codeAlreadyInitialized) { // by another workstation, just now
		return false, nil
	}
	return err == nil, err
}

// awaitPrimary waits until the member knows a primary of its set.
func (c *Client) awaitPrimary(ctx context.Context) error {
	poll := time.NewTicker(electionPoll)
	defer poll.Stop()
	for {
		var hello struct {
			IsMaster bool
			Primary  string
		}
		err := c.run(ctx, "admin", bson.D{{Key: "isMaster", Value: 1}}, &hello)
		if err == nil && (hello.IsMaster || hello.Primary != "") {
			return nil
		}
		select {
		case <-ctx.Done():
			if err == nil {
				err = context.Cause(ctx)
			}
			return err
		case <-poll.C:
		}
	}
}

// setMembers returns the members of the set that the server belongs to, sorted.
func (c *Client) setMembers(ctx context.Context) ([]string, error) {
	var reply struct {
		Config struct{ Members []struct{ Host string } }
	}
	if err := c.run(ctx, "admin", bson.D{{Key: "replSetGetConfig", Value: 1}}, &reply); err != nil {
		return nil, fmt.Errorf("read the replica set's configuration: %w", err)
	}
	hosts := make([]string, len(reply.Config.Members))
	for i, m := range reply.Config.Members {
		hosts[i] = m.Host
	}
	slices.Sort(hosts)
	return hosts, nil
}

// EnsureShard makes the replica set a shard of its own name. made is false where it is one.
func (c *Client) EnsureShard(ctx context.Context, set ReplicaSet) (made bool, err error) {
	shards, err := c.listShards(ctx)
	if err != nil {
		return false, err
	}
	if slices.ContainsFunc(shards, func(s Shard) bool { return s.Name == set.Name }) {
		return false, nil
	}
	if err := c.run(ctx, "admin", bson.D{{Key: "addShard", Value: set.Host()}, {Key: "name", Value: set.Name}, majority()}, nil); err != nil {
		return false, fmt.Errorf("add shard %q: %w", set.Host(), err)
	}
	return true, nil
}
