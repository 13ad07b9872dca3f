package gateway

import (
	"bufio"
	"context"
	"errors"
	"math"
	"net"
	"sync"
	"time"
)

const (
	maxIdlePerHost = 256
	unlimited      = math.MaxInt64
)

// errOver ends what a cut, or the client's going away, ended.
var errOver = errors.New("the request is over")

// call is a request's hold on the connection that it uses: ending the call ends whatever it waits for there.
type call struct {
	mu     sync.Mutex
	ended  bool
	conn   *upstreamConn
	cancel context.CancelFunc // of a dialling
}

// end closes the connection, and keeps the call from using another.
func (c *call) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	if c.cancel != nil {
		c.cancel()
	}
	if c.conn != nil {
		c.conn.Close()
	}
}

// hold takes hold of conn, unless the call is over.
func (c *call) hold(conn *upstreamConn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conn = conn
	return !c.ended
}

// dialling returns a context that ends with the call.
func (c *call) dialling(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cancel = cancel; c.ended {
		cancel()
	}
	return ctx, cancel
}

// release lets go of the connection: nothing ends it any more. It returns false when something has ended it already.
func (c *call) release() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conn = nil
	return !c.ended
}

func (c *call) over() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ended
}

// upstreamConn is a connection to a service that carries one request at a time.
type upstreamConn struct {
	net.Conn
	address string
	reader  *bufio.Reader
	head    []byte // for the header of a request
	limit   int64  // bytes that may still be read, of an answer's header
	idle    time.Time
	quiet   func() bool // whether the service has neither closed the connection nor said anything on it
}

// Read reads as much as the limit allows.
func (c *upstreamConn) Read(p []byte) (int, error) {
	if c.limit <= 0 {
		return 0, errors.New("too long")
	}
	n, err := c.Conn.Read(p[:min(int64(len(p)), c.limit)])
	if c.limit != unlimited {
		c.limit -= int64(n)
	}
	return n, err
}

// pool keeps the connections to services that nobody uses.
type pool struct {
	dialer net.Dialer
	mu     sync.Mutex
	idle   map[string][]*upstreamConn // by address, the latest last
	sweeps bool                       // a sweep is due
}

func newPool() *pool {
	return &pool{dialer: net.Dialer{KeepAlive: 15 * time.Second}, idle: map[string][]*upstreamConn{}}
}

// get returns a connection that c holds: the one that was used last, or a new one.
func (p *pool) get(ctx context.Context, c *call, address string) (*upstreamConn, error) {
	for conn := p.take(address); conn != nil; conn = p.take(address) {
		if time.Since(conn.idle) < upstreamIdle && conn.quiet() {
			if !c.hold(conn) {
				conn.Close()
				return nil, errOver
			}
			return conn, nil
		}
		conn.Close()
	}
	ctx, cancel := c.dialling(ctx)
	defer cancel()
	raw, err := p.dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	conn := &upstreamConn{Conn: raw, address: address, limit: unlimited, quiet: quiet(raw)}
	conn.reader = bufio.NewReader(conn)
	if !c.hold(conn) {
		conn.Close()
		return nil, errOver
	}
	return conn, nil
}

func (p *pool) take(address string) *upstreamConn {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := p.idle[address]
	if len(list) == 0 {
		return nil
	}
	conn := list[len(list)-1]
	list[len(list)-1] = nil
	p.idle[address] = list[:len(list)-1]
	return conn
}

// put keeps a connection whose answer was read to its end. It returns false when it does not.
func (p *pool) put(conn *upstreamConn) bool {
	if conn.reader.Buffered() > 0 {
		return false // the service said more than its answer
	}
	conn.idle = time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.idle[conn.address]) >= maxIdlePerHost {
		return false
	}
	p.idle[conn.address] = append(p.idle[conn.address], conn)
	if !p.sweeps {
		p.sweeps = true
		time.AfterFunc(upstreamIdle, p.sweep)
	}
	return true
}

// sweep closes what was idle for too long, and comes again while there is something to close later.
func (p *pool) sweep() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sweeps = false
	for address, list := range p.idle {
		old := 0
		for old < len(list) && time.Since(list[old].idle) >= upstreamIdle {
			list[old].Close()
			old++
		}
		if old == len(list) {
			delete(p.idle, address)
			continue
		}
		p.idle[address] = append([]*upstreamConn(nil), list[old:]...)
		if !p.sweeps {
			p.sweeps = true
			time.AfterFunc(upstreamIdle, p.sweep)
		}
	}
}
