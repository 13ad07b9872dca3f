package mongotest

import (
	"strconv"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/bson/primitive"
)

// updater is a compiled update: apply gives the new document, never touching
// the old one. inserting is true for the insert of an upsert, where
// $setOnInsert counts.
type updater struct {
	replacement bson.D
	isOperator  bool
	ops         []updateOp
	// taken and above hold the paths written and every path above one, to find
	// two operators that touch the same place.
	taken, above map[string]bool
}

type updateOp struct {
	name string
	path []string
	arg  any
}

// updateOperators are the operators carried out.
var updateOperators = map[string]bool{
	"$set": true, "$unset": true, "$inc": true, "$setOnInsert": true, "$push": true, "$pull": true,
	"$addToSet": true, "$currentDate": true, "$min": true, "$max": true,
}

const (
	// maxPad is the server's limit on padding an array with nulls. A document
	// could not hold more than maxPads of them altogether.
	maxPad  = 1_500_000
	maxPads = 1_900_000
	// maxClauses bounds the operators of an update, or the parts of a filter, that
	// are carried out while nobody else can be served.
	maxClauses = 10_000
)

// compileUpdate checks an update document: operators, or a replacement.
func compileUpdate(update bson.D) (*updater, error) {
	if len(update) == 0 || !strings.HasPrefix(update[0].Key, "$") {
		for _, e := range update {
			if strings.HasPrefix(e.Key, "$") {
				return nil, errf(codeDollarPrefixedFieldName, "The dollar ($) prefixed field '%s' in '%s' is not valid for storage.", e.Key, e.Key)
			}
		}
		return &updater{replacement: update}, nil
	}
	u := &updater{isOperator: true, taken: map[string]bool{}, above: map[string]bool{}}
	for _, op := range update {
		if !strings.HasPrefix(op.Key, "$") || !updateOperators[op.Key] {
			switch op.Key {
			case "$mul", "$rename", "$pop", "$pullAll", "$pushAll", "$bit", "$isolated":
				return nil, notImplemented("update operator %s", op.Key)
			}
			return nil, errf(codeFailedToParse, "Unknown modifier: %s", op.Key)
		}
		fields, ok := op.Value.(bson.D)
		if !ok {
			return nil, errf(codeFailedToParse, "Modifiers operate on fields but we found type %s instead. For example: {$mod: {<field>: ...}} not {%s: %s}",
				typeName(op.Value), op.Key, describe(op.Value))
		}
		if len(fields) == 0 {
			return nil, errf(codeFailedToParse, "'%s' is empty. You must specify a field like so: {%s: {<field>: ...}}", op.Key, op.Key)
		}
		for _, f := range fields {
			o := updateOp{name: op.Key, path: strings.Split(f.Key, "."), arg: f.Value}
			if err := u.checkOp(o); err != nil {
				return nil, err
			}
			if u.ops = append(u.ops, o); len(u.ops) > maxClauses {
				return nil, notImplemented("an update of more than %d fields", maxClauses)
			}
		}
	}
	return u, nil
}

func (u *updater) checkOp(o updateOp) error {
	name := strings.Join(o.path, ".")
	if len(o.path) > maxDepth {
		return errf(codeBadValue, "path %d levels deep", len(o.path))
	}
	for _, part := range o.path {
		if part == "" {
			return errf(56, "The update path '%s' contains an empty field name, which is not allowed.", name)
		}
		if strings.HasPrefix(part, "$") {
			if part == "$" || strings.HasPrefix(part, "$[") {
				return notImplemented("positional update %s", name)
			}
			return errf(codeDollarPrefixedFieldName, "The dollar ($) prefixed field '%s' in '%s' is not valid for storage.", part, name)
		}
	}
	for i := range o.path {
		prefix := strings.Join(o.path[:i+1], ".")
		if u.taken[prefix] || (i == len(o.path)-1 && u.above[prefix]) {
			return errf(codeConflictingUpdate, "Updating the path '%s' would create a conflict at '%s'", name, prefix)
		}
	}
	for i := range len(o.path) - 1 {
		u.above[strings.Join(o.path[:i+1], ".")] = true
	}
	u.taken[name] = true
	if o.name == "$inc" && !isNumber(o.arg) {
		return errf(codeTypeMismatch, "Cannot increment with non-numeric argument: {%s: %s}", name, describe(o.arg))
	}
	return nil
}

// apply gives the updated copy of doc. The _id stays: a change of it is error 66.
func (u *updater) apply(doc bson.D, inserting bool) (bson.D, error) {
	oldID, hadID := lookupField(doc, "_id")
	var out bson.D
	if !u.isOperator {
		out = cloneDoc(u.replacement)
		if _, ok := lookupField(out, "_id"); !ok && hadID {
			out = append(bson.D{{Key: "_id", Value: oldID}}, out...)
		}
	} else {
		out = cloneDoc(doc)
		pads := maxPads
		for _, o := range u.ops {
			if o.name == "$setOnInsert" && !inserting {
				continue
			}
			v, err := setAt(out, o.path, nil, o.modify, o.creates(), &pads)
			if err != nil {
				return nil, err
			}
			out = v.(bson.D)
		}
	}
	newID, hasID := lookupField(out, "_id")
	if hadID && (!hasID || compareValues(oldID, newID) != 0) {
		if !u.isOperator {
			return nil, errf(codeImmutableField, "After applying the update, the (immutable) field '_id' was found to have been altered to _id: %s", describe(newID))
		}
		return nil, errf(codeImmutableField, "Performing an update on the path '_id' would modify the immutable field '_id'")
	}
	return out, nil
}

// creates tells whether the operator makes a missing path.
func (o updateOp) creates() bool { return o.name != "$unset" && o.name != "$pull" }

// setAt rebuilds v with modify applied to what is at path. modify gets absent{}
// for a missing field and gives absent{} to remove one. done is the path so
// far, for error texts; pads is how many nulls arrays may still be padded with.
func setAt(v any, path, done []string, modify func(old any) (any, error), create bool, pads *int) (any, error) {
	if len(path) == 0 {
		return modify(v)
	}
	switch x := v.(type) {
	case absent:
		if !create {
			return absent{}, nil
		}
		return setAt(bson.D{}, path, done, modify, create, pads)
	case bson.D:
		for i, e := range x {
			if e.Key != path[0] {
				continue
			}
			child, err := setAt(e.Value, path[1:], append(done, path[0]), modify, create, pads)
			if err != nil {
				return nil, err
			}
			if (child == absent{}) {
				return append(append(bson.D{}, x[:i]...), x[i+1:]...), nil
			}
			x[i].Value = child
			return x, nil
		}
		child, err := setAt(absent{}, path[1:], append(done, path[0]), modify, create, pads)
		if err != nil || (child == absent{}) {
			return x, err
		}
		return append(x, bson.E{Key: path[0], Value: child}), nil
	case bson.A:
		return setInArray(x, path, done, modify, create, pads)
	}
	if !create {
		return v, nil
	}
	return nil, errf(codePathNotViable, "Cannot create field '%s' in element {%s: %s}", path[0], last(done), describe(v))
}

func setInArray(a bson.A, path, done []string, modify func(any) (any, error), create bool, pads *int) (any, error) {
	i, err := strconv.Atoi(path[0])
	if err != nil || i < 0 {
		if !create {
			return a, nil
		}
		return nil, errf(codePathNotViable, "Cannot create field '%s' in element {%s: %s}", path[0], last(done), describe(a))
	}
	var old any = absent{}
	if i < len(a) {
		old = a[i]
	}
	child, err := setAt(old, path[1:], append(done, path[0]), modify, create, pads)
	if err != nil {
		return nil, err
	}
	if (child == absent{}) {
		if i < len(a) {
			a[i] = nil // $unset of an element leaves null
		}
		return a, nil
	}
	if i > len(a)+maxPad {
		return nil, errf(codeBadValue, "can't backfill array to larger than %d elements", maxPad)
	}
	if *pads -= max(0, i-len(a)); *pads < 0 {
		return nil, errf(17419, "Resulting document after update is larger than %d", maxDocument)
	}
	for len(a) <= i {
		a = append(a, nil)
	}
	a[i] = child
	return a, nil
}

func last(path []string) string {
	if len(path) == 0 {
		return ""
	}
	return path[len(path)-1]
}

// modify gives the new value at the operator's path.
func (o updateOp) modify(old any) (any, error) {
	name := strings.Join(o.path, ".")
	missing := old == absent{}
	switch o.name {
	case "$set", "$setOnInsert":
		return cloneValue(o.arg), nil
	case "$unset":
		return absent{}, nil
	case "$inc":
		if missing {
			return o.arg, nil
		}
		if !isNumber(old) {
			return nil, errf(codeTypeMismatch, "Cannot apply $inc to a value of non-numeric type. {%s: %s}", name, describe(old))
		}
		return add(old, o.arg)
	case "$min", "$max":
		c := 0
		if !missing {
			c = compareValues(o.arg, old)
		}
		if missing || (o.name == "$min" && c < 0) || (o.name == "$max" && c > 0) {
			return cloneValue(o.arg), nil
		}
		return old, nil
	case "$currentDate":
		return currentDate(o.arg)
	}
	if missing {
		old = bson.A{}
		if o.name == "$pull" {
			return absent{}, nil
		}
	}
	array, ok := old.(bson.A)
	if !ok {
		return nil, o.notArray(name, old)
	}
	switch o.name {
	case "$push":
		return push(array, o.arg)
	case "$addToSet":
		return addToSet(array, o.arg)
	}
	return pull(array, o.arg)
}

func (o updateOp) notArray(name string, old any) error {
	switch o.name {
	case "$pull":
		return errf(codeBadValue, "Cannot apply $pull to a non-array value")
	case "$addToSet":
		return errf(codeBadValue, "Cannot apply $addToSet to non-array field. Field named '%s' has non-array type %s", last(o.path), typeName(old))
	}
	return errf(codeBadValue, "The field '%s' must be an array but is of type %s in document", name, typeName(old))
}

func currentDate(arg any) (any, error) {
	if b, ok := arg.(bool); ok && b {
		return now(), nil
	}
	if d, ok := arg.(bson.D); ok {
		switch t, _ := lookupField(d, "$type"); t {
		case "date":
			return now(), nil
		case "timestamp":
			return primitive.Timestamp{T: uint32(time.Now().Unix()), I: 1}, nil //nolint:gosec // until 2106
		}
	}
	return nil, errf(codeBadValue, "%s is not valid type for $currentDate. Please use a boolean ('true') or a $type expression ({$type: 'timestamp/date'}).", typeName(arg))
}

// add sums two numbers as the server does: int overflows to long, a double
// makes a double, and a long that overflows is an error.
func add(a, b any) (any, error) {
	ia, aInt := asInt(a)
	ib, bInt := asInt(b)
	if aInt && bInt {
		sum := ia + ib
		if (ib > 0 && sum < ia) || (ib < 0 && sum > ia) {
			return nil, errf(codeBadValue, "Failed to apply $inc operations to current value (%d) for document", ia)
		}
		_, a32 := a.(int32)
		_, b32 := b.(int32)
		if a32 && b32 && int64(int32(sum)) == sum { //nolint:gosec // the conversion is the check
			return int32(sum), nil //nolint:gosec // checked
		}
		return sum, nil
	}
	for _, v := range []any{a, b} {
		if _, dec := v.(primitive.Decimal128); dec {
			return nil, notImplemented("decimal arithmetic")
		}
	}
	return asFloat(a) + asFloat(b), nil
}
