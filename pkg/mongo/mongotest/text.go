package mongotest

import (
	"encoding/hex"
	"fmt"
	"math"
	"strconv"
	"strings"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/bson/primitive"
)

// describe prints a value as the server prints BSON in its error texts
// (`{ find: "lease", filter: { _id: 1.0 } }`).
func describe(v any) string {
	switch x := v.(type) {
	case nil, primitive.Null:
		return "null"
	case primitive.Undefined:
		return "undefined"
	case primitive.MinKey:
		return "MinKey"
	case primitive.MaxKey:
		return "MaxKey"
	case string:
		return `"` + x + `"`
	case primitive.Symbol:
		return `"` + string(x) + `"`
	case bool:
		return strconv.FormatBool(x)
	case int32:
		return strconv.Itoa(int(x))
	case int64:
		return strconv.FormatInt(x, 10)
	case float64:
		return describeFloat(x)
	case primitive.Decimal128:
		return x.String()
	case bson.D:
		return describeDoc(x)
	case bson.A:
		return describeArray(x)
	case primitive.ObjectID:
		return "ObjectId('" + x.Hex() + "')"
	case primitive.DateTime:
		return fmt.Sprintf("new Date(%d)", int64(x))
	case primitive.Timestamp:
		return fmt.Sprintf("Timestamp(%d, %d)", x.T, x.I)
	case primitive.Binary:
		if x.Subtype == 4 && len(x.Data) == 16 {
			return `UUID("` + uuidText(x.Data) + `")`
		}
		return fmt.Sprintf("BinData(%d, %s)", x.Subtype, strings.ToUpper(hex.EncodeToString(x.Data)))
	case primitive.Regex:
		return "/" + x.Pattern + "/" + x.Options
	}
	return fmt.Sprintf("%v", v)
}

// describeShort is describe for an error that quotes what a client sent, which
// may be as large as a message.
func describeShort(v any) string {
	const limit = 16 << 10
	s := describe(v)
	if len(s) > limit {
		s = s[:limit] + "..."
	}
	return s
}

func describeFloat(f float64) string {
	if math.IsInf(f, 0) || math.IsNaN(f) {
		return strings.ToLower(strings.TrimPrefix(strconv.FormatFloat(f, 'g', -1, 64), "+"))
	}
	s := strconv.FormatFloat(f, 'g', 16, 64)
	if !strings.ContainsAny(s, ".e") {
		s += ".0"
	}
	return s
}

func describeDoc(d bson.D) string {
	if len(d) == 0 {
		return "{}"
	}
	parts := make([]string, len(d))
	for i, e := range d {
		parts[i] = e.Key + ": " + describe(e.Value)
	}
	return "{ " + strings.Join(parts, ", ") + " }"
}

func describeArray(a bson.A) string {
	if len(a) == 0 {
		return "[]"
	}
	parts := make([]string, len(a))
	for i, e := range a {
		parts[i] = describe(e)
	}
	return "[ " + strings.Join(parts, ", ") + " ]"
}

func uuidText(b []byte) string {
	h := hex.EncodeToString(b)
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// typeName is the server's name of a value's type, for error texts.
func typeName(v any) string {
	switch v.(type) {
	case nil, primitive.Null:
		return "null"
	case string:
		return "string"
	case bool:
		return "bool"
	case int32:
		return "int"
	case int64:
		return "long"
	case float64:
		return "double"
	case primitive.Decimal128:
		return "decimal"
	case bson.D:
		return "object"
	case bson.A:
		return "array"
	case primitive.ObjectID:
		return "objectId"
	case primitive.DateTime:
		return "date"
	case primitive.Timestamp:
		return "timestamp"
	case primitive.Binary:
		return "binData"
	case primitive.Regex:
		return "regex"
	case primitive.Undefined:
		return "undefined"
	case primitive.MinKey:
		return "minKey"
	case primitive.MaxKey:
		return "maxKey"
	}
	return "unknown"
}
