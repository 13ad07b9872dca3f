package mongotest

import (
	"crypto/rand"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/bson/primitive"
)

// Databases with a meaning of their own.
const (
	adminDB    = "admin"
	configDB   = "config"
	localDB    = "local"
	externalDB = "$external"
)

// request is one command under way.
type request struct {
	conn *conn
	name string // as the client wrote it
	cmd  *command
	db   string
	body bson.D
	// session is the key of the logical session, empty for none; killed is closed
	// when somebody kills it.
	session     string
	sessionText string
	killed      <-chan struct{}
}

func (r *request) get(key string) any {
	v, _ := lookupField(r.body, key)
	return v
}

func (r *request) has(key string) bool {
	_, ok := lookupField(r.body, key)
	return ok
}

// first is the command element's value.
func (r *request) first() any { return r.body[0].Value }

// doc gives a field that must be a document; a missing one is empty.
func (r *request) doc(key string) (bson.D, error) {
	v, ok := lookupField(r.body, key)
	if !ok || v == nil {
		return bson.D{}, nil
	}
	d, ok := v.(bson.D)
	if !ok {
		return nil, r.wrongType(key, v, "object")
	}
	return d, nil
}

// array gives a field that must be an array; a missing one is nil.
func (r *request) array(key string) (bson.A, error) {
	v, ok := lookupField(r.body, key)
	if !ok {
		return nil, nil
	}
	a, ok := v.(bson.A)
	if !ok {
		return nil, r.wrongType(key, v, "array")
	}
	return a, nil
}

// docs1 gives a field that must be an array of documents; it may be empty.
func (r *request) docs1(key string) ([]bson.D, error) {
	list, err := r.array(key)
	if len(list) == 0 || err != nil {
		return nil, err
	}
	return r.docs(key)
}

// docs gives a field that must be an array of documents.
func (r *request) docs(key string) ([]bson.D, error) {
	a, err := r.array(key)
	if err != nil {
		return nil, err
	}
	if a == nil {
		return nil, errf(codeMissingField, "BSON field '%s.%s' is missing but a required field", r.cmd.name, key)
	}
	if len(a) == 0 || len(a) > maxBatch {
		return nil, errf(codeInvalidLength, "Write batch sizes must be between 1 and %d. Got %d operations.", maxBatch, len(a))
	}
	out := make([]bson.D, len(a))
	for i, v := range a {
		d, ok := v.(bson.D)
		if !ok {
			return nil, r.wrongType(key, v, "object")
		}
		out[i] = d
	}
	return out, nil
}

// int gives a number field, 0 when missing.
func (r *request) int(key string) (int64, error) {
	v, ok := lookupField(r.body, key)
	if !ok || v == nil {
		return 0, nil
	}
	if !isNumber(v) {
		return 0, r.wrongType(key, v, "number")
	}
	if n, ok := asInt(v); ok {
		return n, nil
	}
	f := asFloat(v)
	if f != f || f > 1<<62 || f < -(1<<62) { //nolint:gocritic // NaN is unequal to itself
		return 0, errf(codeBadValue, "%s has value: %s is out of range", key, describe(v))
	}
	return int64(f), nil
}

func (r *request) flag(key string) bool { return truthy(r.get(key)) }

func (r *request) wrongType(key string, v any, want string) error {
	return errf(codeTypeMismatch, "BSON field '%s.%s' is the wrong type '%s', expected type '%s'", r.cmd.name, key, typeName(v), want)
}

// collection gives the namespace that the command names.
func (r *request) collection() (namespace, error) {
	name, ok := r.first().(string)
	if !ok {
		return namespace{}, errf(codeInvalidNamespace, "collection name has invalid type %s", typeName(r.first()))
	}
	ns := namespace{r.db, name}
	if name == "" || strings.Contains(name, "$") || strings.HasPrefix(name, ".") || strings.ContainsRune(name, 0) ||
		!validDBName(r.db) || len(ns.String()) > 255 {
		return namespace{}, errf(codeInvalidNamespace, "Invalid namespace specified '%s'", ns)
	}
	return ns, nil
}

// validDBName is the server's rule on Linux.
func validDBName(db string) bool {
	return db == externalDB || (db != "" && len(db) < 64 && !strings.ContainsAny(db, "/\\. \"$\x00"))
}

// splitNS parts a full namespace at its first dot.
func splitNS(full string) (namespace, bool) {
	db, coll, ok := strings.Cut(full, ".")
	return namespace{db, coll}, ok && coll != "" && validDBName(db)
}

// maxTime gives maxTimeMS, 0 for none.
func (r *request) maxTime() (time.Duration, error) {
	ms, err := r.int("maxTimeMS")
	if err != nil {
		return 0, err
	}
	if ms < 0 || ms > 1<<31-1 {
		return 0, errf(codeBadValue, "maxTimeMS has value: %d which is out of range", ms)
	}
	return time.Duration(ms) * time.Millisecond, nil
}

func newUUID() primitive.Binary {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails (Go 1.24)
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return primitive.Binary{Subtype: 4, Data: b}
}
