package gateway

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
)

// errFenced ends a proxied request whose opening is over.
var errFenced = errors.New("the gate closed")

// Kinds of what a fence cuts, as the metric names them.
const (
	kindRequest  = "request"
	kindUpgraded = "upgraded"
)

// fencedWriter passes a response on while its request's opening holds.
type fencedWriter struct {
	http.ResponseWriter
	passage  passage
	code     int                      // of the answer, 0 while there is none
	conn     net.Conn                 // the client's, where it carries this request alone: HTTP/1
	upgraded atomic.Pointer[net.Conn] // the client's, once it was handed over
	leaving  *atomic.Bool             // whether this replica goes away
	onCut    func(kind string)
	counted  atomic.Bool
	request  underWay
	stop     func() // ends what is under way towards the service

	mu    sync.Mutex
	ended bool // the handler's: what the client's connection carries now is nothing of this request
}

// connKey is under which a request's context carries its connection.
type connKey struct{}

// serve proxies r until it ends or the opening does, whichever is first.
func (f *fencedWriter) serve(next http.Handler, r *http.Request) {
	ctx, cancel := context.WithCancel(context.WithValue(r.Context(), passageKey{}, &f.passage))
	defer cancel()
	if r.ProtoMajor == 1 {
		f.conn, _ = r.Context().Value(connKey{}).(net.Conn)
	}
	f.watch(cancel)
	defer f.over()
	r = r.WithContext(ctx)
	if r.Body != nil && r.Body != http.NoBody {
		// Bodies stream both ways at once where the service wants it. HTTP/2 does so anyway, and has nothing to enable.
		_ = http.NewResponseController(f.ResponseWriter).EnableFullDuplex()
		body := &fencedBody{ReadCloser: r.Body, request: f}
		r.Body = body
		defer func() {
			if r.ProtoMajor == 1 && !body.ended.Load() && f.upgraded.Load() == nil {
				limitRest(f.ResponseWriter)
			}
		}()
	}
	next.ServeHTTP(f, r)
	if f.upgraded.Load() == nil && !f.deliver() {
		panic(http.ErrAbortHandler)
	}
}

// deliver sends what is still held of the answer, where a cut ends it: net/http would do so after its handler. It returns false where the
// client must not take what it has for an answer.
func (f *fencedWriter) deliver() bool {
	if !f.alive() {
		return false
	}
	if own, is := f.ResponseWriter.(*reply); is {
		return own.finish() == nil
	}
	if f.code == 0 {
		return true // there is no answer
	}
	err := http.NewResponseController(f.ResponseWriter).Flush()
	return err == nil || errors.Is(err, http.ErrNotSupported)
}

// watch has the request cut when its opening is, until over. stop ends what is under way towards the service.
func (f *fencedWriter) watch(stop func()) {
	f.stop, f.request.end = stop, f.cut
	f.passage.pass.watch(&f.request)
}

// over ends the watch.
func (f *fencedWriter) over() {
	f.passage.pass.forget(&f.request)
	// A piece saw the deadline before the keeper cut. Left to itself net/http would first read what the client goes on sending, and might
	// send what it has buffered.
	if f.counted.Load() {
		f.cut()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ended = true
}

// alive tells whether the opening still holds. Where it does not, the request is one that was cut.
func (f *fencedWriter) alive() bool {
	if f.passage.pass.Alive() {
		return true
	}
	f.count()
	return false
}

// count counts the request as cut, once: pieces of it see the deadline by themselves, before or after the keeper cuts.
func (f *fencedWriter) count() {
	switch {
	case f.counted.Swap(true):
	case f.upgraded.Load() != nil:
		f.onCut(kindUpgraded)
	default:
		f.onCut(kindRequest)
	}
}

// cut ends the request at once, whatever it waits for. It may come when the request has just ended by itself.
func (f *fencedWriter) cut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended {
		return
	}
	f.stop()
	f.count()
	if conn := f.upgraded.Load(); conn != nil {
		cutConn(*conn)
		return
	}
	if f.conn != nil {
		cutConn(f.conn) // net/http sets deadlines of its own on it, which may undo ours
		return
	}
	// A copy that waits for a slow client, or for more of a body, must end too.
	control := http.NewResponseController(f.ResponseWriter)
	_ = control.SetWriteDeadline(past())
	_ = control.SetReadDeadline(past())
}

// WriteHeader sends the status unless the opening is over.
func (f *fencedWriter) WriteHeader(code int) {
	if !f.alive() {
		panic(http.ErrAbortHandler)
	}
	f.code = code
	if f.leaving.Load() && code >= http.StatusOK {
		f.Header().Set("Connection", "close") // it may not have been leaving when the request came
	}
	f.ResponseWriter.WriteHeader(code)
}

// Write sends a piece of the body unless the opening is over.
func (f *fencedWriter) Write(p []byte) (int, error) {
	if !f.alive() {
		return 0, errFenced
	}
	return f.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController reach the connection for flushes and deadlines.
func (f *fencedWriter) Unwrap() http.ResponseWriter { return f.ResponseWriter }

// Hijack hands the connection of an upgrade (websockets) over, fenced like everything else.
func (f *fencedWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffer, err := http.NewResponseController(f.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	f.code = http.StatusSwitchingProtocols
	f.upgraded.Store(&conn)
	if !f.alive() {
		cutConn(conn) // the cut may have come before the connection was known
	}
	return &fencedConn{Conn: conn, request: f}, buffer, nil
}

// cutConn closes conn, whatever it is wrapped in, without the farewell of TLS, which waits for a peer that does not read.
func cutConn(conn net.Conn) {
	if back, ok := conn.(*returned); ok {
		conn = back.Conn
	}
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	conn.Close()
}

// fencedBody is a request's body that ends with its opening.
type fencedBody struct {
	io.ReadCloser
	request *fencedWriter
	ended   atomic.Bool
}

func (b *fencedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if !b.request.alive() {
		return 0, errFenced // what arrived after the deadline must not reach the service
	}
	switch {
	case err == io.EOF:
		b.ended.Store(true)
		b.request.passage.bodyEnded()
	case err != nil:
		b.request.passage.spoil.Store(true)
	}
	return n, err
}

// fencedConn is a hijacked client connection that ends with its opening.
type fencedConn struct {
	net.Conn
	request *fencedWriter
}

func (c *fencedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if !c.request.alive() {
		return 0, errFenced
	}
	return n, err
}

func (c *fencedConn) Write(p []byte) (int, error) {
	if !c.request.alive() {
		return 0, errFenced
	}
	return c.Conn.Write(p)
}
