package mongo

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/x/mongo/driver/wiremessage"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongocheck"
)

// serve answers a node's commands from a table by their names and returns the opcodes that it was asked with.
func serve(t *testing.T, conn net.Conn, code wiremessage.OpCode, answers map[string]bson.D) <-chan wiremessage.OpCode {
	t.Helper()
	asked := make(chan wiremessage.OpCode, 16)
	go func() {
		defer close(asked)
		for {
			var head [16]byte
			if _, err := io.ReadFull(conn, head[:]); err != nil {
				return
			}
			body := make([]byte, binary.LittleEndian.Uint32(head[:])-16)
			if _, err := io.ReadFull(conn, body); err != nil {
				return
			}
			asked <- wiremessage.OpCode(binary.LittleEndian.Uint32(head[12:]))
			for name, answer := range answers {
				if bytes.Contains(body, []byte("\x10"+name+"\x00")) {
					raw, err := bson.Marshal(answer)
					if err != nil {
						t.Error(err)
						return
					}
					fixed := 5 // flags, kind of section
					if code == wiremessage.OpReply {
						fixed = 20 // flags, cursor, offset, count
					}
					_, _ = conn.Write(reply(code, append(make([]byte, fixed), raw...)))
				}
			}
		}
	}()
	return asked
}

// TestOldServer speaks to a server that knows no OP_MSG, so that its version can be named.
func TestOldServer(t *testing.T) {
	near, far := net.Pipe()
	defer near.Close()
	asked := serve(t, far, wiremessage.OpReply, map[string]bson.D{
		"isMaster":  {{Key: "ismaster", Value: true}, {Key: "msg", Value: "isdbgrid"}, {Key: "maxWireVersion", Value: 5}, {Key: "ok", Value: 1}},
		"buildInfo": {{Key: "version", Value: "3.4.24"}, {Key: "ok", Value: 1.0}},
	})
	n := &node{conn: near}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	hello, err := n.greet(ctx)
	if err != nil || !isRouter(hello) {
		t.Fatalf("%+v, %v", hello, err)
	}
	n.wire = hello.MaxWireVersion
	var r mongocheck.Router
	n.build(ctx, &r)
	if r.Version != "3.4.24" || !old(r.Version) {
		t.Errorf("%+v", r)
	}
	for range 2 {
		if code := <-asked; code != wiremessage.OpQuery { //nolint:staticcheck // what old servers take
			t.Errorf("asked by %s", code)
		}
	}
}

func TestRefusals(t *testing.T) {
	near, far := net.Pipe()
	defer near.Close()
	asked := serve(t, far, wiremessage.OpMsg, map[string]bson.D{
		"find":   {{Key: "ok", Value: 0.0}, {Key: "code", Value: 13}, {Key: "errmsg", Value: "not authorized"}},
		"update": {{Key: "ok", Value: 1.0}, {Key: "n", Value: 0}, {Key: "writeConcernError", Value: bson.D{{Key: "code", Value: 64}, {Key: "errmsg", Value: "timed out"}}}},
		"insert": {{Key: "ok", Value: 1.0}, {Key: "writeErrors", Value: bson.A{bson.D{{Key: "errmsg", Value: "duplicate"}}}}},
	})
	n := &node{conn: near, wire: 7}
	for name, want := range map[string]commandError{"find": {13, "not authorized"}, "update": {64, "timed out"}, "insert": {0, "duplicate"}} {
		var refused *commandError
		if err := n.run(t.Context(), "db", bson.D{{Key: name, Value: int32(1)}}, nil); !errors.As(err, &refused) || *refused != want {
			t.Errorf("%s: %v", name, err)
		}
		if code := <-asked; code != wiremessage.OpMsg {
			t.Errorf("asked by %s", code)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	var timeout net.Error
	if err := n.run(ctx, "db", bson.D{{Key: "silence", Value: int32(1)}}, nil); !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("no answer: %v", err)
	}
}
