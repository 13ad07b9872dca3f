package gateway

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

const (
	// laneHeaderBytes is the longest request header that a lane takes.
	laneHeaderBytes = 8 << 10
	// patience is how long a service may take before its client is watched for going away. Most answers are there sooner, and the watch
	// would cost more than they do.
	patience = 20 * time.Millisecond
)

// lane carries the requests of one HTTP/1.1 client, one after the other, that direct passes on: those without a body to an http service.
// net/http's server, from which a connection comes with the first of them, reads on while it answers, by a goroutine for each request, so that
// it sees the client go; a lane looks only when an answer takes long. What is not for it goes back to that server with the connection,
// for good.
type lane struct {
	gateway *Gateway
	server  *http.Server // where the connection came from
	conn    net.Conn
	in      *bufio.Reader
	reply   reply
	context context.Context // of the first request, and with it of the connection
	tls     *tls.ConnectionState
	remote  string
	given   bool      // the connection was given back
	heard   []byte    // what was read for the request that comes next
	waits   time.Time // since when the connection's read deadline has been counting

	mu    sync.Mutex
	call  *call         // of the request under way
	looks chan struct{} // closed when the look at the client has ended; nil for none
	timer *time.Timer   // begins the look
}

// lanes are a gateway's.
type lanes struct {
	idle    time.Duration // for how long a client may be silent between two requests, at most
	bundles *bundles
	mu      sync.Mutex
	all     map[*lane]struct{}
	ended   bool
	wg      sync.WaitGroup
}

// add returns false when lanes have ended.
func (s *lanes) add(l *lane) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return false
	}
	if s.all == nil {
		s.all = map[*lane]struct{}{}
	}
	s.all[l] = struct{}{}
	s.wg.Add(1)
	return true
}

func (s *lanes) drop(l *lane) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.all, l)
	s.wg.Done()
}

func (s *lanes) over() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ended
}

// stop closes the connections that wait for a request, and has the others closed behind the answer that is under way.
func (s *lanes) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	for l := range s.all {
		_ = l.conn.SetReadDeadline(past())
	}
}

// wait waits until no lane is left, and cuts those that are when ctx ends. It comes after stop.
func (s *lanes) wait(ctx context.Context) {
	done := make(chan struct{})
	go func() { defer close(done); s.wg.Wait() }()
	select {
	case <-done:
	case <-ctx.Done():
		s.mu.Lock()
		defer s.mu.Unlock()
		for l := range s.all {
			l.abandon()
		}
	}
}

// past returns a deadline that has passed.
func past() time.Time { return time.Unix(1, 0) }

// lane takes the connection of r over, and returns a lane whose first request r is, and its route; nil where r, or the connection, is not for one.
func (g *Gateway) lane(w http.ResponseWriter, r *http.Request) (*lane, *Route) {
	if r.ProtoMajor != 1 || r.ProtoMinor != 1 || r.Close || r.Body != http.NoBody || !bodyless(r.Method) || g.leaving.Load() {
		return nil, nil
	}
	if _, back := r.Context().Value(connKey{}).(*returned); back {
		return nil, nil
	}
	route := g.laneRoute(r)
	server, _ := r.Context().Value(http.ServerContextKey).(*http.Server)
	if route == nil || server == nil {
		return nil, nil
	}
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, nil
	}
	l := &lane{gateway: g, server: server, conn: conn, context: r.Context(), tls: r.TLS, remote: r.RemoteAddr}
	read, _ := buffered.Peek(buffered.Reader.Buffered())
	l.in = bufio.NewReaderSize(&replayed{Reader: conn, first: read}, laneHeaderBytes)
	l.reply = reply{outlet: outlet{out: bufio.NewWriterSize(conn, replyBytes), bundles: g.lanes.bundles}, header: http.Header{}}
	if t, is := conn.(*tls.Conn); is {
		l.reply.bundle, _ = t.NetConn().(*bundled)
	}
	l.timer = time.AfterFunc(time.Hour, l.look)
	l.timer.Stop()
	return l, route
}

// laneRoute returns the route of a request that a lane takes, nil for others.
func (g *Gateway) laneRoute(r *http.Request) *Route {
	if _, own := g.surface[r.URL.Path]; own || !oneLine(r) {
		return nil
	}
	route := g.proxy.routes.Match(r.Host, r.URL.Path)
	if route == nil || !g.proxy.direct.takes(r, route) {
		return nil
	}
	return route
}

// run answers r, for which pass was given, and the requests that follow.
func (l *lane) run(r *http.Request, route *Route, pass Pass) {
	defer func() {
		if !l.given {
			l.conn.Close()
		}
	}()
	if !l.gateway.lanes.add(l) {
		pass.Leave()
		return
	}
	defer l.gateway.lanes.drop(l)
	for {
		l.answer(r, route, pass)
		if l.reply.close {
			return
		}
		var ok bool
		if r, route, pass, ok = l.next(); !ok {
			return
		}
	}
}

// answer answers one request. It panics with http.ErrAbortHandler where the client must not take what it has for an answer.
func (l *lane) answer(r *http.Request, route *Route, pass Pass) {
	defer pass.Leave()
	l.reply.begin(r.Method)
	f := &fencedWriter{ResponseWriter: &l.reply, passage: passage{pass: pass}, conn: l.conn, leaving: &l.gateway.leaving, onCut: l.gateway.metrics.cut}
	defer func() { l.gateway.metrics.request(f.code) }()
	c := &call{}
	l.watch(c)
	defer l.unwatch()
	f.serveDirect(l.gateway.proxy.direct, r, route, c)
}

// next returns the next request with its pass. It returns false when there is none: the client has gone, or the connection was given back.
func (l *lane) next() (*http.Request, *Route, Pass, bool) {
	idle := l.gateway.lanes.idle
	if now := time.Now(); now.Sub(l.waits) > idle/16 { // setting it costs; nobody counts by the second
		l.waits = now
		_ = l.conn.SetReadDeadline(now.Add(idle))
	}
	if l.gateway.lanes.over() { // looked at after the deadline was set: stop does it in the other order
		return nil, nil, Pass{}, false
	}
	if _, err := l.in.Peek(1); err != nil {
		return nil, nil, Pass{}, false
	}
	waiting, _ := l.in.Peek(l.in.Buffered())
	l.heard = append(l.heard[:0], waiting...)
	n := simple(waiting)
	if n == 0 || l.gateway.leaving.Load() {
		l.giveBack()
		return nil, nil, Pass{}, false
	}
	r, err := http.ReadRequest(l.in)
	if err != nil || r.Body != http.NoBody || len(waiting)-l.in.Buffered() != n {
		l.giveBack()
		return nil, nil, Pass{}, false
	}
	r = r.WithContext(l.context)
	r.RemoteAddr, r.TLS = l.remote, l.tls
	if route := l.gateway.laneRoute(r); route != nil {
		if pass, open := l.gateway.gate.Enter(); open {
			return r, route, pass, true
		}
	}
	l.giveBack()
	return nil, nil, Pass{}, false
}

// giveBack lets net/http's server go on with the connection, from what was heard on.
func (l *lane) giveBack() {
	_ = l.conn.SetReadDeadline(time.Time{})
	back := &returned{Conn: l.conn, read: replayed{Reader: l.conn, first: append([]byte(nil), l.heard...)}, tls: l.tls}
	listener := &oneConn{conn: back}
	_ = l.server.Serve(listener) // ends at once: there is one connection, whose goroutine is the server's
	l.given = listener.taken     // else the server has ended
}

// abandon ends the lane, and the request under way.
func (l *lane) abandon() {
	cutConn(l.conn)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.call != nil {
		l.call.end()
	}
}

// watch has c ended when the client goes away, until unwatch.
func (l *lane) watch(c *call) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.call = c
	l.timer.Reset(patience)
}

// look waits for the client to say something, or to go.
func (l *lane) look() {
	l.mu.Lock()
	c := l.call
	if c == nil || l.looks != nil { // too late for one request, or early for the next
		l.mu.Unlock()
		return
	}
	done := make(chan struct{})
	l.looks = done
	_ = l.conn.SetReadDeadline(time.Time{}) // the answer may take longer than the client may be silent between two requests
	l.mu.Unlock()
	defer close(done)
	if _, err := l.in.Peek(1); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) { // which is unwatch, or stop
		c.end()
	}
}

func (l *lane) unwatch() {
	l.timer.Stop()
	l.mu.Lock()
	done := l.looks
	l.call, l.looks = nil, nil
	l.mu.Unlock()
	if done == nil {
		return
	}
	_ = l.conn.SetReadDeadline(past())
	<-done
	l.waits = time.Time{} // it is set again before the next read
}

// replayed reads what was read before, then on.
type replayed struct {
	io.Reader
	first []byte
}

func (r *replayed) Read(p []byte) (int, error) {
	if len(r.first) > 0 {
		n := copy(p, r.first)
		r.first = r.first[n:]
		return n, nil
	}
	return r.Reader.Read(p)
}

// returned is a connection that a lane gave back. net/http takes it for one without TLS: what its requests say of TLS comes from here.
type returned struct {
	net.Conn
	read replayed
	tls  *tls.ConnectionState
}

func (c *returned) Read(p []byte) (int, error) { return c.read.Read(p) }

// oneConn is a listener to which one connection comes.
type oneConn struct {
	conn  net.Conn
	taken bool
}

var errNoMore = errors.New("there is one connection only")

// Accept, Close and Addr are those of net.Listener.
func (o *oneConn) Accept() (net.Conn, error) {
	if o.taken {
		return nil, errNoMore
	}
	o.taken = true
	return o.conn, nil
}

// Close closes nothing.
func (o *oneConn) Close() error { return nil }

// Addr is the connection's.
func (o *oneConn) Addr() net.Addr { return o.conn.LocalAddr() }
