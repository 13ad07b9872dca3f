package cli

import (
	"context"
	"crypto/tls"
	"strings"
	"testing"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/hint"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongo"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongo/mongotest"
)

func TestZonesMustReachOneDatabase(t *testing.T) {
	connect := func(server *mongotest.Server, router int) *mongo.Client {
		admin := server.Certificate(server.Admin())
		client, err := mongo.Connect(t.Context(), mongo.Options{
			URI: server.RouterURI(router), CA: server.TrustPEM(), Certificate: func() (*tls.Certificate, error) { return &admin, nil },
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = client.Close(context.WithoutCancel(t.Context())) })
		return client
	}
	one, other := mongotest.Start(t, mongotest.Options{Routers: 2}), mongotest.Start(t, mongotest.Options{})
	if err := oneDatabase(t.Context(), []string{"r0", "r1"}, []*mongo.Client{connect(one, 0), connect(one, 1)}, nil); err != nil {
		t.Errorf("two routers of one cluster were refused: %v", err)
	}
	err := oneDatabase(t.Context(), []string{"r0", "x"}, []*mongo.Client{connect(one, 0), connect(other, 0)}, map[string]string{"r0": "west", "x": "east"})
	if err == nil || !strings.Contains(err.Error(), "different databases") || !strings.HasSuffix(hint.Of(err), "value set global.database.mongo.host r0 --zone east") {
		t.Errorf("two clusters: %v", err)
	}
}
