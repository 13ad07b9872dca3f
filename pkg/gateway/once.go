package gateway

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptrace"
	"net/url"
)

// errSent ends a second attempt at what may have reached the service.
var errSent = errors.New("the service closed the connection without an answer; what was sent is not sent again")

// onceTransport sends a request at most once. http.Transport by itself sends idempotent ones again when a reused connection ends
// without an answer, though the service may have acted: behind a gate, the second time could come after the deadline.
//
// It relies on documented behaviour: the transport asks its Proxy function before every attempt, gives up when that returns an error, and
// reports WroteHeaders before anything can have reached the service. What never went out may go out by another connection.
// Within HTTP/2 the transport repeats by itself what a service refused (RFC 9113, section 8.7), seconds later if need be; it tells of every
// attempt's connection beforehand, and writes nothing for a request whose context has ended.
type onceTransport struct{ *http.Transport }

func newOnceTransport(t *http.Transport) onceTransport {
	t.Proxy = func(r *http.Request) (*url.URL, error) {
		if p := passageOf(r.Context()); p != nil && p.sent.Load() {
			return nil, errSent
		}
		return nil, nil //nolint:nilnil // Proxy's way to say: none
	}
	return onceTransport{t}
}

// RoundTrip sends r, whose context carries a passage.
func (t onceTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	p := passageOf(r.Context())
	if p == nil {
		return nil, errors.New("a request outside the gate")
	}
	if !p.pass.Alive() {
		return nil, errFenced
	}
	ctx, end := context.WithCancelCause(r.Context()) // else it ends with the request's own: the answer's body needs it
	trace := &httptrace.ClientTrace{
		WroteHeaders: func() { p.sent.Store(true) },
		GotConn: func(httptrace.GotConnInfo) {
			if p.sent.Load() {
				end(errSent)
			}
		},
	}
	return t.Transport.RoundTrip(r.WithContext(httptrace.WithClientTrace(ctx, trace)))
}
