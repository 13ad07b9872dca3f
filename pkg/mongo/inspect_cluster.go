package mongo

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/bson/primitive"
	"go.mongodb.org/mongo-driver/mongo"
	"go.mongodb.org/mongo-driver/mongo/options"
	"go.mongodb.org/mongo-driver/mongo/readconcern"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongocheck"
)

// trialPrefix begins the names of the collections that the trials make and remove.
const trialPrefix = "check_"

// leftover is how old a trial's collection is before another check removes it: whoever made it was killed.
const leftover = time.Hour

// cluster learns through one router, by the driver that services use too, what the administrator may know of the whole.
func (i *inspector) cluster(ctx context.Context, router string, direct bool) *mongocheck.Cluster {
	c := &mongocheck.Cluster{Router: router}
	fail := func(err error) *mongocheck.Cluster {
		c.ShardsErr, c.RangesErr, c.UsersErr = err.Error(), err.Error(), err.Error()
		return c
	}
	o := i.options
	var err error
	if o.URI, err = URI(router, ""); err != nil {
		return fail(err)
	}
	client, err := Connect(ctx, o)
	if err != nil {
		return fail(err)
	}
	defer func() { _ = client.Close(context.WithoutCancel(ctx)) }() // what was written is removed or reported
	bounded, cancel := context.WithTimeout(ctx, 4*inspectTime)
	defer cancel()
	if c.Shards, err = client.shards(bounded); err != nil {
		c.ShardsErr = err.Error()
	}
	var wg sync.WaitGroup
	if direct {
		for n := range c.Shards {
			wg.Go(func() { i.members(bounded, &c.Shards[n]) })
		}
	}
	c.Ranges, err = client.keyRanges(bounded)
	if err != nil {
		c.RangesErr = err.Error()
	}
	if users, err := client.usersOf(bounded, "admin"); err != nil {
		c.UsersErr = err.Error()
	} else {
		c.AdminUsers = new(len(users))
	}
	client.try(bounded, c)
	wg.Wait()
	return c
}

// shards lists the shards, with the members that the router itself sees.
func (c *Client) shards(ctx context.Context) ([]mongocheck.Shard, error) {
	list, err := c.listShards(ctx)
	if err != nil {
		return nil, err
	}
	seen := c.membersSeen(ctx)
	shards := make([]mongocheck.Shard, len(list))
	for n, s := range list {
		set, hosts := splitSet(s.Host)
		shard := mongocheck.Shard{Name: s.Name, Set: set, Zones: s.Zones, Members: seen[set], Source: "a router"}
		for _, host := range hosts {
			if !slices.ContainsFunc(shard.Members, func(m mongocheck.Member) bool { return m.Host == host }) {
				shard.Members = append(shard.Members, mongocheck.Member{Host: host})
			}
		}
		shards[n] = shard
	}
	return shards, nil
}

// splitSet parts a shard's host, "SET/HOST:PORT,HOST:PORT".
func splitSet(host string) (set string, hosts []string) {
	set, list, found := strings.Cut(host, "/")
	if !found {
		return "", []string{host}
	}
	return set, strings.Split(list, ",")
}

// membersSeen is what the router's own monitors know of every replica set, their tags above all. A router that does not tell is no error:
// listShards names the members too.
func (c *Client) membersSeen(ctx context.Context) map[string][]mongocheck.Member {
	seen := map[string][]mongocheck.Member{}
	sets, err := c.monitors(ctx)
	if err != nil {
		return seen
	}
	for set, members := range sets {
		for _, m := range members {
			if !m.Hidden {
				seen[set] = append(seen[set], mongocheck.Member{Host: m.Addr, Tags: m.Tags})
			}
		}
	}
	return seen
}

// keyRanges counts the key ranges of every shard zone.
func (c *Client) keyRanges(ctx context.Context) (map[string]int, error) {
	found, err := c.ranges(ctx, bson.D{{Key: "tag", Value: 1}})
	if err != nil {
		return nil, err
	}
	count := map[string]int{}
	for _, r := range found {
		count[r.Zone]++
	}
	return count, nil
}

// try writes a document into a collection of its own, reads it back linearizably, and removes both, also when ctx has ended meanwhile.
func (c *Client) try(ctx context.Context, to *mongocheck.Cluster) {
	db := c.driver.Database(Database)
	id := primitive.NewObjectID()
	trial := db.Collection(trialPrefix+id.Hex(), options.Collection().SetWriteConcern(majorityWithin(inspectTime)).SetReadConcern(readconcern.Linearizable()))
	start := time.Now()
	_, err := trial.InsertOne(ctx, bson.D{{Key: "_id", Value: id}})
	to.Write = answer(start, err)
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), inspectTime)
		defer cancel()
		err := trial.Drop(ctx)
		if err == nil {
			err = dropLeftovers(ctx, db, time.Now())
		}
		if err != nil && to.Write.Err == "" {
			to.Write.Err = fmt.Sprintf("collection %s.%s was left behind: %v", Database, trial.Name(), err)
		}
	}()
	if err != nil {
		return
	}
	start = time.Now()
	err = trial.FindOne(ctx, bson.D{{Key: "_id", Value: id}}, options.FindOne().SetMaxTime(inspectTime)).Err()
	to.Read = answer(start, err)
}

// dropLeftovers removes what checks that were killed have left.
func dropLeftovers(ctx context.Context, db *mongo.Database, now time.Time) error {
	names, err := db.ListCollectionNames(ctx, bson.D{})
	if err != nil {
		return fmt.Errorf("list collections: %w", err)
	}
	for _, name := range names {
		text, ours := strings.CutPrefix(name, trialPrefix)
		id, err := primitive.ObjectIDFromHex(text)
		if !ours || err != nil || now.Sub(id.Timestamp()) < leftover {
			continue
		}
		if err := db.Collection(name).Drop(ctx); err != nil {
			return err
		}
	}
	return nil
}

// members asks a shard's members directly. What the first of them says that tells more than a router does is kept.
func (i *inspector) members(ctx context.Context, s *mongocheck.Shard) {
	hosts := make([]string, len(s.Members))
	for n, m := range s.Members {
		hosts[n] = m.Host
	}
	told := make([]membership, len(hosts))
	var wg sync.WaitGroup
	for n, host := range hosts {
		wg.Go(func() { told[n] = i.member(ctx, s.Set, host) })
	}
	wg.Wait()
	s.Members = merge(s, told)
}

// membership is what one member says of its replica set.
type membership struct {
	host    string // "": it said nothing
	members []mongocheck.Member
	tags    map[string]string // its own
	whole   bool              // it showed the configuration itself
	mute    bool              // it names members that may have no vote
	waits   time.Duration     // electionTimeoutMillis
}

// merge puts together what a set's members and a router said.
func merge(s *mongocheck.Shard, told []membership) []mongocheck.Member {
	tags := map[string]map[string]string{}
	for _, m := range s.Members {
		tags[m.Host] = m.Tags
	}
	var best membership
	for _, t := range told {
		if t.host == "" {
			continue
		}
		if len(t.tags) > 0 {
			tags[t.host] = t.tags
		}
		if best.host == "" || t.whole && !best.whole {
			best = t
		}
	}
	if best.host == "" {
		return s.Members
	}
	s.Source, s.Election, s.Complete = best.host, best.waits, best.whole || !best.mute
	if !best.whole {
		s.Caveat = "hidden members are not counted"
	}
	for n := range best.members {
		if m := &best.members[n]; len(m.Tags) == 0 {
			m.Tags = maps.Clone(tags[m.Host])
		}
	}
	return best.members
}

// member asks one member: its greeting names the set without a login; where the administrator is a user there too, its configuration.
func (i *inspector) member(ctx context.Context, set, host string) membership {
	ctx, cancel := context.WithTimeout(ctx, memberTime)
	defer cancel()
	n, hello, _, _ := dialNode(ctx, i.dial, i.config, host, memberTime)
	if n == nil {
		return membership{}
	}
	defer n.close()
	m := membership{host: host, tags: hello.Tags, mute: len(hello.Passives) > 0}
	for _, h := range slices.Concat(hello.Hosts, hello.Passives) {
		m.members = append(m.members, mongocheck.Member{Host: h})
	}
	for _, h := range hello.Arbiters {
		m.members = append(m.members, mongocheck.Member{Host: h, Arbiter: true})
	}
	if hello.SetName == "" || hello.SetName != set || len(m.members) == 0 {
		return membership{} // somebody else has this address here
	}
	var reply struct {
		Config struct {
			Members []struct {
				Host        string
				Votes       *int
				ArbiterOnly bool `bson:"arbiterOnly"`
				Tags        map[string]string
			}
			Settings struct {
				ElectionTimeoutMillis int64 `bson:"electionTimeoutMillis"`
			}
		}
	}
	if n.login(ctx) != nil || n.run(ctx, "admin", bson.D{{Key: "replSetGetConfig", Value: 1}}, &reply) != nil {
		return m // usual: shards have users of their own
	}
	m.members, m.whole, m.waits = nil, true, time.Duration(reply.Config.Settings.ElectionTimeoutMillis)*time.Millisecond
	for _, c := range reply.Config.Members {
		m.members = append(m.members, mongocheck.Member{Host: c.Host, Tags: c.Tags, Arbiter: c.ArbiterOnly, Mute: c.Votes != nil && *c.Votes == 0})
	}
	return m
}
