package mongo

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/mongo/options"
)

// Description is what a router tells an administrator of the whole cluster. What it did not tell is nil, and named in Unknown.
type Description struct {
	Now       time.Time // the router's clock
	Version   string    // the router's
	ClusterID string
	Balancer  *Balancer
	Routers   []RouterRecord
	Shards    []ShardState
	Ranges    []KeyRange
	Users     []DatabaseUser
	Roles     []CustomRole
	Unknown   map[string]error // why a part could not be read, by the part's name
}

// Balancer is the state of what moves chunks between shards.
type Balancer struct {
	Mode    string `bson:"mode" json:"mode"` // full, autoSplitOnly or off
	Running bool   `bson:"inBalancerRound" json:"running"`
}

// RouterRecord is what a router wrote about itself into config.mongos.
type RouterRecord struct {
	Host    string    `bson:"_id"`
	Version string    `bson:"mongoVersion"`
	Seen    time.Time `bson:"ping"`
}

// ShardState is a shard with the members of its replica set.
type ShardState struct {
	Shard
	Set     string
	Members []MemberState
}

// Roles of a member, as a router sees it.
const (
	Primary   = "primary"
	Secondary = "secondary"
	Hidden    = "hidden"
	Other     = "other" // it answers, and is neither
	Down      = "down"
)

// MemberState is one member; State is "" where the router did not tell.
type MemberState struct{ Host, State string }

// DatabaseUser is a user of any database.
type DatabaseUser struct {
	User
	Database string
}

// Describe asks for everything, part by part: one that is refused or not answered in time hides no other. It fails only with ctx.
func (c *Client) Describe(ctx context.Context, limit time.Duration) (Description, error) {
	d := Description{Unknown: map[string]error{}}
	parts := []struct {
		name string
		read func(context.Context, *Description) error
	}{
		{"version", c.describeRouter}, {"cluster id", c.describeCluster}, {"balancer", c.describeBalancer}, {"routers", c.describeRouters},
		{"shards", c.describeShards}, {"key ranges", c.describeRanges}, {"users", c.describeUsers}, {"roles", c.describeRoles},
	}
	for _, part := range parts {
		bounded, cancel := context.WithTimeout(ctx, limit)
		err := part.read(bounded, &d)
		cancel()
		if ctx.Err() != nil {
			return d, ctx.Err()
		}
		if err != nil {
			d.Unknown[part.name] = err
		}
		if NoUser(err) { // the login is the same for every part
			for _, other := range parts {
				d.Unknown[other.name] = err
			}
			break
		}
	}
	return d, nil
}

// Nothing tells whether not one part could be read.
func (d *Description) Nothing() bool {
	return d.Version == "" && d.ClusterID == "" && d.Balancer == nil && d.Routers == nil && d.Shards == nil && d.Users == nil && d.Roles == nil
}

func (c *Client) describeRouter(ctx context.Context, d *Description) error {
	var build struct{ Version string }
	if err := c.run(ctx, "admin", bson.D{{Key: "buildInfo", Value: 1}}, &build); err != nil {
		return err
	}
	d.Version = build.Version
	var greeting struct {
		LocalTime time.Time `bson:"localTime"`
	}
	err := c.run(ctx, "admin", bson.D{{Key: "isMaster", Value: 1}}, &greeting)
	d.Now = greeting.LocalTime
	return err
}

func (c *Client) describeCluster(ctx context.Context, d *Description) (err error) {
	d.ClusterID, err = c.ClusterID(ctx)
	return err
}

func (c *Client) describeBalancer(ctx context.Context, d *Description) error {
	var b Balancer
	if err := c.run(ctx, "admin", bson.D{{Key: "balancerStatus", Value: 1}}, &b); err != nil {
		return err
	}
	d.Balancer = &b
	return nil
}

func (c *Client) describeRouters(ctx context.Context, d *Description) error {
	cursor, err := c.driver.Database("config").Collection("mongos").Find(ctx, bson.D{}, options.Find().SetSort(bson.D{{Key: "_id", Value: 1}}))
	if err != nil {
		return fmt.Errorf("read config.mongos: %w", err)
	}
	found := []RouterRecord{}
	if err := cursor.All(ctx, &found); err != nil {
		return fmt.Errorf("read config.mongos: %w", err)
	}
	d.Routers = found
	return nil
}

// describeShards takes the members from the shards' own entries, and their states from the router's monitors.
func (c *Client) describeShards(ctx context.Context, d *Description) error {
	list, err := c.listShards(ctx)
	if err != nil {
		return err
	}
	states, err := c.memberStates(ctx)
	d.Shards = make([]ShardState, len(list))
	for i, s := range list {
		set, hosts := splitSet(s.Host)
		d.Shards[i] = ShardState{Shard: s, Set: set}
		for host := range maps.Keys(states[set]) {
			if !slices.Contains(hosts, host) {
				hosts = append(hosts, host)
			}
		}
		slices.Sort(hosts)
		for _, host := range hosts {
			d.Shards[i].Members = append(d.Shards[i].Members, MemberState{Host: host, State: states[set][host]})
		}
	}
	return err
}

// state is the member's role in one word.
func (m monitored) state() string {
	switch {
	case !m.OK:
		return Down
	case m.IsMaster:
		return Primary
	case m.Hidden:
		return Hidden
	case m.Secondary:
		return Secondary
	}
	return Other
}

// memberStates is what the router's monitors see, by replica set and host.
func (c *Client) memberStates(ctx context.Context) (map[string]map[string]string, error) {
	sets, err := c.monitors(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the members' states: %w", err)
	}
	states := map[string]map[string]string{}
	for set, members := range sets {
		states[set] = map[string]string{}
		for _, m := range members {
			states[set][m.Addr] = m.state()
		}
	}
	return states, nil
}

func (c *Client) describeRanges(ctx context.Context, d *Description) error {
	found, err := c.ranges(ctx, bson.D{})
	if err != nil {
		return err
	}
	if d.Ranges = found; found == nil {
		d.Ranges = []KeyRange{}
	}
	return nil
}

// describeUsers reads those of $external, where services are, and of admin, where people are.
func (c *Client) describeUsers(ctx context.Context, d *Description) error {
	all := []DatabaseUser{}
	for _, db := range []string{External, "admin"} {
		users, err := c.usersOf(ctx, db)
		if err != nil {
			return err
		}
		for _, u := range users {
			all = append(all, DatabaseUser{User: u, Database: db})
		}
	}
	d.Users = all
	return nil
}

func (c *Client) describeRoles(ctx context.Context, d *Description) error {
	roles, err := c.roles(ctx)
	if err != nil {
		return err
	}
	d.Roles = roles
	return nil
}
