package mongotest

import (
	"testing"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/mongo/options"
)

// TestSmoke is the whole path once, in every dialect: TLS, X.509 login, a user
// with rights on one collection, writes and a compare-and-set.
func TestSmoke(t *testing.T) {
	for _, d := range []Dialect{Dialect40, Dialect42, Dialect44} {
		t.Run(string(d), func(t *testing.T) {
			ctx := t.Context()
			srv := Start(t, Options{Config: Config{Dialect: d}})
			dn := "CN=squall,OU=root,O=system"
			srv.CreateUser(dn, Role("readWrite", "squall"))
			coll := srv.Client(dn).Database("squall").Collection("things")
			if _, err := coll.InsertOne(ctx, bson.D{{Key: "_id", Value: 1}, {Key: "epoch", Value: int64(1)}}); err != nil {
				t.Fatal(err)
			}
			after := options.FindOneAndUpdate().SetReturnDocument(options.After)
			var got struct{ Epoch int64 }
			err := coll.FindOneAndUpdate(ctx, bson.D{{Key: "_id", Value: 1}, {Key: "epoch", Value: 1}},
				bson.D{{Key: "$inc", Value: bson.D{{Key: "epoch", Value: 1}}}}, after).Decode(&got)
			if err != nil || got.Epoch != 2 {
				t.Fatalf("epoch %d, %v", got.Epoch, err)
			}
			n, err := coll.CountDocuments(ctx, bson.D{{Key: "epoch", Value: bson.D{{Key: "$gt", Value: 1}}}})
			if err != nil || n != 1 {
				t.Fatalf("count %d, %v", n, err)
			}
		})
	}
}
