package mongotest

import (
	"bytes"
	"encoding/binary"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/bson/bsontype"
	"go.mongodb.org/mongo-driver/x/bsonx/bsoncore"
)

const (
	// maxDepth is the server's nesting limit (kMaxDepth 200). The decoder below
	// recurses, so the depth is checked before it runs: a Go stack overflow
	// cannot be recovered.
	maxDepth = 200
	// maxElements bounds one message's elements. A decoded element takes about
	// 20 times its bytes, so 48 MB of empty elements would else be gigabytes.
	maxElements = 4_000_000
)

// takeDocument checks and decodes the document at the head of p, and gives the
// bytes after it. budget is what is left of maxElements.
func takeDocument(p []byte, budget *int) (bson.D, []byte, error) {
	if len(p) < 5 {
		return nil, nil, malformed("document")
	}
	size := int(int32(binary.LittleEndian.Uint32(p))) //nolint:gosec // signed on the wire
	if size < 5 || size > len(p) || size > maxDocument+docSlack {
		return nil, nil, malformed("document of %d bytes", size)
	}
	if err := checkDocument(p[:size], 1, budget); err != nil {
		return nil, nil, err
	}
	var d bson.D
	if err := bson.Unmarshal(p[:size], &d); err != nil {
		return nil, nil, malformed("%v", err)
	}
	return d, p[size:], nil
}

// checkDocument walks a document without building anything: lengths, depth and
// number of elements.
func checkDocument(p []byte, depth int, budget *int) error {
	if depth > maxDepth {
		return malformed("nested deeper than %d", maxDepth)
	}
	size, body, ok := bsoncore.ReadLength(p)
	if !ok || int(size) != len(p) || len(body) == 0 || p[len(p)-1] != 0 {
		return malformed("document length")
	}
	body = body[:len(body)-1]
	for len(body) > 0 {
		if *budget--; *budget < 0 {
			return malformed("more than %d elements", maxElements)
		}
		elem, rest, ok := bsoncore.ReadElement(body)
		if !ok || len(elem) < 2 {
			return malformed("element")
		}
		if err := checkNested(elem, depth, budget); err != nil {
			return err
		}
		body = rest
	}
	return nil
}

func checkNested(elem bsoncore.Element, depth int, budget *int) error {
	end := bytes.IndexByte(elem[1:], 0)
	if end < 0 {
		return malformed("key")
	}
	value := elem[1+end+1:]
	switch bsontype.Type(elem[0]) {
	case bson.TypeEmbeddedDocument, bson.TypeArray:
		return checkDocument(value, depth+1, budget)
	case bson.TypeCodeWithScope:
		// int32 total, string (int32 length and bytes), document
		if len(value) < 8 {
			return malformed("code with scope")
		}
		n := int64(binary.LittleEndian.Uint32(value[4:]))
		if 8+n > int64(len(value)) {
			return malformed("code with scope")
		}
		return checkDocument(value[8+n:], depth+1, budget)
	}
	return nil
}

func takeCString(p []byte) (string, []byte, error) {
	i := bytes.IndexByte(p, 0)
	if i < 0 {
		return "", nil, malformed("string without end")
	}
	return string(p[:i]), p[i+1:], nil
}

// lookupField gives a document's field; the first wins, as in the server.
func lookupField(d bson.D, key string) (any, bool) {
	for _, e := range d {
		if e.Key == key {
			return e.Value, true
		}
	}
	return nil, false
}
