package mongotest

import (
	"testing"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/mongo"
	"go.mongodb.org/mongo-driver/mongo/options"
)

func conformWrites(t *testing.T, f *facts) {
	ctx := t.Context()
	coll := f.admin.Database(f.db).Collection("writes")
	if _, err := coll.InsertOne(ctx, bson.D{{Key: "_id", Value: "x"}, {Key: "n", Value: 1}}); err != nil {
		t.Fatal(err)
	}
	_, err := coll.InsertOne(ctx, bson.D{{Key: "_id", Value: "x"}})
	text := "E11000 duplicate key error collection: " + f.db + ".writes index: _id_ dup key: { : \"x\" }"
	if !f.observed() {
		text = "dup key: { _id: \"x\" }"
	}
	wantCode(t, err, 11000, text)
	if _, err := coll.InsertMany(ctx, []any{bson.D{{Key: "_id", Value: "y"}}, bson.D{{Key: "_id", Value: "x"}}, bson.D{{Key: "_id", Value: "z"}}},
		options.InsertMany().SetOrdered(false)); err == nil {
		t.Error("no error of an unordered insert with a duplicate")
	}
	if n, err := coll.CountDocuments(ctx, bson.D{}); err != nil || n != 3 {
		t.Errorf("%d documents, %v", n, err)
	}
	res, err := coll.UpdateOne(ctx, bson.D{{Key: "_id", Value: "x"}}, bson.D{{Key: "$set", Value: bson.D{{Key: "n", Value: 1}}}})
	if err != nil || res.MatchedCount != 1 || res.ModifiedCount != 0 {
		t.Errorf("update that changes nothing: %+v, %v", res, err)
	}
	_, err = coll.UpdateOne(ctx, bson.D{{Key: "_id", Value: "x"}}, bson.D{{Key: "$set", Value: bson.D{{Key: "_id", Value: 2}}}})
	wantCode(t, err, 66, "immutable field '_id'")
	if f.observed() {
		_, err = coll.UpdateOne(ctx, bson.D{{Key: "_id", Value: "x"}}, mongo.Pipeline{{{Key: "$set", Value: bson.D{{Key: "n", Value: 2}}}}})
		if err == nil {
			t.Error("4.0 took a pipeline update")
		}
	}
	// Results larger than one batch come through a cursor.
	var many []any
	for i := range 250 {
		many = append(many, bson.D{{Key: "i", Value: i}})
	}
	if _, err := f.admin.Database(f.db).Collection("many").InsertMany(ctx, many); err != nil {
		t.Fatal(err)
	}
	cur, err := f.admin.Database(f.db).Collection("many").Find(ctx, bson.D{}, options.Find().SetSort(bson.D{{Key: "i", Value: -1}}))
	if err != nil {
		t.Fatal(err)
	}
	var got []struct{ I int }
	if err := cur.All(ctx, &got); err != nil || len(got) != 250 || got[0].I != 249 || got[249].I != 0 {
		t.Errorf("%d documents, %v", len(got), err)
	}
}
