package gateway

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"time"
)

type routeKey struct{}

// newProxy returns the reverse proxy by routes. It answers 404 where no route fits and 502 where the upstream does not answer.
func newProxy(routes Routes, upstreamCA *x509.CertPool, log *slog.Logger) http.Handler {
	transport := &http.Transport{
		DialContext:           (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
		TLSClientConfig:       &tls.Config{RootCAs: upstreamCA, MinVersion: tls.VersionTLS12},
		ForceAttemptHTTP2:     true,
		MaxIdleConns:          1024,
		MaxIdleConnsPerHost:   256,
		IdleConnTimeout:       90 * time.Second,
		TLSHandshakeTimeout:   5 * time.Second,
		ExpectContinueTimeout: time.Second,
		DisableCompression:    true, // bodies pass as they are
	}
	proxy := &httputil.ReverseProxy{
		Transport:     transport,
		FlushInterval: -1, // server-sent events and other streams
		ErrorLog:      slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		// Rewrite, unlike Director, drops every forwarding header that came in.
		Rewrite: func(p *httputil.ProxyRequest) {
			route, _ := p.In.Context().Value(routeKey{}).(*Route)
			p.SetURL(route.target)
			p.Out.Host = p.In.Host
			p.SetXForwarded()
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if r.Context().Err() != nil {
				panic(http.ErrAbortHandler) // cut, or the client left: no answer may say whether the service acted
			}
			log.WarnContext(r.Context(), "upstream does not answer", "host", r.Host, "path", r.URL.Path, "error", err)
			problem(w, http.StatusBadGateway, "Bad Gateway", "The service behind the gateway does not answer.")
		},
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		route := routes.Match(r.Host, r.URL.Path)
		if route == nil {
			problem(w, http.StatusNotFound, "Not Found", "No service of this control plane has this address.")
			return
		}
		proxy.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), routeKey{}, route)))
	})
}

// errFenced ends a proxied request whose opening is over.
var errFenced = errors.New("the gate closed")

// fencedWriter passes a response on while its request's opening holds.
type fencedWriter struct {
	http.ResponseWriter
	pass *Pass
	code int
}

func newFencedWriter(w http.ResponseWriter, pass *Pass) *fencedWriter {
	return &fencedWriter{ResponseWriter: w, pass: pass, code: http.StatusOK}
}

// serve proxies r until it ends or the opening does, whichever is first.
func (f *fencedWriter) serve(next http.Handler, r *http.Request) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	control := http.NewResponseController(f.ResponseWriter)
	stop := context.AfterFunc(f.pass.Context(), func() {
		cancel()
		// A copy that waits for a slow client, or for more of a body, must end too. Where the connection cannot do it, it was hijacked.
		past := time.Unix(1, 0)
		_ = control.SetWriteDeadline(past)
		_ = control.SetReadDeadline(past)
	})
	defer stop()
	r = r.WithContext(ctx)
	if r.Body != nil && r.Body != http.NoBody {
		r.Body = &fencedBody{ReadCloser: r.Body, pass: f.pass}
	}
	next.ServeHTTP(f, r)
}

func (f *fencedWriter) WriteHeader(code int) {
	if !f.pass.Alive() {
		panic(http.ErrAbortHandler)
	}
	f.code = code
	f.ResponseWriter.WriteHeader(code)
}

func (f *fencedWriter) Write(p []byte) (int, error) {
	if !f.pass.Alive() {
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
	fenced := &fencedConn{Conn: conn, pass: f.pass}
	fenced.stop = context.AfterFunc(f.pass.Context(), func() { conn.Close() })
	return fenced, buffer, nil
}

type fencedBody struct {
	io.ReadCloser
	pass *Pass
}

func (b *fencedBody) Read(p []byte) (int, error) {
	if !b.pass.Alive() {
		return 0, errFenced
	}
	return b.ReadCloser.Read(p)
}

// fencedConn is a hijacked client connection that ends with its opening.
type fencedConn struct {
	net.Conn
	pass *Pass
	stop func() bool
}

func (c *fencedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if !c.pass.Alive() {
		return 0, errFenced // what arrived after the deadline must not reach the service
	}
	return n, err
}

func (c *fencedConn) Write(p []byte) (int, error) {
	if !c.pass.Alive() {
		return 0, errFenced
	}
	return c.Conn.Write(p)
}

func (c *fencedConn) Close() error {
	c.stop()
	return c.Conn.Close()
}
