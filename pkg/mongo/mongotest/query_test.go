package mongotest

import (
	"errors"
	"math"
	"testing"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/bson/primitive"
)

// parse reads extended JSON into what the wire decoder gives.
func parse(t *testing.T, json string) bson.D {
	t.Helper()
	var d bson.D
	if err := bson.UnmarshalExtJSON([]byte(json), false, &d); err != nil {
		t.Fatalf("%s: %v", json, err)
	}
	return d
}

func TestMatch(t *testing.T) {
	const doc = `{"_id": 1, "n": 5, "s": "x", "nil": null, "arr": [1, 2, {"k": 3}], "sub": {"a": 1, "b": {"c": "d"}}, "list": [{"k": 1, "v": 1}, {"k": 2, "v": 2}]}`
	for filter, want := range map[string]bool{
		`{}`: true, `{"n": 5}`: true, `{"n": {"$numberLong": "5"}}`: true, `{"n": 5.0}`: true, `{"n": "5"}`: false,
		`{"sub": {"a": 1, "b": {"c": "d"}}}`: true, `{"sub": {"b": {"c": "d"}, "a": 1}}`: false, `{"sub": {"a": 1}}`: false,
		`{"sub.b.c": "d"}`: true, `{"sub.b": {"c": "d"}}`: true, `{"sub.x": null}`: true, `{"n.x": null}`: true, `{"nil": null}`: true, `{"s": null}`: false,
		`{"nil": {"$exists": true}}`: true, `{"gone": {"$exists": false}}`: true, `{"nil": {"$ne": null}}`: false, `{"gone": {"$ne": 1}}`: true,
		`{"n": {"$gt": 4, "$lt": 6}}`: true, `{"n": {"$gt": 5}}`: false, `{"n": {"$gte": 5}}`: true, `{"n": {"$lte": 4}}`: false, `{"s": {"$gt": 1}}`: false, `{"gone": {"$lt": 1}}`: false,
		`{"arr": 2}`: true, `{"arr": 9}`: false, `{"arr": [1, 2, {"k": 3}]}`: true, `{"arr": {"$ne": 2}}`: false, `{"arr.k": 3}`: true, `{"arr.0": 1}`: true, `{"arr": {"$size": 3}}`: true, `{"arr": {"$all": [1, 2]}}`: true,
		`{"list.k": 2}`: true, `{"list": {"$elemMatch": {"k": 1, "v": 2}}}`: false, `{"list": {"$elemMatch": {"k": 2, "v": 2}}}`: true, `{"arr": {"$elemMatch": {"$gt": 1, "$lt": 3}}}`: true,
		`{"n": {"$in": [1, 5]}}`: true, `{"n": {"$nin": [1, 5]}}`: false, `{"gone": {"$in": [null]}}`: true, `{"n": {"$not": {"$gt": 5}}}`: true,
		`{"$or": [{"n": 1}, {"s": "x"}]}`: true, `{"$and": [{"n": 5}, {"s": "y"}]}`: false, `{"$nor": [{"n": 1}, {"s": "y"}]}`: true, `{"$nor": [{"n": 5}]}`: false,
	} {
		match, err := compileFilter(parse(t, filter))
		if err != nil {
			t.Errorf("%s: %v", filter, err)
		} else if got := match(parse(t, doc)); got != want {
			t.Errorf("%s: %t", filter, got)
		}
	}
}

func TestUpdate(t *testing.T) {
	const doc = `{"_id": 1, "n": 5, "sub": {"a": 1}, "arr": [1, 2], "nil": null}`
	for _, c := range []struct {
		update, want string
		code         int32
	}{
		{`{"$set": {"n": 6, "sub.b": 2, "new.deep": 1}}`, `{"_id": 1, "n": 6, "sub": {"a": 1, "b": 2}, "arr": [1, 2], "nil": null, "new": {"deep": 1}}`, 0},
		{`{"$unset": {"n": "", "sub.a": "", "gone": ""}}`, `{"_id": 1, "sub": {}, "arr": [1, 2], "nil": null}`, 0},
		{`{"$inc": {"n": 2, "m": 1}}`, `{"_id": 1, "n": 7, "sub": {"a": 1}, "arr": [1, 2], "nil": null, "m": 1}`, 0},
		{`{"$push": {"arr": {"$each": [3, 4], "$slice": -3}}}`, `{"_id": 1, "n": 5, "sub": {"a": 1}, "arr": [2, 3, 4], "nil": null}`, 0},
		{`{"$push": {"fresh": {"x": 1}}, "$pull": {"arr": {"$gt": 1}}}`, `{"_id": 1, "n": 5, "sub": {"a": 1}, "arr": [1], "nil": null, "fresh": [{"x": 1}]}`, 0},
		{`{"$addToSet": {"arr": {"$each": [2, 3, 3]}}}`, `{"_id": 1, "n": 5, "sub": {"a": 1}, "arr": [1, 2, 3], "nil": null}`, 0},
		{`{"$min": {"n": 3}, "$max": {"sub.a": 3}, "$setOnInsert": {"never": 1}}`, `{"_id": 1, "n": 3, "sub": {"a": 3}, "arr": [1, 2], "nil": null}`, 0},
		{`{"$set": {"arr.3": 4}}`, `{"_id": 1, "n": 5, "sub": {"a": 1}, "arr": [1, 2, null, 4], "nil": null}`, 0},
		{`{"n": 1}`, `{"_id": 1, "n": 1}`, 0},
		{`{"$set": {"_id": 2}}`, ``, 66}, {`{"_id": 2}`, ``, 66}, {`{"$set": {"n": 1}, "$inc": {"n": 1}}`, ``, 40},
		{`{"$set": {"sub": 1, "sub.a": 1}}`, ``, 40}, {`{"$set": {"sub.a": 1, "sub": 1}}`, ``, 40}, {`{"$set": {"n.x": 1}}`, ``, 28}, {`{"$inc": {"sub": 1}}`, ``, 14},
		{`{"$inc": {"n": "1"}}`, ``, 14}, {`{"$set": {}}`, ``, 9}, {`{"$foo": {"a": 1}}`, ``, 9}, {`{"$push": {"n": 1}}`, ``, 2},
		{`{"$rename": {"n": "m"}}`, ``, 238}, {`{"a": 1, "$set": {"b": 1}}`, ``, 52}, {`{"$set": {"arr.9999999": 1}}`, ``, 2},
	} {
		before := parse(t, doc)
		got, err := applyUpdate(before, parse(t, c.update))
		var ce *CommandError
		switch {
		case c.code != 0:
			if !errors.As(err, &ce) || ce.Code != c.code {
				t.Errorf("%s: %v, want code %d", c.update, err, c.code)
			}
		case err != nil:
			t.Errorf("%s: %v", c.update, err)
		case !sameDocument(got, parse(t, c.want)):
			t.Errorf("%s: %s", c.update, describe(got))
		}
		if !sameDocument(before, parse(t, doc)) {
			t.Fatalf("%s changed the document in place: %s", c.update, describe(before))
		}
	}
}

func applyUpdate(doc, update bson.D) (bson.D, error) {
	up, err := compileUpdate(update)
	if err != nil {
		return nil, err
	}
	return up.apply(doc, false)
}

// TestOrder is the server's comparison order; each value is less than the next.
func TestOrder(t *testing.T) {
	huge, err := primitive.ParseDecimal128("9223372036854775808.5")
	if err != nil {
		t.Fatal(err)
	}
	order := []any{
		primitive.MinKey{}, nil, math.NaN(), math.Inf(-1), int64(math.MinInt64), -1.5, int32(0), 0.5, int64(1), int64(1<<53 + 1), int64(math.MaxInt64), huge, math.Inf(1),
		"", "a", "b", bson.D{}, bson.D{field("a", 1)}, bson.A{}, bson.A{int32(1)}, primitive.Binary{Data: []byte{1}}, primitive.ObjectID{1},
		false, true, primitive.DateTime(1), primitive.Timestamp{T: 1}, primitive.Regex{Pattern: "a"}, primitive.MaxKey{},
	}
	for i, a := range order {
		for j, b := range order {
			got, want := compareValues(a, b), 0
			if i < j {
				want = -1
			} else if i > j {
				want = 1
			}
			if got != want {
				t.Errorf("%s against %s: %d", describe(a), describe(b), got)
			}
			if (indexKey(a) == indexKey(b)) != (want == 0) {
				t.Errorf("keys of %s and %s", describe(a), describe(b))
			}
		}
	}
	if indexKey(int32(7)) != indexKey(7.0) || indexKey(int64(0)) != indexKey(math.Copysign(0, -1)) || float64(1<<53) == float64(1<<53+1) && indexKey(float64(1<<53)) == indexKey(int64(1<<53+1)) {
		t.Error("numbers that compare equal must have one key, others not")
	}
}

func TestSortAndProject(t *testing.T) {
	docs := []bson.D{parse(t, `{"_id": 1, "a": [5, 1]}`), parse(t, `{"_id": 2, "a": 3}`), parse(t, `{"_id": 3}`), parse(t, `{"_id": 4, "a": "s"}`)}
	ids := func() (out bson.A) {
		for _, d := range docs {
			out = append(out, d[0].Value)
		}
		return out
	}
	for spec, want := range map[string]bson.A{`{"a": 1}`: {int32(3), int32(1), int32(2), int32(4)}, `{"a": -1}`: {int32(4), int32(1), int32(2), int32(3)}, `{"_id": -1}`: {int32(4), int32(3), int32(2), int32(1)}} {
		if err := sortDocs(docs, parse(t, spec)); err != nil || compareArrays(ids(), want) != 0 {
			t.Errorf("%s: %v, %v", spec, ids(), err)
		}
	}
	doc := parse(t, `{"_id": 1, "a": 1, "b": {"c": 2, "d": 3}, "l": [{"x": 1, "y": 2}]}`)
	for spec, want := range map[string]string{
		`{"a": 1}`: `{"_id": 1, "a": 1}`, `{"a": 1, "_id": 0}`: `{"a": 1}`, `{"b.c": 1}`: `{"_id": 1, "b": {"c": 2}}`, `{"b.c": 0, "l": 0}`: `{"_id": 1, "a": 1, "b": {"d": 3}}`,
		`{"l.x": 1}`: `{"_id": 1, "l": [{"x": 1}]}`, `{"_id": 1}`: `{"_id": 1}`, `{"_id": 0}`: `{"a": 1, "b": {"c": 2, "d": 3}, "l": [{"x": 1, "y": 2}]}`,
	} {
		p, err := compileProjection(parse(t, spec))
		if err != nil {
			t.Errorf("%s: %v", spec, err)
		} else if got := p.apply(doc); !sameDocument(got, parse(t, want)) {
			t.Errorf("%s: %s", spec, describe(got))
		}
	}
}

// TestDescribe is how the server prints commands in its texts.
func TestDescribe(t *testing.T) {
	got := describe(bson.D{field("find", "x"), field("n", int32(1)), field("d", 1.0), field("e", bson.D{}), field("a", bson.A{nil, true}),
		field("t", primitive.DateTime(5)), field("u", primitive.Binary{Subtype: 4, Data: make([]byte, 16)})})
	want := `{ find: "x", n: 1, d: 1.0, e: {}, a: [ null, true ], t: new Date(5), u: UUID("00000000-0000-0000-0000-000000000000") }`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestSubject: the rendering of subjects, against what OpenSSL prints.
func TestSubject(t *testing.T) {
	a := must(NewAuthority())(t)
	for _, dn := range []string{service, AdminDN, `CN=a\,b\+c,OU=root,O=system`, "CN=x,OU=one,OU=two,O=org,L=town,ST=state,C=US", "CN=x,DC=example,DC=com"} {
		cert := must(a.Issue(dn))(t)
		if got := must(Subject(cert.Leaf))(t); got != dn {
			t.Errorf("%s is rendered %s", dn, got)
		}
	}
	if memberKey("CN=a,OU=s,O=m") != memberKey("O=m,OU=s,CN=b,C=US") || memberKey("CN=a,OU=s,O=m") == memberKey("CN=a,OU=S,O=m") || memberKey("CN=a") != "" {
		t.Error("membership: order, C and CN do not matter, letter case does")
	}
}
