package mongo

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/mongo"
	"go.mongodb.org/mongo-driver/mongo/options"
	"go.mongodb.org/mongo-driver/mongo/readconcern"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/lease"
)

// Status is what the database knows of one environment's failover, read at about one moment.
type Status struct {
	Now     time.Time // the database server's clock, the only one that the times below may be compared with
	Lease   lease.Document
	Pin     Pin
	Zones   []Intent       // by zone key
	Journal []JournalEntry // the latest entries, oldest first
}

// StatusStore reads what an operator wants to see of one environment.
type StatusStore struct {
	client      *Client
	environment string
	limit       time.Duration
}

// StatusStore returns the reader of the environment's status; limit bounds every operation, on this side and on the server's.
func (c *Client) StatusStore(environment string, limit time.Duration) *StatusStore {
	return &StatusStore{client: c, environment: environment, limit: limit}
}

// Status reads the zones' records, then the lease, linearizably, then at most tail entries of the journal. ErrNoLease means that nobody
// has bootstrapped the database for the environment.
func (s *StatusStore) Status(ctx context.Context, tail int) (Status, error) {
	var st Status
	var err error
	if st.Zones, err = s.intents(ctx); err != nil {
		return Status{}, err
	}
	if st.Lease, st.Pin, err = s.lease(ctx); err != nil {
		return Status{}, err
	}
	// After the records, so that no age comes out negative.
	if st.Now, err = s.now(ctx); err != nil {
		return Status{}, err
	}
	st.Journal, err = s.Tail(ctx, tail)
	return st, err
}

func (s *StatusStore) intents(ctx context.Context) ([]Intent, error) {
	ctx, cancel := context.WithTimeout(ctx, s.limit)
	defer cancel()
	zones := s.client.driver.Database(Database).Collection(zonesCollection, options.Collection().SetReadConcern(readconcern.Majority()))
	cursor, err := zones.Find(ctx, bson.D{{Key: "environment", Value: s.environment}}, options.Find().SetMaxTime(s.limit).SetSort(bson.D{{Key: "_id", Value: 1}}))
	if err != nil {
		return nil, fmt.Errorf("read zones' records: %w", err)
	}
	var found []zoneRecord
	if err := cursor.All(ctx, &found); err != nil {
		return nil, fmt.Errorf("read zones' records: %w", err)
	}
	intents := make([]Intent, len(found))
	for i, r := range found {
		intents[i] = r.intent()
	}
	return intents, nil
}

func (s *StatusStore) lease(ctx context.Context) (lease.Document, Pin, error) {
	ctx, cancel := context.WithTimeout(ctx, s.limit)
	defer cancel()
	leases := s.client.driver.Database(Database).Collection(leaseCollection, options.Collection().SetReadConcern(readconcern.Linearizable()))
	var doc leaseDocument
	err := leases.FindOne(ctx, bson.D{{Key: "_id", Value: s.environment}}, options.FindOne().SetMaxTime(s.limit)).Decode(&doc)
	if errors.Is(err, mongo.ErrNoDocuments) {
		return lease.Document{}, Pin{}, ErrNoLease
	}
	if err != nil {
		return lease.Document{}, Pin{}, fmt.Errorf("read lease: %w", err)
	}
	return doc.document(), Pin(doc.Pin), nil
}

// now asks the server for its clock. isMaster is known to every version.
func (s *StatusStore) now(ctx context.Context) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, s.limit)
	defer cancel()
	var greeting struct {
		LocalTime time.Time `bson:"localTime"`
	}
	if err := s.client.driver.Database("admin").RunCommand(ctx, bson.D{{Key: "isMaster", Value: 1}}).Decode(&greeting); err != nil {
		return time.Time{}, fmt.Errorf("read the server's clock: %w", err)
	}
	return greeting.LocalTime, nil
}

// Tail returns the latest entries of the environment's journal, at most limit, oldest first.
func (s *StatusStore) Tail(ctx context.Context, limit int) ([]JournalEntry, error) {
	if limit <= 0 {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.limit)
	defer cancel()
	entries := s.client.driver.Database(Database).Collection(journalCollection)
	cursor, err := entries.Find(ctx, bson.D{{Key: "environment", Value: s.environment}},
		options.Find().SetMaxTime(s.limit).SetSort(bson.D{{Key: "time", Value: -1}}).SetLimit(int64(limit)))
	if err != nil {
		return nil, fmt.Errorf("read the journal: %w", err)
	}
	var found []struct {
		Time           time.Time
		Zone, From, To string
		Epoch          int64
		Reason         string
	}
	if err := cursor.All(ctx, &found); err != nil {
		return nil, fmt.Errorf("read the journal: %w", err)
	}
	slices.Reverse(found)
	tail := make([]JournalEntry, len(found))
	for i, e := range found {
		tail[i] = JournalEntry{Time: e.Time, Zone: e.Zone, From: e.From, To: e.To, Epoch: e.Epoch, Reason: e.Reason}
	}
	return tail, nil
}
