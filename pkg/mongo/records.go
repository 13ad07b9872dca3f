package mongo

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/mongo"
	"go.mongodb.org/mongo-driver/mongo/options"
	"go.mongodb.org/mongo-driver/mongo/writeconcern"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/lease"
)

// Sighting is what one resolver's way to the global endpoint led to.
type Sighting struct {
	Resolver string `bson:"resolver"`
	Address  string `bson:"address"` // host:port that was dialled; "" when nothing was
	Zone     string `bson:"zone"`    // zone key; "" when nobody of this environment answered
	Error    string `bson:"error"`   // "" when Zone is known
}

// zoneRecord is one document of the collection zones, as far as the job that states a zone's intent writes it. Others may keep fields
// of their own in it: every write sets single fields.
type zoneRecord struct {
	ID          string     `bson:"_id"` // "<environment>/<zone key>"
	Environment string     `bson:"environment"`
	Zone        string     `bson:"zone"`
	PointsAt    string     `bson:"pointsAt"`
	Previous    string     `bson:"previous"` // PointsAt before the last change
	Epoch       int64      `bson:"epoch"`    // lease epoch that the answers named at the last change
	Since       time.Time  `bson:"since"`    // the server's time of the last change; zero before the first
	Seq         int64      `bson:"seq"`
	Confirmed   int64      `bson:"confirmed"`
	ProbedAt    time.Time  `bson:"probedAt"` // the server's time of the last write of any kind
	Resolvers   []Sighting `bson:"resolvers"`
	Version     string     `bson:"version"` // of the program that wrote last
}

func (r zoneRecord) record() lease.Record {
	return lease.Record{Zone: r.Zone, PointsAt: r.PointsAt, Seq: r.Seq, Confirmed: r.Confirmed}
}

func (r zoneRecord) intent() Intent {
	return Intent{
		Record: r.record(), Previous: r.Previous, Epoch: r.Epoch, Since: r.Since, ProbedAt: r.ProbedAt, Resolvers: r.Resolvers, Version: r.Version,
	}
}

// Intent is one zone's record with what explains it. Times are the database server's: never compare them with another clock's.
type Intent struct {
	lease.Record
	Previous  string    // PointsAt before the last change
	Epoch     int64     // lease epoch that the answers named at the last change
	Since     time.Time // of the last change; zero before the first
	ProbedAt  time.Time // of the last write; zero before the first
	Resolvers []Sighting
	Version   string
}

// IntentWrite replaces the record Was by Is, if the record still has Was's Seq and Confirmed. Is's counters never go back, so a write
// that arrives late matches nothing.
type IntentWrite struct {
	Was, Is   lease.Record
	Epoch     int64 // stored where Seq changes
	Resolvers []Sighting
	Version   string
}

// IntentStore reads and writes one zone's record and appends to the environment's journal.
type IntentStore struct {
	environment string
	zone        string
	zones       *mongo.Collection
	journal     *Journal
	limit       time.Duration
}

// IntentStore returns the store of the record of zone (a zone key); limit bounds every operation, on this side and on the server's.
func (c *Client) IntentStore(environment, zone string, limit time.Duration) *IntentStore {
	return &IntentStore{
		environment: environment, zone: zone, limit: limit, journal: c.Journal(environment, limit),
		zones: c.driver.Database(Database).Collection(zonesCollection, options.Collection().SetWriteConcern(majorityWithin(limit))),
	}
}

// majorityWithin is write concern majority with the server's own time limit, which a context does not set.
func majorityWithin(limit time.Duration) *writeconcern.WriteConcern {
	concern := writeconcern.Majority()
	concern.WTimeout = limit
	return concern
}

func (s *IntentStore) id() string { return s.environment + "/" + s.zone }

// Intent returns the zone's record. Where there is none it makes one that points nowhere.
func (s *IntentStore) Intent(ctx context.Context) (Intent, error) {
	ctx, cancel := context.WithTimeout(ctx, s.limit)
	defer cancel()
	found, err := s.find(ctx)
	if errors.Is(err, mongo.ErrNoDocuments) {
		_, err = s.zones.UpdateOne(ctx, bson.D{{Key: "_id", Value: s.id()}}, bson.D{{Key: "$setOnInsert", Value: bson.D{
			{Key: "environment", Value: s.environment}, {Key: "zone", Value: s.zone}, {Key: "pointsAt", Value: ""},
			{Key: "seq", Value: int64(0)}, {Key: "confirmed", Value: int64(0)},
		}}}, options.Update().SetUpsert(true))
		if err == nil || mongo.IsDuplicateKeyError(err) { // another run of the job was faster
			found, err = s.find(ctx)
		}
	}
	if err != nil {
		return Intent{}, fmt.Errorf("read record of zone %q: %w", s.zone, err)
	}
	return found.intent(), nil
}

func (s *IntentStore) find(ctx context.Context) (zoneRecord, error) {
	var found zoneRecord
	err := s.zones.FindOne(ctx, bson.D{{Key: "_id", Value: s.id()}}, options.FindOne().SetMaxTime(s.limit)).Decode(&found)
	return found, err
}

// WriteIntent applies w and returns the record after it and true, or false where the record is no longer w.Was. After an error the
// write may have been, or may yet be, applied: read again.
func (s *IntentStore) WriteIntent(ctx context.Context, w IntentWrite) (Intent, bool, error) {
	ctx, cancel := context.WithTimeout(ctx, s.limit)
	defer cancel()
	resolvers := w.Resolvers
	if resolvers == nil {
		resolvers = []Sighting{} // an empty array, not null
	}
	set := bson.D{
		{Key: "pointsAt", Value: w.Is.PointsAt}, {Key: "seq", Value: w.Is.Seq}, {Key: "confirmed", Value: w.Is.Confirmed},
		{Key: "resolvers", Value: resolvers}, {Key: "version", Value: w.Version},
	}
	dates := bson.D{{Key: "probedAt", Value: true}}
	if w.Is.Seq != w.Was.Seq {
		set = append(set, bson.E{Key: "previous", Value: w.Was.PointsAt}, bson.E{Key: "epoch", Value: w.Epoch})
		dates = append(dates, bson.E{Key: "since", Value: true})
	}
	var after zoneRecord
	err := s.zones.FindOneAndUpdate(ctx,
		bson.D{{Key: "_id", Value: s.id()}, {Key: "seq", Value: w.Was.Seq}, {Key: "confirmed", Value: w.Was.Confirmed}},
		bson.D{{Key: "$set", Value: set}, {Key: "$currentDate", Value: dates}},
		options.FindOneAndUpdate().SetReturnDocument(options.After).SetMaxTime(s.limit)).Decode(&after)
	if errors.Is(err, mongo.ErrNoDocuments) {
		return Intent{}, false, nil
	}
	if err != nil {
		return Intent{}, false, fmt.Errorf("write record of zone %q: %w", s.zone, err)
	}
	return after.intent(), true, nil
}

// Append adds e to the environment's journal; see Journal.Append.
func (s *IntentStore) Append(ctx context.Context, e JournalEntry) error {
	return s.journal.Append(ctx, e)
}
