// Package probe asks the global endpoint which zone answers there, once by each resolver.
//
// Every probe asks DNS anew and opens a connection of its own, so that it sees where the record points now and not where an older
// connection still leads. A zone is believed only when TLS proves the endpoint's name, the nonce of the question comes back and the
// environment is ours. The package decides nothing: what several probes mean together is for pkg/maintenance.
//
// What a zone answers at /.well-known/aporeto/zone is described in docs/auto-maintenance.md. Proxy settings of the process are not
// used: behind a proxy it would be the proxy that resolves the record.
package probe

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// path is where every gateway says which zone it is, in every state.
const path = "/.well-known/aporeto/zone"

// Bounds in bytes: of an answer (an honest one has some 200), and of the text of an error, which may quote a stranger.
const (
	maxBody  = 64 << 10
	maxError = 300
)

// Kind classes what went wrong with a probe.
type Kind string

// The kinds, in the order in which a probe can meet them. OK means that a zone answered.
const (
	OK          Kind = ""
	DNS         Kind = "dns"                 // the name was not resolved
	Connect     Kind = "connect"             // no address took the connection
	TLS         Kind = "tls"                 // the handshake failed, or the certificate proves another name
	HTTP        Kind = "http"                // no answer, or another status than 200; redirects are not followed
	Malformed   Kind = "malformed"           // the answer is too long, no JSON object, or says nothing usable
	Environment Kind = "foreign-environment" // somebody else's platform answered
	Nonce       Kind = "nonce"               // the answer is not one to this question: a cache's, perhaps
)

// Result is what one resolver's way to the endpoint led to.
type Result struct {
	Resolver string // as given, or SystemResolver
	Address  string // host:port that was connected to; "" when none was
	Zone     string // zone key; "" unless Kind is OK
	State    string // the answering gateway's state, such as Active or Locked
	Epoch    int64  // lease epoch that it knows
	Kind     Kind
	Err      error         // nil exactly when Kind is OK
	Took     time.Duration // from the lookup to the verdict
}

// failure is an error with its kind.
type failure struct {
	kind Kind
	err  error
}

func (f *failure) Error() string { return clip(f.err.Error(), maxError) }
func (f *failure) Unwrap() error { return f.err }

func failuref(kind Kind, format string, args ...any) error {
	return &failure{kind: kind, err: fmt.Errorf(format, args...)}
}

// Prober asks one endpoint. It keeps nothing between two rounds.
type Prober struct {
	endpoint endpoint
	opts     Options
}

// New returns a prober for o, or every problem of o.
func New(o Options) (*Prober, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	e, err := parseEndpoint(o.Endpoint)
	if err != nil {
		return nil, err
	}
	if len(o.Resolvers) == 0 {
		o.Resolvers = []string{SystemResolver}
	}
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	return &Prober{endpoint: e, opts: o}, nil
}

// Round probes once by each resolver, side by side, and returns their results in the order of the resolvers. It takes at most the
// time limit of one probe.
func (p *Prober) Round(ctx context.Context) []Result {
	ctx, cancel := context.WithTimeout(ctx, p.opts.Timeout)
	defer cancel()
	results := make([]Result, len(p.opts.Resolvers))
	var wg sync.WaitGroup
	for i, resolver := range p.opts.Resolvers {
		wg.Go(func() { results[i] = p.probe(ctx, resolver) })
	}
	wg.Wait()
	return results
}

func (p *Prober) probe(ctx context.Context, resolver string) Result {
	began := time.Now()
	r := Result{Resolver: resolver}
	said, err := p.ask(ctx, resolver, &r.Address)
	if err == nil {
		r.Zone, r.State, r.Epoch = said.Zone, said.State, said.Epoch
	} else {
		f, ok := errors.AsType[*failure](err)
		if !ok {
			f = &failure{kind: HTTP, err: err}
		}
		r.Kind, r.Err = f.kind, f
	}
	r.Took = time.Since(began)
	return r
}

// ask makes one request on a connection of its own and judges its answer. It writes the address it connected to into address.
func (p *Prober) ask(ctx context.Context, resolver string, address *string) (answer, error) {
	nonce := newNonce()
	target := p.endpoint.url
	target.Path = path
	target.RawQuery = url.Values{"nonce": {nonce}}.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), http.NoBody)
	if err != nil {
		return answer{}, fmt.Errorf("make request to %q: %w", target.Host, err)
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", p.opts.UserAgent)
	// Connected beforehand and not by the transport, which at a time limit says only that it was over, not what took so long.
	conn, err := p.connect(ctx, resolver)
	if err != nil {
		return answer{}, err
	}
	defer conn.Close()
	*address = conn.RemoteAddr().String()
	transport := &http.Transport{
		DialTLSContext:         func(context.Context, string, string) (net.Conn, error) { return conn, nil },
		DisableKeepAlives:      true,
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxBody,
	}
	defer transport.CloseIdleConnections()
	// RoundTrip and not a client: nothing is followed, no cookie kept, nothing tried twice.
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return answer{}, failuref(HTTP, "answered %q", clip(resp.Status, maxQuote))
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	if err != nil {
		return answer{}, failuref(HTTP, "read answer: %w", err)
	}
	return judge(body, p.opts.Environment, nonce)
}

// connect resolves the endpoint by resolver, dials what it says and proves by TLS that the endpoint is there.
func (p *Prober) connect(ctx context.Context, resolver string) (net.Conn, error) {
	dialer := net.Dialer{Resolver: &net.Resolver{PreferGo: true}}
	host := p.endpoint.host
	if resolver != SystemResolver {
		dialer.Resolver.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, network, resolver)
		}
		if net.ParseIP(host) == nil && !strings.HasSuffix(host, ".") {
			host += "." // absolute: this machine's search list says nothing about another resolver's names
		}
	}
	raw, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(host, p.endpoint.port))
	if err != nil {
		if e, ok := errors.AsType[*net.DNSError](err); ok {
			return nil, failuref(DNS, "resolve: %w", e)
		}
		return nil, failuref(Connect, "%w", err)
	}
	conn := tls.Client(raw, &tls.Config{
		ServerName: strings.TrimSuffix(p.endpoint.host, "."), RootCAs: p.opts.Roots, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"},
	})
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = raw.Close() // the handshake's error is the one that counts
		return nil, failuref(TLS, "TLS handshake: %w", err)
	}
	return conn, nil
}

// newNonce returns 128 random bits in hexadecimal.
func newNonce() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}
