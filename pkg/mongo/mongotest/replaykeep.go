package mongotest

import (
	"time"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/bson/primitive"
)

// replayNS is where a data file keeps the memory of retryable writes, as the
// real server does in config.transactions. A running server has no such
// collection.
var replayNS = namespace{localDB, "standin.replay"}

// keep writes the table into a snapshot.
func (t *replayTable) keep(into *store) {
	c := into.ensure(replayNS)
	for key, e := range t.sessions {
		statements := bson.A{}
		for i, was := range e.statements {
			statements = append(statements, was.doc(i))
		}
		if e.modified != nil {
			statements = append(statements, e.modified.doc(-1))
		}
		c.put(bson.D{{Key: "_id", Value: primitive.Binary{Data: []byte(key)}}, {Key: "number", Value: e.number},
			{Key: "touched", Value: primitive.NewDateTimeFromTime(e.touched)}, {Key: "statements", Value: statements}})
	}
}

// doc is one outcome; the statement -1 is a findAndModify.
func (r recorded) doc(statement int) bson.D {
	return bson.D{{Key: "statement", Value: int64(statement)}, {Key: "kind", Value: r.kind}, {Key: "result", Value: r.result}, {Key: "isNew", Value: r.isNew}}
}

// restore takes the table out of a store that was loaded. What is not of the
// form that keep writes is left out.
func (t *replayTable) restore(from *store) {
	for _, d := range from.find(replayNS).docs() {
		field := func(d bson.D, key string) any { v, _ := lookupField(d, key); return v }
		key, isKey := field(d, "_id").(primitive.Binary)
		number, isNumber := field(d, "number").(int64)
		touched, isDate := field(d, "touched").(primitive.DateTime)
		statements, isList := field(d, "statements").(bson.A)
		if !isKey || !isNumber || !isDate || !isList {
			continue
		}
		e := &replayEntry{number: number, touched: touched.Time().Round(time.Millisecond), statements: map[int]recorded{}}
		for _, v := range statements {
			s, _ := v.(bson.D)
			i, isIndex := field(s, "statement").(int64)
			kind, isKind := field(s, "kind").(string)
			result, isResult := field(s, "result").(bson.D)
			was := recorded{kind: kind, result: result, isNew: truthy(field(s, "isNew"))}
			switch {
			case !isIndex || !isKind || !isResult || kind == "":
			case i < 0:
				e.modified = &was
			default:
				e.statements[int(i)] = was
			}
		}
		t.sessions[string(key.Data)] = e
	}
	from.drop(replayNS)
}
