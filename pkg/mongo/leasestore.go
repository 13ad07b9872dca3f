package mongo

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/mongo"
	"go.mongodb.org/mongo-driver/mongo/options"
	"go.mongodb.org/mongo-driver/mongo/readconcern"
	"go.mongodb.org/mongo-driver/mongo/writeconcern"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/hint"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/lease"
)

// Collections of Database.
const (
	leaseCollection   = "lease"
	zonesCollection   = "zones"
	journalCollection = "journal"
)

// ErrNoLease means that the environment's lease document does not exist: nobody has bootstrapped this database.
var ErrNoLease = hint.New("this environment has no lease in MongoDB: nothing was ever deployed with it, or this is another database", "kubectl aporeto deploy --all-zones makes it")

// LeaseStore reads and conditionally writes one environment's lease. Every write is one findAndModify with write concern majority whose
// filter matches exactly what pkg/lease says: 4.0 has no pipeline updates.
type LeaseStore struct {
	environment string
	lease       *mongo.Collection
	zones       *mongo.Collection
	limit       time.Duration
	seen        atomic.Pointer[map[string][]Sighting] // as last read, nil before the first reading
}

// LeaseStore returns the store of the environment's lease; limit bounds every operation, on this side and on the server's.
func (c *Client) LeaseStore(environment string, limit time.Duration) *LeaseStore {
	db := c.driver.Database(Database)
	concern := writeconcern.Majority()
	concern.WTimeout = limit
	return &LeaseStore{
		environment: environment,
		lease: db.Collection(leaseCollection, options.Collection().
			SetReadConcern(readconcern.Linearizable()).SetWriteConcern(concern)),
		zones: db.Collection(zonesCollection, options.Collection().SetReadConcern(readconcern.Majority())),
		limit: limit,
	}
}

// EnsureLease makes the environment's lease document where there is none, unreleased, so that the first claim waits out a holder that a
// restored or doubly bootstrapped database may have; an existing one is never touched. It returns whether it made it.
func (c *Client) EnsureLease(ctx context.Context, environment string, term lease.Term) (bool, error) {
	doc := bson.D{{Key: "_id", Value: environment}}
	doc = append(doc, fieldsOf(lease.Change{
		Epoch: new(int64(0)), Holder: new(""), Nonce: new(rand.Text()), Open: &lease.Open{}, Closing: new(false), Successor: new(""),
		Override: new(false), Basis: &map[string]int64{}, Released: new(false), Term: &term,
	})...)
	collection := c.driver.Database(Database).Collection(leaseCollection)
	// Asked first, so that a bootstrap that changes nothing writes nothing.
	err := collection.FindOne(ctx, bson.D{{Key: "_id", Value: environment}}).Err()
	if err == nil {
		return false, nil
	}
	if !errors.Is(err, mongo.ErrNoDocuments) {
		return false, fmt.Errorf("read lease of environment %q: %w", environment, err)
	}
	_, err = collection.InsertOne(ctx, doc)
	if mongo.IsDuplicateKeyError(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("create lease of environment %q: %w", environment, err)
	}
	return true, nil
}

// Read returns the lease, read linearizably, and every zone's record, read before it.
func (s *LeaseStore) Read(ctx context.Context) (lease.Document, []lease.Record, error) {
	ctx, cancel := context.WithTimeout(ctx, s.limit)
	defer cancel()
	cursor, err := s.zones.Find(ctx, bson.D{{Key: "environment", Value: s.environment}}, options.Find().SetMaxTime(s.limit))
	if err != nil {
		return lease.Document{}, nil, fmt.Errorf("read zones' records: %w", err)
	}
	var records []intentRecord
	if err := cursor.All(ctx, &records); err != nil {
		return lease.Document{}, nil, fmt.Errorf("read zones' records: %w", err)
	}
	s.seen.Store(new(sightingsByZone(records)))
	var doc leaseDocument
	err = s.lease.FindOne(ctx, bson.D{{Key: "_id", Value: s.environment}}, options.FindOne().SetMaxTime(s.limit)).Decode(&doc)
	if errors.Is(err, mongo.ErrNoDocuments) {
		return lease.Document{}, nil, ErrNoLease
	}
	if err != nil {
		return lease.Document{}, nil, fmt.Errorf("read lease: %w", err)
	}
	return doc.document(), leaseRecords(records), nil
}

// Sightings returns what zone's job last wrote of its resolvers, as of the last Read.
func (s *LeaseStore) Sightings(zone string) []Sighting {
	if seen := s.seen.Load(); seen != nil {
		return (*seen)[zone]
	}
	return nil
}

// Write applies w if the document still matches it. On lease.Unknown the write may have been, or may yet be, applied, and err says why.
func (s *LeaseStore) Write(ctx context.Context, w lease.Write) (lease.Document, lease.Outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, s.limit)
	defer cancel()
	var doc leaseDocument
	err := s.lease.FindOneAndUpdate(ctx, s.filterOf(w.Match), updateOf(w.Change),
		options.FindOneAndUpdate().SetReturnDocument(options.After).SetMaxTime(s.limit)).Decode(&doc)
	switch {
	case err == nil:
		return doc.document(), lease.Applied, nil
	case errors.Is(err, mongo.ErrNoDocuments):
		return lease.Document{}, lease.Refused, nil
	}
	return lease.Document{}, lease.Unknown, fmt.Errorf("%s: %w", w.Kind, err)
}
