//go:build e2e

package e2e

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/bson/primitive"
	"go.mongodb.org/mongo-driver/mongo"
	"go.mongodb.org/mongo-driver/mongo/options"
	"go.step.sm/crypto/pemutil"
)

// databaseTime bounds what the test asks of the database, elections included.
const databaseTime = time.Minute

// leaseDocument is what the test reads of the lease.
type leaseDocument struct {
	Epoch     int64  `bson:"epoch"`
	Holder    string `bson:"holder"`
	Successor string `bson:"successor"`
	Override  bool   `bson:"override"`
	Closing   bool   `bson:"closing"`
}

// lease reads the one lease of the database.
func (l *lab) lease(t *testing.T) (doc leaseDocument) {
	t.Helper()
	l.reading(t, "the lease", func(ctx context.Context, db *mongo.Client) error {
		doc = leaseDocument{}
		return db.Database("aporeto_ha").Collection("lease").FindOne(ctx, bson.D{}).Decode(&doc)
	})
	return doc
}

// record is what the test reads of a zone's intent.
type record struct {
	Zone      string
	PointsAt  string `bson:"pointsAt"`
	Confirmed int64
}

// records returns the zones' intents, by zone.
func (l *lab) records(t *testing.T) map[string]record {
	t.Helper()
	var all []record
	l.reading(t, "the zones' records", func(ctx context.Context, db *mongo.Client) error {
		all = nil
		return findAll(ctx, db.Database("aporeto_ha").Collection("zones"), &all)
	})
	byZone := map[string]record{}
	for _, r := range all {
		byZone[r.Zone] = r
	}
	return byZone
}

// stored returns the ids of all entries of the ledger.
func (l *lab) stored(t *testing.T) map[string]bool {
	t.Helper()
	var found []struct {
		ID primitive.ObjectID `bson:"_id"`
	}
	l.reading(t, "the entries", func(ctx context.Context, db *mongo.Client) error {
		found = nil
		return findAll(ctx, db.Database("ledger").Collection("entries"), &found, options.Find().SetProjection(bson.D{{Key: "_id", Value: 1}}))
	})
	ids := make(map[string]bool, len(found))
	for _, f := range found {
		ids[f.ID.Hex()] = true
	}
	return ids
}

func findAll(ctx context.Context, from *mongo.Collection, into any, how ...*options.FindOptions) error {
	cursor, err := from.Find(ctx, bson.D{}, how...)
	if err != nil {
		return err
	}
	return cursor.All(ctx, into)
}

// reading reads of the database, again while that fails. After an outage the pool holds a dead connection to every router; the driver
// tries a read only twice, which is one time too few.
func (l *lab) reading(t *testing.T, what string, read func(context.Context, *mongo.Client) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), databaseTime)
	defer cancel()
	client := l.admin(t)
	for err := read(ctx, client); err != nil; err = read(ctx, client) {
		if ctx.Err() != nil {
			t.Fatalf("read %s: %v", what, err)
		}
		t.Logf("read %s, once more: %v", what, err)
		time.Sleep(100 * time.Millisecond)
	}
}

// admin connects to the database as the environment's admin, once.
func (l *lab) admin(t *testing.T) *mongo.Client {
	t.Helper()
	if l.client != nil {
		return l.client
	}
	read := func(name string) []byte {
		data, err := os.ReadFile(filepath.Join(l.env, "certs", name))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	pass := strings.TrimSpace(l.must(t, "value", "get", "global.certs.mongodb.admin.pass"))
	key, err := pemutil.ParseKey(read("mongodb-admin-key.pem"), pemutil.WithPassword([]byte(pass)))
	if err != nil {
		t.Fatal(err)
	}
	pair := tls.Certificate{PrivateKey: key}
	for _, name := range []string{"mongodb-admin-cert.pem", "ca-signing-system-cert.pem"} {
		certs, err := pemutil.ParseCertificateBundle(read(name))
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range certs {
			pair.Certificate = append(pair.Certificate, c.Raw)
		}
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(read("ca-chain-system.pem"))
	client, err := mongo.Connect(context.Background(), options.Client().
		ApplyURI("mongodb://10.90.0.50:27017,10.90.0.50:27018/?authMechanism=MONGODB-X509&authSource=%24external&tls=true").
		SetTLSConfig(&tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}}))
	if err != nil {
		t.Fatal(err)
	}
	l.client = client
	return client
}
