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

// takeover bounds what follows a dead holder: its lease, the wait, the record's probes, and a busy machine.
const takeover = 2 * time.Minute

// The troubles begin with zone-b serving, and each leaves the other zone serving than it found.

// regionCut takes the serving region off the network; the record moves, and the other zone serves. The healed region answers 423.
func (l *lab) regionCut(t *testing.T) {
	check := startChecker()
	time.Sleep(time.Second)
	l.sandbox(t, "cut", "zone-b")
	l.sandbox(t, "record", "zone-a")
	awaitCodes(t, takeover, map[string]int{"zone-a": 200})
	l.acknowledged(t, check, "region cut", "zone-b", "zone-a")
	l.sandbox(t, "heal", "zone-b")
	awaitCodes(t, swap, map[string]int{"zone-a": 200, "zone-b": 423})
}

// gatewayKilled kills the only gateway of the serving zone without a word. Its replacement goes on in the same epoch, since nothing moved.
func (l *lab) gatewayKilled(t *testing.T) {
	gateway := func() string {
		return l.kubectl(t, "zone-a", "get", "pod", "-l", "app.kubernetes.io/component=gateway", "-o", "jsonpath={.items[*].metadata.name}")
	}
	killed := gateway()
	l.kubectl(t, "zone-a", "delete", "pod", killed, "--grace-period=0", "--force")
	// The name is gone at once, the process a little later: only an answer after the replacement is ready is the replacement's.
	l.kubectl(t, "zone-a", "rollout", "status", "deployment/aporeto-gateway", "--timeout=120s")
	if now := gateway(); now == "" || strings.Contains(now, killed) {
		t.Fatalf("%q was killed, the gateway is now %q", killed, now)
	}
	awaitCodes(t, takeover, map[string]int{"zone-a": 200, "zone-b": 423})
	await(t, 30*time.Second, "zone list marks default", func() bool {
		return strings.Contains(l.must(t, "zone", "list"), "default   *")
	})
}

// endpointUnreachable takes the record away altogether: nobody answers there, and nothing moves.
func (l *lab) endpointUnreachable(t *testing.T) {
	l.sandbox(t, "record", "none")
	for range 40 {
		if code, body := ask(direct("zone-a"), "/"); code != 200 {
			t.Fatalf("the serving zone answered %d without a record: %s", code, body)
		}
		if code, _ := ask(direct("zone-b"), "/"); code != 423 {
			t.Fatalf("the passive zone answered %d without a record", code)
		}
		time.Sleep(500 * time.Millisecond)
	}
	l.sandbox(t, "record", "zone-a")
}

// databaseLost stops the database: the serving zone closes by itself. When it is back, the same zone serves again.
func (l *lab) databaseLost(t *testing.T) {
	l.sandbox(t, "database", "stop")
	awaitCodes(t, takeover, map[string]int{"zone-a": 423, "zone-b": 423})
	l.sandbox(t, "database", l.env)
	awaitCodes(t, takeover, map[string]int{"zone-a": 200, "zone-b": 423})
}

// plannedSwitch orders the other zone to serve while the record still names this one.
func (l *lab) plannedSwitch(t *testing.T) {
	check := startChecker()
	time.Sleep(time.Second)
	t.Log(l.must(t, "failover", "--to", "passive", "--yes", "--no-wait-dns"))
	awaitCodes(t, takeover, map[string]int{"zone-a": 423, "zone-b": 200})
	l.acknowledged(t, check, "planned switch", "zone-a", "zone-b")
	l.sandbox(t, "record", "zone-b") // the record follows, and the order is over
	awaitCodes(t, swap, map[string]int{"zone-a": 423, "zone-b": 200})
}

// acknowledged ends a check: one switch, never two zones at once, and every write that was acknowledged is in the database.
func (l *lab) acknowledged(t *testing.T, check *checker, what, from, to string) {
	t.Helper()
	t.Logf("%s: gap that a client saw: %.2f s", what, check.finish(t, from, to).Seconds())
	ids := make(bson.A, 0, len(check.log))
	for _, a := range check.log {
		id, err := primitive.ObjectIDFromHex(a.id)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	found, err := l.ledger(t, ctx).CountDocuments(ctx, bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: ids}}}})
	if err != nil {
		t.Fatal(err)
	}
	if int(found) != len(ids) {
		t.Errorf("%d writes were acknowledged, %d are in the database", len(ids), found)
	}
	t.Logf("%s: %d acknowledged writes, all found", what, len(ids))
}

// ledger connects to the ledger's entries as the environment's admin.
func (l *lab) ledger(t *testing.T, ctx context.Context) *mongo.Collection { //nolint:revive // t first, as everywhere here
	t.Helper()
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
	chain, err := pemutil.ParseCertificateBundle(read("mongodb-admin-cert.pem"))
	if err != nil {
		t.Fatal(err)
	}
	pair := tls.Certificate{PrivateKey: key}
	for _, c := range append(chain, mustBundle(t, read("ca-signing-system-cert.pem"))...) {
		pair.Certificate = append(pair.Certificate, c.Raw)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(read("ca-chain-system.pem"))
	client, err := mongo.Connect(ctx, options.Client().
		ApplyURI("mongodb://10.90.0.50:27017/?authMechanism=MONGODB-X509&authSource=%24external&tls=true").
		SetTLSConfig(&tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Disconnect(context.Background()) })
	return client.Database("ledger").Collection("entries")
}

func mustBundle(t *testing.T, data []byte) []*x509.Certificate {
	t.Helper()
	certs, err := pemutil.ParseCertificateBundle(data)
	if err != nil {
		t.Fatal(err)
	}
	return certs
}
