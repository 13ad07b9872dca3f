package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"time"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/bson/primitive"
	"go.mongodb.org/mongo-driver/mongo"
	"go.mongodb.org/mongo-driver/mongo/options"
	"go.mongodb.org/mongo-driver/mongo/writeconcern"
	"go.mongodb.org/mongo-driver/x/mongo/driver/connstring"
)

// defaultDatabase is used when the URI names none.
const defaultDatabase = "ledger"

// books is the collection the entries go to.
type books struct{ entries *mongo.Collection }

// openBooks makes the client. It does not wait for the database: a request finds out, and says so.
func openBooks(ctx context.Context, uri, caFile, certKeyFile string) (*books, error) {
	if uri == "" {
		return nil, errors.New("MONGODB_URI is not set")
	}
	parsed, err := connstring.ParseAndValidate(uri)
	if err != nil {
		return nil, fmt.Errorf("parse MONGODB_URI: %w", err)
	}
	secure, err := tlsConfig(caFile, certKeyFile)
	if err != nil {
		return nil, err
	}
	// Selection must give up before the request's own time is over, or the reason would be lost.
	opts := options.Client().ApplyURI(uri).SetTLSConfig(secure).SetAppName("ledger").
		SetServerSelectionTimeout(requestTimeout - time.Second).SetWriteConcern(writeconcern.Majority())
	client, err := mongo.Connect(ctx, opts)
	if err != nil {
		return nil, fmt.Errorf("make MongoDB client: %w", err)
	}
	name := parsed.Database
	if name == "" {
		name = defaultDatabase
	}
	return &books{entries: client.Database(name).Collection("entries")}, nil
}

// tlsConfig trusts caFile for the routers and shows the certificate of certKeyFile, which holds the key, the certificate
// and its issuer.
func tlsConfig(caFile, certKeyFile string) (*tls.Config, error) {
	ca, err := os.ReadFile(caFile)
	if err != nil {
		return nil, fmt.Errorf("read MONGODB_CA_FILE: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca) {
		return nil, fmt.Errorf("read MONGODB_CA_FILE: no certificate in %q", caFile)
	}
	pair, err := tls.LoadX509KeyPair(certKeyFile, certKeyFile)
	if err != nil {
		return nil, fmt.Errorf("read MONGODB_CERT_KEY_FILE: %w", err)
	}
	return &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}, nil
}

func (b *books) database() string { return b.entries.Database().Name() }

// write inserts one entry, acknowledged by a majority, and counts all of them.
func (b *books) write(ctx context.Context, zone, method, path string) (string, int64, error) {
	id := primitive.NewObjectID()
	entry := bson.D{{Key: "_id", Value: id}, {Key: "zone", Value: zone}, {Key: "method", Value: method}, {Key: "path", Value: path}, {Key: "at", Value: time.Now()}}
	err := again(ctx, func() error {
		_, err := b.entries.InsertOne(ctx, entry)
		if mongo.IsDuplicateKeyError(err) {
			return nil // the id is this request's alone: an attempt whose answer was lost had stored it
		}
		return err
	})
	if err != nil {
		return "", 0, fmt.Errorf("insert entry: %w", err)
	}
	var count int64
	err = again(ctx, func() (err error) {
		count, err = b.entries.EstimatedDocumentCount(ctx)
		return err
	})
	if err != nil {
		return "", 0, fmt.Errorf("count entries: %w", err)
	}
	return id.Hex(), count, nil
}

// read finds an entry. found is false when there is none with that id.
func (b *books) read(ctx context.Context, id string) (zone string, found bool, err error) {
	key, err := primitive.ObjectIDFromHex(id)
	if err != nil {
		return "", false, nil //nolint:nilerr // what cannot be an id is the id of nothing
	}
	var entry struct{ Zone string }
	err = again(ctx, func() error {
		err := b.entries.FindOne(ctx, bson.D{{Key: "_id", Value: key}}).Decode(&entry)
		if found = err == nil; errors.Is(err, mongo.ErrNoDocuments) {
			return nil
		}
		return err
	})
	if err != nil {
		return "", false, fmt.Errorf("find entry: %w", err)
	}
	return entry.Zone, found, nil
}

// pause is between two attempts; a router that restarts is away for longer.
const pause = 50 * time.Millisecond

// again repeats an operation that may be done twice until the database has answered it, or ctx ends. The driver by itself repeats once,
// and not at all where it cannot make a connection, as to a router that has just gone away.
func again(ctx context.Context, operation func() error) error {
	for {
		err := operation()
		var answer mongo.ServerError
		if err == nil || errors.As(err, &answer) && !answer.HasErrorLabel("NetworkError") {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause):
		}
	}
}

// close ends the connections; there is nothing to lose by then.
func (b *books) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = b.entries.Database().Client().Disconnect(ctx)
}
