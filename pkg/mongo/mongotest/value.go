package mongotest

import (
	"bytes"
	"cmp"
	"math"
	"math/big"
	"strconv"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/bson/primitive"
)

// typeOrder is a value's place in the server's comparison order
// (https://www.mongodb.com/docs/manual/reference/bson-type-comparison-order/).
func typeOrder(v any) int {
	switch v.(type) {
	case primitive.MinKey:
		return -1
	case primitive.Undefined:
		return 0
	case nil, primitive.Null:
		return 5
	case int32, int64, float64, primitive.Decimal128:
		return 10
	case string, primitive.Symbol:
		return 15
	case bson.D:
		return 20
	case bson.A:
		return 25
	case primitive.Binary:
		return 30
	case primitive.ObjectID:
		return 35
	case bool:
		return 40
	case primitive.DateTime:
		return 45
	case primitive.Timestamp:
		return 47
	case primitive.Regex:
		return 50
	case primitive.DBPointer:
		return 55
	case primitive.JavaScript:
		return 60
	case primitive.CodeWithScope:
		return 65
	case primitive.MaxKey:
		return 127
	}
	return 100
}

// compareValues orders two values as the server does: by type class, then
// within it; numbers compare across their types.
func compareValues(a, b any) int {
	ta, tb := typeOrder(a), typeOrder(b)
	if ta != tb {
		return cmp.Compare(ta, tb)
	}
	switch x := a.(type) {
	case int32, int64, float64, primitive.Decimal128:
		return compareNumbers(a, b)
	case string, primitive.Symbol:
		return strings.Compare(text(a), text(b))
	case bson.D:
		return compareDocuments(x, b.(bson.D))
	case bson.A:
		return compareArrays(x, b.(bson.A))
	case primitive.Binary:
		y := b.(primitive.Binary)
		return cmp.Or(cmp.Compare(len(x.Data), len(y.Data)), cmp.Compare(x.Subtype, y.Subtype), bytes.Compare(x.Data, y.Data))
	case primitive.ObjectID:
		y := b.(primitive.ObjectID)
		return bytes.Compare(x[:], y[:])
	case bool:
		return cmp.Compare(boolInt(x), boolInt(b.(bool)))
	case primitive.DateTime:
		return cmp.Compare(x, b.(primitive.DateTime))
	case primitive.Timestamp:
		y := b.(primitive.Timestamp)
		return cmp.Or(cmp.Compare(x.T, y.T), cmp.Compare(x.I, y.I))
	case primitive.Regex:
		y := b.(primitive.Regex)
		return cmp.Or(strings.Compare(x.Pattern, y.Pattern), strings.Compare(x.Options, y.Options))
	case primitive.JavaScript:
		return cmp.Compare(x, b.(primitive.JavaScript))
	case primitive.CodeWithScope:
		y := b.(primitive.CodeWithScope)
		return cmp.Or(cmp.Compare(x.Code, y.Code), compareValues(scopeOf(x), scopeOf(y)))
	case primitive.DBPointer:
		y := b.(primitive.DBPointer)
		return cmp.Or(strings.Compare(x.DB, y.DB), bytes.Compare(x.Pointer[:], y.Pointer[:]))
	}
	return 0
}

func scopeOf(c primitive.CodeWithScope) bson.D {
	d, _ := c.Scope.(bson.D)
	return d
}

func text(v any) string {
	if s, ok := v.(primitive.Symbol); ok {
		return string(s)
	}
	s, _ := v.(string)
	return s
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

func compareDocuments(a, b bson.D) int {
	for i := range min(len(a), len(b)) {
		c := cmp.Or(cmp.Compare(typeOrder(a[i].Value), typeOrder(b[i].Value)),
			strings.Compare(a[i].Key, b[i].Key), compareValues(a[i].Value, b[i].Value))
		if c != 0 {
			return c
		}
	}
	return cmp.Compare(len(a), len(b))
}

func compareArrays(a, b bson.A) int {
	for i := range min(len(a), len(b)) {
		if c := compareValues(a[i], b[i]); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(a), len(b))
}

func compareNumbers(a, b any) int {
	ia, aInt := asInt(a)
	ib, bInt := asInt(b)
	if aInt && bInt {
		return cmp.Compare(ia, ib)
	}
	fa, fb := asFloat(a), asFloat(b)
	if math.IsNaN(fa) || math.IsNaN(fb) || math.IsInf(fa, 0) || math.IsInf(fb, 0) {
		return cmp.Compare(fa, fb) // cmp sorts NaN first, as the server does
	}
	return exact(a).Cmp(exact(b))
}

// asInt gives the value of the integer types.
func asInt(v any) (int64, bool) {
	switch x := v.(type) {
	case int32:
		return int64(x), true
	case int64:
		return x, true
	}
	return 0, false
}

// asFloat gives any number as a double, NaN for what is none.
func asFloat(v any) float64 {
	switch x := v.(type) {
	case int32:
		return float64(x)
	case int64:
		return float64(x)
	case float64:
		return x
	case primitive.Decimal128:
		f, err := strconv.ParseFloat(x.String(), 64)
		if err != nil && !math.IsInf(f, 0) {
			return math.NaN()
		}
		return f
	}
	return math.NaN()
}

// exact gives a finite number with the precision that every BSON number fits in
// (Decimal128 has 34 digits).
func exact(v any) *big.Float {
	const precision = 256
	f := new(big.Float).SetPrec(precision)
	switch x := v.(type) {
	case int32:
		return f.SetInt64(int64(x))
	case int64:
		return f.SetInt64(x)
	case float64:
		return f.SetFloat64(x)
	case primitive.Decimal128:
		if g, _, err := big.ParseFloat(x.String(), 10, precision, big.ToNearestEven); err == nil {
			return g
		}
	}
	return f
}

func isNumber(v any) bool { return typeOrder(v) == typeOrder(int32(0)) }

// truthy is the server's notion of a flag: false, 0 and null are off.
func truthy(v any) bool {
	switch x := v.(type) {
	case nil, primitive.Null, primitive.Undefined:
		return false
	case bool:
		return x
	}
	if isNumber(v) {
		return asFloat(v) != 0
	}
	return true
}

// cloneValue copies documents and arrays deeply: what the store holds is never
// changed in place.
func cloneValue(v any) any {
	switch x := v.(type) {
	case bson.D:
		return cloneDoc(x)
	case bson.A:
		out := make(bson.A, len(x))
		for i, e := range x {
			out[i] = cloneValue(e)
		}
		return out
	}
	return v
}

func cloneDoc(d bson.D) bson.D {
	out := make(bson.D, len(d))
	for i, e := range d {
		out[i] = bson.E{Key: e.Key, Value: cloneValue(e.Value)}
	}
	return out
}

// indexKey gives a string that is equal for two values exactly when they
// compare equal, for maps.
func indexKey(v any) string {
	var b strings.Builder
	writeKey(&b, v)
	return b.String()
}

func writeKey(b *strings.Builder, v any) {
	b.WriteString(strconv.Itoa(typeOrder(v)))
	b.WriteByte(':')
	switch x := v.(type) {
	case int32, int64, float64, primitive.Decimal128:
		if f := asFloat(v); math.IsNaN(f) || math.IsInf(f, 0) {
			b.WriteString(strconv.FormatFloat(f, 'g', -1, 64))
		} else if e := exact(v); e.Sign() == 0 {
			b.WriteByte('0') // -0 is 0
		} else {
			b.WriteString(e.Text('p', 0))
		}
	case bson.D:
		b.WriteString(strconv.Itoa(len(x)))
		for _, e := range x {
			b.WriteString(strconv.Quote(e.Key))
			writeKey(b, e.Value)
		}
	case bson.A:
		b.WriteString(strconv.Itoa(len(x)))
		for _, e := range x {
			writeKey(b, e)
		}
	default:
		b.WriteString(strconv.Quote(describe(v)))
	}
	b.WriteByte(';')
}

// now is the server's wall clock as a BSON date.
func now() primitive.DateTime { return primitive.NewDateTimeFromTime(time.Now()) }
