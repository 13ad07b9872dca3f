package mongo

import (
	"context"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/mongo"
	"go.mongodb.org/mongo-driver/mongo/options"
)

// JournalEntry is one transition of an environment.
type JournalEntry struct {
	// Key, where not "", makes the entry one of a kind within the environment: a second one with the same key changes nothing. It lets
	// a process that was killed between a change and its entry, or does not know whether it wrote it, write it again.
	Key    string
	Time   time.Time // the database server's where the writer knows it, else the writer's
	Zone   string    // zone key of the writer
	From   string    // what it was before: a zone key for an intent, a state for a gate
	To     string
	Epoch  int64
	Reason string
}

// Journal appends to one environment's journal.
type Journal struct {
	environment string
	entries     *mongo.Collection
	limit       time.Duration
}

// Journal returns the environment's journal; limit bounds every operation, on this side and on the server's.
func (c *Client) Journal(environment string, limit time.Duration) *Journal {
	return &Journal{
		environment: environment, limit: limit,
		entries: c.driver.Database(Database).Collection(journalCollection, options.Collection().SetWriteConcern(majorityWithin(limit))),
	}
}

// Append adds e, unless it has a key that is already there. Insert is the only right it needs.
func (j *Journal) Append(ctx context.Context, e JournalEntry) error {
	ctx, cancel := context.WithTimeout(ctx, j.limit)
	defer cancel()
	doc := bson.D{
		{Key: "environment", Value: j.environment}, {Key: "time", Value: e.Time}, {Key: "zone", Value: e.Zone},
		{Key: "from", Value: e.From}, {Key: "to", Value: e.To}, {Key: "epoch", Value: e.Epoch}, {Key: "reason", Value: e.Reason},
	}
	if e.Key != "" {
		doc = append(bson.D{{Key: "_id", Value: j.environment + "/" + e.Key}}, doc...)
	}
	_, err := j.entries.InsertOne(ctx, doc)
	if e.Key != "" && mongo.IsDuplicateKeyError(err) {
		return nil // written before
	}
	if err != nil {
		return fmt.Errorf("append to the journal: %w", err)
	}
	return nil
}
