package mongo

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/mongo"
	"go.mongodb.org/mongo-driver/mongo/options"
)

// leasePin is the lease document's field pin, which a document that was never pinned does not have.
type leasePin struct {
	On     bool
	Seq    int64 // counts pins and unpins
	By     string
	Reason string
	Since  time.Time // the server's time of the last pin or unpin
}

// pinIs matches a document that is pinned, or is not: one without the field is not.
func pinIs(on bool) bson.E {
	if on {
		return bson.E{Key: "pin.on", Value: true}
	}
	return bson.E{Key: "pin.on", Value: bson.D{{Key: "$ne", Value: true}}}
}

// Pin is an operator's freeze of a lease's automatic moves.
type Pin struct {
	On     bool
	Seq    int64     // counts pins and unpins; 0: never pinned
	By     string    // who pinned, or unpinned
	Reason string    // "" where none was given
	Since  time.Time // of the last pin or unpin, by the database server's clock
}

// PinWrite changes a lease's pin: if the holder still is Holder in Epoch, and the pin has not changed since it read Was.
type PinWrite struct {
	Epoch      int64
	Holder     string
	Was        int64 // Pin.Seq
	On         bool
	By, Reason string
}

// WritePin applies w and returns the pin after it and true, or false where the lease is no longer as w says. A request that arrives
// late matches nothing. After an error the write may have been, or may yet be, applied: read again.
func (s *LeaseStore) WritePin(ctx context.Context, w PinWrite) (Pin, bool, error) {
	ctx, cancel := context.WithTimeout(ctx, s.limit)
	defer cancel()
	var was any = w.Was
	if w.Was == 0 {
		was = nil // matches the field's absence
	}
	filter := bson.D{
		{Key: "_id", Value: s.environment}, {Key: "epoch", Value: w.Epoch}, {Key: "holder", Value: w.Holder}, {Key: "pin.seq", Value: was},
	}
	set := bson.D{{Key: "pin.on", Value: w.On}, {Key: "pin.seq", Value: w.Was + 1}, {Key: "pin.by", Value: w.By}, {Key: "pin.reason", Value: w.Reason}}
	var doc leaseDocument
	err := s.lease.FindOneAndUpdate(ctx, filter,
		bson.D{{Key: "$set", Value: set}, {Key: "$currentDate", Value: bson.D{{Key: "pin.since", Value: true}}}},
		options.FindOneAndUpdate().SetReturnDocument(options.After).SetMaxTime(s.limit)).Decode(&doc)
	if errors.Is(err, mongo.ErrNoDocuments) {
		return Pin{}, false, nil
	}
	if err != nil {
		return Pin{}, false, fmt.Errorf("write the lease's pin: %w", err)
	}
	return Pin(doc.Pin), true, nil
}
