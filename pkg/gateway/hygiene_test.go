package gateway

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// wire is a service that records the bytes of what it gets, and answers each request.
type wire struct {
	address string
	mu      sync.Mutex
	heads   []string
}

func newWire(t *testing.T) *wire {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	s := &wire{address: listener.Addr().String()}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go s.serve(conn)
		}
	}()
	return s
}

func (s *wire) serve(conn net.Conn) {
	defer conn.Close()
	reader := bufio.NewReader(conn)
	var head strings.Builder
	recording := bufio.NewReader(io.TeeReader(reader, &head))
	r, err := http.ReadRequest(recording)
	if err != nil {
		return
	}
	text, _, _ := strings.Cut(head.String(), "\r\n\r\n")
	s.mu.Lock()
	s.heads = append(s.heads, text)
	s.mu.Unlock()
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return
	}
	fmt.Fprint(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
}

func (s *wire) got() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.heads)
}

// TestWhatGoesUpstream sends raw requests over HTTP/1.1 and looks at the client's answer and at the bytes that reach the service: as a
// connection's first request, which net/http's server reads, and as its second, which a lane reads.
func TestWhatGoesUpstream(t *testing.T) {
	const (
		chunked = "Transfer-Encoding: chunked\r\n"
		body    = "5\r\nhello\r\n0\r\n\r\n"
	)
	type check struct {
		request string
		code    int      // of the answer
		reaches int      // requests that the service gets
		has     []string // lines
		hasNot  []string // beginnings of lines, in lower case
	}
	for name, c := range map[string]check{
		// Smuggling. The gateway relies on Go's server here; it parses, and what goes on is written anew.
		"length beside chunks": {request: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n" + chunked + "\r\n" + body, code: 200, reaches: 1,
			has: []string{"Transfer-Encoding: chunked"}, hasNot: []string{"content-length"}},
		"two lengths":            {request: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\nhello", code: 400},
		"signed length":          {request: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello", code: 400},
		"unknown coding":         {request: "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n" + body, code: 501},
		"coding hidden by case":  {request: "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\nContent-Length: 5\r\n\r\nhello", code: 501},
		"coding twice":           {request: "POST / HTTP/1.1\r\nHost: a\r\n" + chunked + chunked + "\r\n" + body, code: 501},
		"space before the colon": {request: "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n" + body, code: 400},
		"bad chunk size":         {request: "POST / HTTP/1.1\r\nHost: a\r\n" + chunked + "\r\nzz\r\nhello\r\n0\r\n\r\n", code: 400},
		"chunk without end":      {request: "POST / HTTP/1.1\r\nHost: a\r\n" + chunked + "\r\n5\r\nhelloXX0\r\n\r\n", code: 400},
		"folded header": {request: "GET / HTTP/1.1\r\nHost: a\r\nX-A: one\r\n Transfer-Encoding: chunked\r\n\r\n", code: 200, reaches: 1,
			has: []string{"X-A: one Transfer-Encoding: chunked"}, hasNot: []string{"transfer-encoding"}},
		"bare CR":          {request: "GET / HTTP/1.1\r\nHost: a\r\nX-A: one\rX-Real-Ip: 6.6.6.6\r\n\r\n", code: 400},
		"NUL":              {request: "GET / HTTP/1.1\r\nHost: a\r\nX-A: one\x00\r\n\r\n", code: 400},
		"no host":          {request: "GET / HTTP/1.1\r\n\r\n", code: 400},
		"two hosts":        {request: "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", code: 400},
		"bad host":         {request: "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", code: 400},
		"too long a head":  {request: "GET / HTTP/1.1\r\nHost: a\r\nX-A: " + strings.Repeat("a", headerBytes+8<<10) + "\r\n\r\n", code: 431},
		"request in a GET": {request: "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 30\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n", code: 200, reaches: 1, has: []string{"Content-Length: 30"}},
		"connect":          {request: "CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", code: 405},
		"trace":            {request: "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", code: 405},
		// Routing.
		"absolute form": {request: "GET http://a/x HTTP/1.1\r\nHost: other\r\n\r\n", code: 200, reaches: 1, has: []string{"GET /x HTTP/1.1", "Host: a"}},
		"another host":  {request: "GET /x HTTP/1.1\r\nHost: other\r\n\r\n", code: 404},
		"path and query as they are": {request: "GET //x/../%2e%2E/%2Fy;z?a;b&%zz=%&c=d HTTP/1.1\r\nHost: a\r\n\r\n", code: 200, reaches: 1,
			has: []string{"GET //x/../%2e%2E/%2Fy;z?a;b&%zz=%&c=d HTTP/1.1"}},
		// Headers.
		"spoofed": {request: "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Host: evil\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Port: 1\r\n" +
			"X-Forwarded-Prefix: /e\r\nX_Forwarded_For: 6.6.6.6\r\nx-forwarded_for: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\nX-Real-Ip: 6.6.6.6\r\nX_Real.Ip: 6.6.6.6\r\n" +
			"True-Client-Ip: 6.6.6.6\r\nX-Cert: forged\r\nX_cert: forged\r\nX-Kept: yes\r\n\r\n", code: 200, reaches: 1,
			has:    []string{"X-Forwarded-For: 127.0.0.1", "X-Forwarded-Host: a", "X-Forwarded-Proto: https", "X-Kept: yes"},
			hasNot: []string{"x-forwarded-for: 6", "x_", "x-forwarded_", "forwarded:", "x-real", "true-", "x-forwarded-port", "x-forwarded-prefix", "x-cert"}},
		"hop by hop": {request: "GET / HTTP/1.1\r\nHost: a\r\nConnection: X-Mine, X-Forwarded-For\r\nX-Mine: 1\r\nKeep-Alive: 5\r\nProxy-Connection: x\r\nProxy-Authorization: x\r\nTe: gzip\r\n\r\n",
			code: 200, reaches: 1, has: []string{"X-Forwarded-For: 127.0.0.1"}, hasNot: []string{"connection", "x-mine", "keep-alive", "proxy-", "te:"}},
		"h2c": {request: "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n", code: 200, reaches: 1,
			hasNot: []string{"upgrade", "connection", "http2-settings"}},
		"h2c beside a websocket": {request: "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n\r\n", code: 200, reaches: 1,
			has: []string{"Upgrade: websocket"}, hasNot: []string{"upgrade: h2c"}},
		"websocket": {request: "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\n\r\n", code: 200, reaches: 1,
			has: []string{"Connection: Upgrade", "Upgrade: websocket", "Sec-Websocket-Key: k"}},
	} {
		for _, second := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/second=%v", name, second), func(t *testing.T) {
				t.Parallel()
				upstream := newWire(t)
				l := newLab(t, http.NotFoundHandler(), func(cfg *Config) {
					cfg.CertHeader = "X-Cert"
					routes, err := ParseRoutes(fmt.Appendf(nil, `{"routes":[{"host":"a","path":"/","upstream":"http://%s"}]}`, upstream.address))
					if err != nil {
						t.Fatal(err)
					}
					cfg.Routes = routes
				})
				l.store.doc.Released = true // else the claim waits for W
				l.run(t)
				eventually(t, "gate open", l.isOpen)
				conn := dialRaw(t, l)
				reader := bufio.NewReader(conn)
				if second {
					fmt.Fprint(conn, "GET /first HTTP/1.1\r\nHost: a\r\n\r\n")
					if response, err := http.ReadResponse(reader, nil); err != nil || response.StatusCode != 200 || l.laneCount() != 1 {
						t.Fatalf("first: %v, %v, %d lanes", response, err, l.laneCount())
					}
				}
				go func() { _, _ = io.WriteString(conn, c.request) }() // the gateway may answer before it has it all
				response, err := http.ReadResponse(reader, nil)
				if err != nil {
					t.Fatal(err)
				}
				response.Body.Close()
				heads := upstream.got()
				if second {
					heads = heads[1:]
				}
				if response.StatusCode != c.code || c.code == 200 && len(heads) != c.reaches {
					t.Fatalf("answer %d, %d requests upstream: %q", response.StatusCode, len(heads), heads)
				}
				if c.code != 200 {
					return // what the service may have got is a request whose body never ends in order
				}
				lines := strings.Split(heads[0], "\r\n")
				for _, want := range c.has {
					if !slices.Contains(lines, want) {
						t.Errorf("no line %q in %q", want, lines)
					}
				}
				for _, line := range lines {
					for _, never := range c.hasNot {
						if strings.HasPrefix(strings.ToLower(line), never) {
							t.Errorf("line %q went upstream", line)
						}
					}
				}
			})
		}
	}
}

// dialRaw connects to the public address for what a test writes by itself. The connection is bounded by a deadline.
func dialRaw(t *testing.T, l *lab) *tls.Conn {
	t.Helper()
	conn, err := tls.Dial("tcp", strings.TrimPrefix(l.url, "https://"), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}}) //nolint:gosec // a test's certificate
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn
}

func (l *lab) laneCount() int {
	l.lanes.mu.Lock()
	defer l.lanes.mu.Unlock()
	return len(l.lanes.all)
}

// TestAuthorityRoutes: over HTTP/2 the route goes by :authority.
func TestAuthorityRoutes(t *testing.T) {
	t.Parallel()
	upstream := newWire(t)
	l := newLab(t, http.NotFoundHandler(), func(cfg *Config) {
		routes, err := ParseRoutes(fmt.Appendf(nil, `{"routes":[{"host":"a","path":"/","upstream":"http://%s"}]}`, upstream.address))
		if err != nil {
			t.Fatal(err)
		}
		cfg.Routes = routes
	})
	l.store.doc.Released = true
	l.run(t)
	eventually(t, "gate open", l.isOpen)
	for host, want := range map[string]int{"a": 200, "A:443": 200, "b": 404} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, l.url, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = host
		response, err := protocolClient(t, 2).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != want || response.ProtoMajor != 2 {
			t.Errorf(":authority %q: %s %d, want %d", host, response.Proto, response.StatusCode, want)
		}
	}
}

func TestFolds(t *testing.T) {
	for name, spoofs := range map[string]bool{
		"X-Forwarded-For": true, "X_FORWARDED_FOR": true, "X-Forwarded": true, "X.Forwarded.Anything": true, "Forwarded": true, "X-Real-Ip": true, "X_Real_Ip": true,
		"X-Cert": true, "x_cert": true, "X-Certificate": false, "Xcert": false, "X-Forward": false, "Host": false, "Accept": false, "Forwarded-By": false,
	} {
		if got := (hygiene{clientCert: "X-Cert"}).spoofs(name); got != spoofs {
			t.Errorf("%s: %v", name, got)
		}
	}
	header := http.Header{"X_forwarded_for": {"a"}, "Accept": {"b"}}
	hygiene{}.scrub(header)
	if names := slices.Collect(maps.Keys(header)); len(names) != 1 || names[0] != "Accept" {
		t.Errorf("left: %v", names)
	}
}
