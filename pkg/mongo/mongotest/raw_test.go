package mongotest

import (
	"crypto/tls"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/mongo"
)

// rawConn speaks OP_MSG by hand, for what a driver would not send.
type rawConn struct {
	t *testing.T
	c net.Conn
}

// dialRaw connects with the certificate of dn.
func dialRaw(t *testing.T, srv *Server, host, dn string) *rawConn {
	t.Helper()
	return dialAs(t, srv, host, srv.Certificate(dn))
}

// dialAs connects with a certificate, whoever issued it.
func dialAs(t *testing.T, srv *Server, host string, cert tls.Certificate) *rawConn {
	t.Helper()
	cfg := srv.TLSConfig(srv.Admin())
	cfg.Certificates, cfg.ServerName = []tls.Certificate{cert}, hostName(host)
	d := &tls.Dialer{Config: cfg}
	c := must(d.DialContext(t.Context(), "tcp", host))(t)
	t.Cleanup(func() { _ = c.Close() })
	return &rawConn{t: t, c: c}
}

// dialLogin connects and logs in.
func dialLogin(t *testing.T, srv *Server, host, dn string) *rawConn {
	t.Helper()
	r := dialRaw(t, srv, host, dn)
	r.ok("$external", loginX509)
	return r
}

func encodeOpMsg(t *testing.T, db string, cmd bson.D) []byte {
	t.Helper()
	raw := must(bson.Marshal(append(append(bson.D{}, cmd...), bson.E{Key: "$db", Value: db})))(t)
	out := make([]byte, headerLen, headerLen+5+len(raw))
	binary.LittleEndian.PutUint32(out[12:], opMsg)
	out = append(out, 0, 0, 0, 0, 0)
	out = append(out, raw...)
	binary.LittleEndian.PutUint32(out, uint32(len(out)))
	return out
}

// send writes a command without waiting.
func (r *rawConn) send(db string, cmd bson.D) {
	r.t.Helper()
	if _, err := r.c.Write(encodeOpMsg(r.t, db, cmd)); err != nil {
		r.t.Fatal(err)
	}
}

// receive reads one reply.
func (r *rawConn) receive() (bson.M, error) {
	if err := r.c.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return nil, err
	}
	var head [headerLen]byte
	if _, err := io.ReadFull(r.c, head[:]); err != nil {
		return nil, err
	}
	body := make([]byte, binary.LittleEndian.Uint32(head[:])-headerLen)
	if _, err := io.ReadFull(r.c, body); err != nil {
		return nil, err
	}
	var m bson.M
	return m, bson.Unmarshal(body[5:], &m)
}

// run gives the reply of a command, whatever it says.
func (r *rawConn) run(db string, cmd bson.D) bson.M {
	r.t.Helper()
	r.send(db, cmd)
	return must(r.receive())(r.t)
}

// ok runs a command that must succeed.
func (r *rawConn) ok(db string, cmd bson.D) bson.M {
	r.t.Helper()
	m := r.run(db, cmd)
	if m["ok"] != 1.0 {
		r.t.Fatalf("%s: %v", cmd[0].Key, m)
	}
	return m
}

// fails runs a command that must fail with a code and a part of its text.
func (r *rawConn) fails(code int32, part, db string, cmd bson.D) {
	r.t.Helper()
	m := r.run(db, cmd)
	if msg, _ := m["errmsg"].(string); m["ok"] != 0.0 || m["code"] != code || !strings.Contains(msg, part) {
		r.t.Errorf("%s: %v, want code %d and %q", cmd[0].Key, m, code, part)
	}
}

// wantCode checks a driver's error: its code, and a part of its text.
func wantCode(t *testing.T, err error, code int, part string) {
	t.Helper()
	var se mongo.ServerError
	if !errors.As(err, &se) || !se.HasErrorCode(code) || !strings.Contains(err.Error(), part) {
		t.Errorf("got %v, want code %d and %q", err, code, part)
	}
}

func pemBytes(b *pem.Block) []byte { return pem.EncodeToMemory(b) }
