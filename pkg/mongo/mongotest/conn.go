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

// conn is one client connection: read, run, answer, one request at a time.
type conn struct {
	server *Standin
	router *router
	raw    net.Conn
	tls    *tls.Conn
	id     int32
	// subject is the DN of the verified certificate.
	subject string
	// local is true on a loopback connection: the localhost exception asks.
	local bool

	// user is who logged in (name@db), empty before; privs caches what the user
	// may do as of the store's auth counter.
	user    string
	userDB  string
	privs   []privilege
	privsAt uint64
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
		m, err := readMessage(c.tls)
		if err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
				c.server.log.Debug("connection ended", "subject", c.subject, "error", err)
			}
			return
		}
		// A partition holds the request back; it may arrive late, as on a network.
		if c.router.gate.wait(c.server.ctx) != nil {
			return
		}
		doc, out := c.server.handle(c, m)
		if out.drop {
			return
		}
		if m.noReply {
			continue
		}
		if wait(c.server.ctx, out.delay) != nil || c.router.gate.wait(c.server.ctx) != nil {
			return
		}
		reply, err := encodeReply(m, c.server.requestID.Add(1), doc)
		if err != nil {
			c.server.log.Error("reply", "error", err)
			return
		}
		if _, err := c.tls.Write(reply); err != nil {
			return
		}
	}
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
		Certificates: []tls.Certificate{s.cfg.Certificate},
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
