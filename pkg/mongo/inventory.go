package mongo

import (
	"context"
	"fmt"
	"strings"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/mongo/options"
)

// Inventory is what a bootstrap finds: all that it may have to write, as it is.
type Inventory struct {
	Users  []User       // of $external, everybody's
	Roles  []CustomRole // of Database
	Shards []Shard
	Ranges map[string]int // key ranges of each shard zone
	Member string         // see Client.Member
	Lease  bool           // the environment's lease exists
	Zones  []string       // keys of the environment's zones that have a record
}

// Shard is one shard and the shard zones it is in.
type Shard struct {
	Name  string   `bson:"_id"`
	Host  string   `bson:"host"`
	State int      `bson:"state"` // 1: it takes part
	Zones []string `bson:"tags"`
}

// Inventory reads what a bootstrap of the environment must know, in six round trips and without a write.
func (c *Client) Inventory(ctx context.Context, environment string) (Inventory, error) {
	all := Inventory{Member: c.Member()}
	var err error
	if all.Users, err = c.usersOf(ctx, External); err != nil {
		return all, err
	}
	if all.Roles, err = c.roles(ctx); err != nil {
		return all, err
	}
	if all.Shards, err = c.listShards(ctx); err != nil {
		return all, err
	}
	if all.Ranges, err = c.keyRanges(ctx); err != nil {
		return all, err
	}
	lease, err := c.ids(ctx, leaseCollection, bson.D{{Key: "_id", Value: environment}})
	if err != nil {
		return all, err
	}
	all.Lease = len(lease) > 0
	all.Zones, err = c.zoneRecords(ctx, environment)
	return all, err
}

func (c *Client) listShards(ctx context.Context) ([]Shard, error) {
	var reply struct{ Shards []Shard }
	if err := c.run(ctx, "admin", bson.D{{Key: "listShards", Value: 1}}, &reply); err != nil {
		return nil, fmt.Errorf("list the shards: %w", err)
	}
	return reply.Shards, nil
}

// KeyRange assigns a part of a collection to a shard zone.
type KeyRange struct {
	Namespace string `bson:"ns"`
	Zone      string `bson:"tag"`
	Min, Max  bson.D
}

// Bounds writes the range's ends as JSON; the upper one is not part of it.
func (r KeyRange) Bounds() (from, to string) { return extended(r.Min), extended(r.Max) }

func extended(d bson.D) string {
	text, err := bson.MarshalExtJSON(d, false, false)
	if err != nil {
		return "?"
	}
	return string(text)
}

// ranges reads config.tags, at most what one reply holds.
func (c *Client) ranges(ctx context.Context, projection bson.D) ([]KeyRange, error) {
	const whole = 100_000 // one round trip, unless the reply is longer than 16 MB
	cursor, err := c.driver.Database("config").Collection("tags").Find(ctx, bson.D{}, options.Find().SetProjection(projection).SetBatchSize(whole))
	if err != nil {
		return nil, fmt.Errorf("read config.tags: %w", err)
	}
	var found []KeyRange
	if err := cursor.All(ctx, &found); err != nil {
		return nil, fmt.Errorf("read config.tags: %w", err)
	}
	return found, nil
}

func (c *Client) zoneRecords(ctx context.Context, environment string) ([]string, error) {
	ids, err := c.ids(ctx, zonesCollection, bson.D{{Key: "environment", Value: environment}})
	keys := make([]string, len(ids))
	for i, id := range ids {
		keys[i] = strings.TrimPrefix(id, environment+"/")
	}
	return keys, err
}

// ids returns the _ids of the documents of a collection of Database that filter matches.
func (c *Client) ids(ctx context.Context, collection string, filter bson.D) ([]string, error) {
	cursor, err := c.driver.Database(Database).Collection(collection).Find(ctx, filter, options.Find().SetProjection(bson.D{{Key: "_id", Value: 1}}))
	if err != nil {
		return nil, fmt.Errorf("read %s.%s: %w", Database, collection, err)
	}
	var found []struct {
		ID string `bson:"_id"`
	}
	if err := cursor.All(ctx, &found); err != nil {
		return nil, fmt.Errorf("read %s.%s: %w", Database, collection, err)
	}
	list := make([]string, len(found))
	for i, f := range found {
		list[i] = f.ID
	}
	return list, nil
}

// AddShardToZone puts a shard into a shard zone; where it is in it already nothing changes.
func (c *Client) AddShardToZone(ctx context.Context, shard, zone string) error {
	if err := c.run(ctx, "admin", bson.D{{Key: "addShardToZone", Value: shard}, {Key: "zone", Value: zone}, majority()}, nil); err != nil {
		return fmt.Errorf("addShardToZone %q %q: %w", shard, zone, err)
	}
	return nil
}
