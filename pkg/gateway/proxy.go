package gateway

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http/httpguts"
)

// Limits of connections to the services.
const (
	dialTime = 5 * time.Second
	// upstreamIdle is shorter than what services commonly keep idle connections for (5 s in Node.js, longer elsewhere): a request that meets
	// its connection's end is not sent again.
	upstreamIdle        = 4 * time.Second
	upstreamHeaderBytes = 256 << 10
)

// passage is what a proxied request carries in its context.
type passage struct {
	pass  Pass
	route *Route
	sent  atomic.Bool // its header may have reached the service
	spoil atomic.Bool // its body could not be read from the client
	// Trailers as they come in and as they go on, nil for none. Those that come in have their values when the body is at its end.
	trailers, onward http.Header
}

// keepTrailers lets the trailers that the client announced go on, but for what clean takes from headers.
func (p *passage) keepTrailers(in, out *http.Request, clean hygiene) {
	if len(in.Trailer) == 0 {
		return
	}
	p.trailers, p.onward = in.Trailer, http.Header{}
	for name := range in.Trailer {
		if !clean.spoofs(name) {
			p.onward[name] = nil
		}
	}
	out.Trailer = p.onward
}

// bodyEnded passes the trailers' values on.
func (p *passage) bodyEnded() {
	for name := range p.onward {
		p.onward[name] = p.trailers[name]
	}
}

type passageKey struct{}

func passageOf(ctx context.Context) *passage {
	p, _ := ctx.Value(passageKey{}).(*passage)
	return p
}

// proxy passes requests on by route. It answers 404 where no route fits and 502 where the service does not answer.
type proxy struct {
	routes  Routes
	reverse *httputil.ReverseProxy
	direct  *direct
}

func newProxy(routes Routes, upstreamCA *x509.CertPool, clean hygiene, log *slog.Logger) *proxy {
	transport := newOnceTransport(&http.Transport{
		DialContext:            (&net.Dialer{Timeout: dialTime, KeepAlive: 15 * time.Second}).DialContext,
		TLSClientConfig:        &tls.Config{RootCAs: upstreamCA, MinVersion: tls.VersionTLS12},
		ForceAttemptHTTP2:      true,
		MaxIdleConns:           1024,
		MaxIdleConnsPerHost:    256,
		IdleConnTimeout:        upstreamIdle,
		TLSHandshakeTimeout:    dialTime,
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: upstreamHeaderBytes,
		DisableCompression:     true, // bodies pass as they are
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTime},
	})
	pieces, complaints := newBuffers(), &complaints{log: log}
	reverse := &httputil.ReverseProxy{
		Transport:     transport,
		FlushInterval: -1, // server-sent events and other streams
		BufferPool:    pieces,
		ErrorLog:      slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		// Rewrite, unlike Director, comes after the hop-by-hop headers are gone: no Connection header can name away what it sets.
		Rewrite: func(p *httputil.ProxyRequest) {
			target := passageOf(p.In.Context()).route.target
			p.SetURL(target)
			p.Out.URL.RawQuery = p.In.URL.RawQuery // as it came; the gateway reads nothing from it
			p.Out.Host = p.In.Host
			clean.scrub(p.Out.Header)
			keepUpgrade(p.Out.Header)
			p.SetXForwarded()
			clean.tellCertificate(p.In, p.Out.Header, target)
			passageOf(p.In.Context()).keepTrailers(p.In, p.Out, clean)
		},
		ModifyResponse: func(r *http.Response) error {
			if r.StatusCode < http.StatusContinue {
				return noStatus(r)
			}
			if len(r.Trailer) > 0 && r.Request.ProtoMajor == 1 {
				r.Header.Del("Content-Length") // HTTP/1 has trailers only behind chunks
			}
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if r.Context().Err() != nil || errors.Is(err, errFenced) {
				panic(http.ErrAbortHandler) // cut, or the client left: no answer may say whether the service acted
			}
			if passageOf(r.Context()).spoil.Load() {
				problem(w, http.StatusBadRequest, "Bad Request", "The request's body is not well-formed.")
				return
			}
			complaints.badGateway(w, r, passageOf(r.Context()).route, err)
		},
	}
	return &proxy{routes: routes, reverse: reverse, direct: &direct{pool: newPool(), buffers: pieces, clean: clean, complaints: complaints}}
}

// serve passes r on and its answer back, through f.
func (p *proxy) serve(f *fencedWriter, r *http.Request) {
	if !oneLine(r) {
		problem(f, http.StatusBadRequest, "Bad Request", "The request's method or target is malformed.")
		return
	}
	if r.ContentLength == 0 && passes(r.Method) {
		if route := p.routes.Match(r.Host, r.URL.Path); route != nil && p.direct.takes(r, route) {
			if r.ProtoMajor == 1 {
				f.conn, _ = r.Context().Value(connKey{}).(net.Conn)
			}
			c := &call{}
			defer context.AfterFunc(r.Context(), c.end)() // the client left
			f.serveDirect(p.direct, r, route, c)
			return
		}
	}
	f.serve(p, r)
}

// oneLine tells whether r's method and target stay what they are in HTTP/1's request line. In HTTP/2 either may hold a space, behind which a
// lenient service would see another target; net/http lets both through.
func oneLine(r *http.Request) bool {
	for _, c := range []byte(r.RequestURI) {
		if c <= ' ' || c == 0x7f {
			return false
		}
	}
	return httpguts.ValidHeaderFieldName(r.Method) // both are tokens
}

// passes tells whether requests of method are proxied at all.
func passes(method string) bool { return method != http.MethodConnect && method != http.MethodTrace }

// ServeHTTP proxies r, whose context carries a passage.
func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !passes(r.Method) {
		problem(w, http.StatusMethodNotAllowed, "Method Not Allowed", "The gateway does not pass "+r.Method+".")
		return
	}
	route := p.routes.Match(r.Host, r.URL.Path)
	if route == nil {
		problem(w, http.StatusNotFound, "Not Found", "No service of this control plane has this address.")
		return
	}
	passageOf(r.Context()).route = route
	noGuess(w.Header())
	p.reverse.ServeHTTP(w, r)
}

// buffers are what bodies are copied through.
type buffers struct{ pool sync.Pool }

const bufferSize = 32 << 10

func newBuffers() *buffers {
	return &buffers{pool: sync.Pool{New: func() any { return new([bufferSize]byte) }}}
}

// Get and Put are those of httputil.BufferPool.
func (b *buffers) Get() []byte {
	buffer, _ := b.pool.Get().(*[bufferSize]byte)
	return buffer[:]
}

// Put takes a buffer back that Get returned.
func (b *buffers) Put(buffer []byte) { b.pool.Put((*[bufferSize]byte)(buffer)) }
