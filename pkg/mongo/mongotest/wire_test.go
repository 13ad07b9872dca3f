package mongotest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/bson"
)

// framed gives a message of an opcode and a payload.
func framed(opcode uint32, payload []byte) []byte {
	out := make([]byte, headerLen)
	binary.LittleEndian.PutUint32(out, uint32(headerLen+len(payload)))
	binary.LittleEndian.PutUint32(out[12:], opcode)
	return append(out, payload...)
}

// nested gives a document of a depth, built by bytes: the encoder would recurse.
// Each level adds 8 bytes: length, type, name and end.
func nested(depth int) []byte {
	var out []byte
	for level := depth - 1; level > 0; level-- {
		out = append(binary.LittleEndian.AppendUint32(out, uint32(5+8*level)), 3, 'a', 0)
	}
	out = append(out, 5, 0, 0, 0, 0)
	return append(out, make([]byte, depth-1)...)
}

func section(doc []byte) []byte { return append([]byte{0, 0, 0, 0, 0}, doc...) }

// TestHostile: what breaks the protocol is an error, at once and without
// growth.
func TestHostile(t *testing.T) {
	body := must(bson.Marshal(bson.D{field("ping", 1), field("$db", "admin")}))(t)
	good := section(body)
	lying := framed(opMsg, good)
	binary.LittleEndian.PutUint32(lying, maxMessage) // says 48 MB, sends a few bytes
	sequence := func(size uint32, rest string) []byte {
		return append(append([]byte{}, good...), append([]byte{1}, append(binary.LittleEndian.AppendUint32(nil, size), rest...)...)...)
	}
	short := append([]byte{}, body...)
	binary.LittleEndian.PutUint32(short, uint32(len(short)-2))
	for name, raw := range map[string][]byte{
		"lying length": lying, "too long": framedLength(maxMessage + 1), "negative": framedLength(-1), "shorter than a header": framedLength(15),
		"opcode": framed(2012, good), "no body": framed(opMsg, []byte{0, 0, 0, 0}), "two bodies": framed(opMsg, append(append([]byte{}, good...), good[4:]...)),
		"required flag": framed(opMsg, append([]byte{4, 0, 0, 0}, good[4:]...)), "bad checksum": framed(opMsg, append([]byte{1, 0, 0, 0}, append(good[4:], 1, 2, 3, 4)...)),
		"kind": framed(opMsg, append(append([]byte{}, good...), 2)), "deep": framed(opMsg, section(nested(1_000_000))),
		"sequence size": framed(opMsg, sequence(1<<31, "x")), "sequence name": framed(opMsg, sequence(8, "docs")),
		"sequence over a field": framed(opMsg, sequence(9, "ping\x00")), "short document": framed(opMsg, section(short)),
		"no db": framed(opMsg, section([]byte{5, 0, 0, 0, 0})), "query not a command": framed(opQuery, []byte("\x00\x00\x00\x00db.coll\x00")),
	} {
		if m, err := readMessage(bytes.NewReader(raw)); err == nil {
			t.Errorf("%s: taken as %v", name, m.body)
		}
	}
	if _, err := readMessage(bytes.NewReader(framed(opMsg, section(nested(maxDepth+1))))); err == nil || !strings.Contains(err.Error(), "deeper") {
		t.Errorf("depth %d: %v", maxDepth+1, err)
	}
	if _, err := readMessage(bytes.NewReader(framed(opMsg, section(nested(maxDepth))))); !errors.Is(err, errMalformed) || strings.Contains(err.Error(), "deeper") {
		t.Errorf("depth %d is allowed (only $db is missing here): %v", maxDepth, err)
	}
	if _, err := readMessage(bytes.NewReader(framed(opMsg, good))); err != nil {
		t.Errorf("a good one: %v", err)
	}
}

func framedLength(n int32) []byte {
	out := framed(opMsg, nil)
	binary.LittleEndian.PutUint32(out, uint32(n))
	return out
}

// TestElementBudget: small bytes must not become large memory.
func TestElementBudget(t *testing.T) {
	budget := 10
	many := bson.A{}
	for range 20 {
		many = append(many, nil)
	}
	raw := must(bson.Marshal(bson.D{field("a", many)}))(t)
	if _, _, err := takeDocument(raw, &budget); !errors.Is(err, errMalformed) {
		t.Errorf("got %v", err)
	}
}
