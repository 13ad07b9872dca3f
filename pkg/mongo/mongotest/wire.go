package mongotest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"go.mongodb.org/mongo-driver/bson"
)

// Opcodes and limits of the wire protocol.
const (
	opReply = 1
	opQuery = 2004
	opMsg   = 2013

	headerLen = 16
	// maxMessage is maxMessageSizeBytes of the handshake.
	maxMessage = 48_000_000
	// maxDocument is maxBsonObjectSize; a command may be 16 KiB larger.
	maxDocument = 16 * 1024 * 1024
	docSlack    = 16 * 1024
	maxBatch    = 100_000
	// maxSequences bounds the kind 1 sections of a message; no command has more
	// than one.
	maxSequences = 8

	flagChecksum        = 1 << 0
	flagMoreToCome      = 1 << 1
	flagExhaustAllowed  = 1 << 16
	requiredFlagsMask   = 0xffff
	understoodFlagsMask = flagChecksum | flagMoreToCome
)

// errMalformed says that a peer broke the wire protocol; the connection is
// closed without an answer, as the server does.
var errMalformed = errors.New("malformed message")

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errMalformed, fmt.Sprintf(format, args...))
}

// message is one decoded request.
type message struct {
	id     int32
	opcode int32
	// db is the database: $db of OP_MSG, the namespace's first part of OP_QUERY.
	db string
	// body is the command, with document sequences put in as arrays.
	body bson.D
	// noReply is set for moreToCome: the client waits for no answer.
	noReply bool
}

// readMessage reads one message of at most maxMessage bytes. The buffer grows
// with what really arrives, so a lying length costs nothing.
func readMessage(r io.Reader) (message, error) {
	var head [headerLen]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return message{}, err
	}
	size, err := messageSize(head, maxMessage)
	if err != nil {
		return message{}, err
	}
	return readPayload(r, head, size)
}

// messageSize gives the length that a header tells, when it is within the limit.
func messageSize(head [headerLen]byte, limit int) (int, error) {
	length := int(int32(binary.LittleEndian.Uint32(head[:]))) //nolint:gosec // the wire's length is signed
	if length < headerLen || length > limit {
		return 0, malformed("length %d", length)
	}
	return length, nil
}

// readPayload reads and decodes what follows a header.
func readPayload(r io.Reader, head [headerLen]byte, size int) (message, error) {
	payload, err := readBounded(r, size-headerLen)
	if err != nil {
		return message{}, err
	}
	return decodeMessage(head, payload)
}

func readBounded(r io.Reader, n int) ([]byte, error) {
	const step = 1 << 20
	buf := make([]byte, 0, min(n, step))
	for len(buf) < n {
		chunk := min(step, n-len(buf))
		start := len(buf)
		buf = append(buf, make([]byte, chunk)...)
		if _, err := io.ReadFull(r, buf[start:]); err != nil {
			return nil, err
		}
	}
	return buf, nil
}

// decodeMessage decodes the payload behind a header. It is the whole surface
// that hostile bytes reach, and is fuzzed.
func decodeMessage(head [headerLen]byte, payload []byte) (message, error) {
	m := message{
		id:     int32(binary.LittleEndian.Uint32(head[4:])),  //nolint:gosec // two's complement on the wire
		opcode: int32(binary.LittleEndian.Uint32(head[12:])), //nolint:gosec // likewise
	}
	switch m.opcode {
	case opMsg:
		return m, decodeOpMsg(&m, head, payload)
	case opQuery:
		return m, decodeOpQuery(&m, payload)
	default:
		return m, malformed("opcode %d", m.opcode)
	}
}

func decodeOpMsg(m *message, head [headerLen]byte, p []byte) error {
	if len(p) < 4 {
		return malformed("no flags")
	}
	flags := binary.LittleEndian.Uint32(p)
	if flags&requiredFlagsMask&^understoodFlagsMask != 0 {
		return malformed("flags %#x", flags)
	}
	m.noReply = flags&flagMoreToCome != 0
	if flags&flagChecksum != 0 {
		if len(p) < 8 {
			return malformed("no checksum")
		}
		want := binary.LittleEndian.Uint32(p[len(p)-4:])
		p = p[:len(p)-4]
		table := crc32.MakeTable(crc32.Castagnoli)
		if got := crc32.Update(crc32.Checksum(head[:], table), table, p); got != want {
			return malformed("checksum")
		}
	}
	p = p[4:]
	budget := maxElements
	seen := false
	var sequences bson.D
	for len(p) > 0 {
		kind := p[0]
		p = p[1:]
		switch kind {
		case 0:
			if seen {
				return malformed("two bodies")
			}
			seen = true
			doc, rest, err := takeDocument(p, &budget)
			if err != nil {
				return err
			}
			m.body, p = doc, rest
		case 1:
			seq, rest, err := takeSequence(p, &budget)
			if err != nil {
				return err
			}
			if sequences, p = append(sequences, seq), rest; len(sequences) > maxSequences {
				return malformed("more than %d sequences", maxSequences)
			}
		default:
			return malformed("section kind %d", kind)
		}
	}
	if !seen {
		return malformed("no body")
	}
	for _, s := range sequences {
		if _, dup := lookupField(m.body, s.Key); dup {
			return malformed("sequence %q twice", s.Key)
		}
		m.body = append(m.body, s)
	}
	db, _ := lookupField(m.body, "$db")
	m.db, _ = db.(string)
	if m.db == "" {
		return malformed("no $db")
	}
	return nil
}

// takeSequence reads a kind 1 section: size, name, documents.
func takeSequence(p []byte, budget *int) (bson.E, []byte, error) {
	if len(p) < 4 {
		return bson.E{}, nil, malformed("sequence")
	}
	size := int(binary.LittleEndian.Uint32(p))
	if size < 5 || size > len(p) {
		return bson.E{}, nil, malformed("sequence of %d bytes", size)
	}
	body, rest := p[4:size], p[size:]
	name, body, err := takeCString(body)
	if err != nil {
		return bson.E{}, nil, err
	}
	docs := bson.A{}
	for len(body) > 0 {
		var doc bson.D
		if doc, body, err = takeDocument(body, budget); err != nil {
			return bson.E{}, nil, err
		}
		docs = append(docs, doc)
	}
	return bson.E{Key: name, Value: docs}, rest, nil
}

// decodeOpQuery accepts what drivers send as OP_QUERY today: one command on
// <db>.$cmd.
func decodeOpQuery(m *message, p []byte) error {
	if len(p) < 4 {
		return malformed("no flags")
	}
	ns, p, err := takeCString(p[4:])
	if err != nil {
		return err
	}
	const suffix = ".$cmd"
	if len(ns) <= len(suffix) || ns[len(ns)-len(suffix):] != suffix {
		return malformed("OP_QUERY on %q", ns)
	}
	m.db = ns[:len(ns)-len(suffix)]
	if len(p) < 8 {
		return malformed("no skip and return")
	}
	budget := maxElements
	doc, _, err := takeDocument(p[8:], &budget)
	if err != nil {
		return err
	}
	if inner, ok := lookupField(doc, "$query"); ok { // a read preference wraps the command
		if d, ok := inner.(bson.D); ok {
			doc = d
		}
	}
	m.body = doc
	return nil
}

// encodeReply gives the bytes of the answer to m: OP_REPLY to an OP_QUERY, else
// OP_MSG.
func encodeReply(m message, id int32, doc bson.D) ([]byte, error) {
	raw, err := bson.Marshal(doc)
	if err != nil {
		return nil, fmt.Errorf("encode reply: %w", err)
	}
	var out []byte
	put := func(v int32) { out = binary.LittleEndian.AppendUint32(out, uint32(v)) } //nolint:gosec // wire form
	put(0)
	put(id)
	put(m.id)
	if m.opcode == opQuery {
		put(opReply)
		put(8) // AwaitCapable
		put(0) // cursor id, two words
		put(0)
		put(0) // starting from
		put(1) // documents
	} else {
		put(opMsg)
		put(0)
		out = append(out, 0)
	}
	out = append(out, raw...)
	if len(out) > maxMessage {
		return nil, errors.New("encode reply: too large")
	}
	binary.LittleEndian.PutUint32(out, uint32(len(out))) //nolint:gosec // bounded above
	return out, nil
}
