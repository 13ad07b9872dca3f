package mongotest

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"runtime/debug"
	"time"
)

// handshakeTimeout bounds the TLS handshake; a peer that never speaks is cut.
const handshakeTimeout = 30 * time.Second

// What one peer can take of the server.
const (
	// messageTimeout bounds the sending of one message, and the reading of one.
	messageTimeout = time.Minute
	// maxBeforeLogin bounds a message of who has not logged in.
	maxBeforeLogin = 64 << 10
	// Messages above smallMessage are taken while they fit into messageRoom together.
	smallMessage = 1 << 20
	messageRoom  = 256 << 20
	// maxConnections is how many a server takes unless told otherwise; further ones
	// are closed at once.
	maxConnections = 10_000
)

// conn is one client connection: read, run, answer, one request at a time.
type conn struct {
	server *Standin
	router *router
	// certificate is the router's, as it was when the connection began.
	certificate tls.Certificate
	raw         net.Conn
	tls         *tls.Conn
	id          int32
	// subject is the DN of the verified certificate.
	subject string
	// local is true on a loopback connection: the localhost exception asks.
	local bool

	// user is who logged in, and userDB of which database; empty before.
	user   string
	userDB string
	scram  *scramLogin // under way
}

func (c *conn) serve() {
	defer func() {
		_ = c.raw.Close()
		if p := recover(); p != nil { // one connection's fault must not end the others
			c.server.log.Error("panic on a connection", "panic", p, "stack", string(debug.Stack()))
		}
	}()
	if !c.handshake() {
		return
	}
	for {
		m, release, err := c.receive()
		if err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
				c.server.log.Debug("connection ended", "subject", c.subject, "error", err)
			}
			return
		}
		if !c.answer(m, release) {
			return
		}
	}
}

// receive reads one message. A peer may stay silent between messages, as drivers
// do, but one that has begun must come to an end; before the login only small
// ones are taken, and large ones wait until the others leave room for them.
func (c *conn) receive() (message, func(), error) {
	nothing := func() {}
	var head [headerLen]byte
	if _, err := io.ReadFull(c.tls, head[:1]); err != nil {
		return message{}, nothing, err
	}
	if err := c.raw.SetReadDeadline(time.Now().Add(c.server.cfg.patience)); err != nil {
		return message{}, nothing, err
	}
	if _, err := io.ReadFull(c.tls, head[1:]); err != nil {
		return message{}, nothing, err
	}
	limit := maxMessage
	if c.user == "" {
		limit = maxBeforeLogin
	}
	size, err := messageSize(head, limit)
	if err != nil {
		return message{}, nothing, err
	}
	release, room := nothing, c.server.room
	if size > smallMessage {
		ctx, cancel := context.WithTimeout(c.server.ctx, c.server.cfg.patience)
		defer cancel()
		if err := room.Acquire(ctx, int64(size)); err != nil {
			return message{}, nothing, err
		}
		release = func() { room.Release(int64(size)) }
	}
	m, err := readPayload(c.tls, head, size)
	if err == nil {
		err = c.raw.SetReadDeadline(time.Time{})
	}
	if err != nil {
		release()
	}
	return m, release, err
}

// answer runs one request and sends the reply; false ends the connection.
func (c *conn) answer(m message, release func()) bool {
	defer release()
	// A partition holds the request back; it may arrive late, as on a network.
	if c.router.gate.wait(c.server.ctx) != nil {
		return false
	}
	doc, out := c.server.handle(c, m)
	if out.drop {
		return false
	}
	if m.noReply {
		return true
	}
	if wait(c.server.ctx, out.delay) != nil || c.router.gate.wait(c.server.ctx) != nil {
		return false
	}
	reply, err := encodeReply(m, c.server.requestID.Add(1), doc)
	if err != nil {
		c.server.log.Error("reply", "error", err)
		return false
	}
	if err := c.raw.SetWriteDeadline(time.Now().Add(c.server.cfg.patience)); err != nil {
		return false
	}
	_, err = c.tls.Write(reply)
	return err == nil
}

// handshake does TLS and checks the client's certificate afterwards, as the
// server does: one that is missing or not ours gets no alert, the connection is
// just closed.
func (c *conn) handshake() bool {
	s := c.server
	if c.router.gate.wait(s.ctx) != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(s.ctx, handshakeTimeout)
	defer cancel()
	c.tls = tls.Server(c.raw, &tls.Config{
		Certificates: []tls.Certificate{c.certificate},
		ClientAuth:   tls.RequestClientCert,
		ClientCAs:    s.clients.named,
		MinVersion:   tls.VersionTLS12,
	})
	if err := c.tls.HandshakeContext(ctx); err != nil {
		s.log.Debug("tls handshake", "remote", c.raw.RemoteAddr().String(), "error", err)
		return false
	}
	subject, err := s.clients.verify(c.tls.ConnectionState())
	if err != nil {
		s.log.Warn("client certificate refused", "remote", c.raw.RemoteAddr().String(), "error", err)
		return false
	}
	c.subject = subject
	if a, ok := c.raw.RemoteAddr().(*net.TCPAddr); ok {
		c.local = a.IP.IsLoopback()
	}
	return true
}
