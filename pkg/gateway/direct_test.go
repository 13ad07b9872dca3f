package gateway

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// rawService answers every request with bytes. It counts its connections.
type rawService struct {
	address     string
	connections atomic.Int32
}

// newRawService calls answer for every request, until it returns false: then the connection is closed.
func newRawService(t *testing.T, answer func(conn net.Conn, r *http.Request) bool) *rawService {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	s := &rawService{address: listener.Addr().String()}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			s.connections.Add(1)
			go func() {
				defer conn.Close()
				reader := bufio.NewReader(conn)
				for {
					r, err := http.ReadRequest(reader)
					if err != nil || !answer(conn, r) {
						return
					}
				}
			}()
		}
	}()
	return s
}

// openLab is an open gateway in front of the service at address.
func openLab(t *testing.T, address string) *lab {
	t.Helper()
	l := newLab(t, http.NotFoundHandler(), func(cfg *Config) {
		var err error
		if cfg.Routes, err = ParseRoutes(fmt.Appendf(nil, `{"routes":[{"path":"/","upstream":"http://%s"}]}`, address)); err != nil {
			t.Fatal(err)
		}
	})
	l.store.doc.Released = true
	l.run(t)
	eventually(t, "gate open", l.isOpen)
	return l
}

// TestAnswersPass has a service answer in every form that a body's end can have, and sees that the client gets the same, and whether the
// connection is used again.
func TestAnswersPass(t *testing.T) {
	for name, c := range map[string]struct {
		method, answer string
		code           int
		body           string
		broken         bool // the client must not take it for whole
		again          bool // the connection carries the next request
		stays          bool // it does not, though the service leaves it open
		header         []string
	}{
		"length":               {answer: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", code: 200, body: "hello", again: true},
		"chunks":               {answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n", code: 200, body: "hello", again: true},
		"until it closes":      {answer: "HTTP/1.1 200 OK\r\n\r\nhello", code: 200, body: "hello"},
		"HTTP/1.0":             {answer: "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", code: 200, body: "hello"},
		"asks to close":        {answer: "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello", code: 200, body: "hello", stays: true},
		"HEAD":                 {method: http.MethodHead, answer: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", code: 200, again: true, header: []string{"Content-Length", "5"}},
		"204":                  {answer: "HTTP/1.1 204 No Content\r\n\r\n", code: 204, again: true},
		"304":                  {answer: "HTTP/1.1 304 Not Modified\r\nEtag: \"x\"\r\n\r\n", code: 304, again: true, header: []string{"Etag", `"x"`}},
		"empty":                {answer: "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", code: 200, again: true},
		"hop by hop":           {answer: "HTTP/1.1 200 OK\r\nConnection: X-Mine\r\nX-Mine: 1\r\nKeep-Alive: 9\r\nContent-Length: 0\r\n\r\n", code: 200, again: true, header: []string{"X-Mine", "", "Keep-Alive", ""}},
		"two of one name":      {answer: "HTTP/1.1 200 OK\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nContent-Length: 0\r\n\r\n", code: 200, again: true, header: []string{"Set-Cookie", "a|b"}},
		"more than its answer": {answer: "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison", code: 200, stays: true},
		"cut short":            {answer: "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", code: 200, broken: true},
		"chunks cut short":     {answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", code: 200, broken: true},
		"no answer":            {answer: "", code: 502},
		"no status":            {answer: "HTTP/1.1 099 Odd\r\nContent-Length: 0\r\n\r\n", code: 502},
		"odd status":           {answer: "HTTP/1.1 799 Odd\r\nContent-Length: 0\r\n\r\n", code: 799, again: true},
		"no HTTP":              {answer: "220 smtp\r\n\r\n", code: 502},
		"unasked upgrade":      {answer: "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", code: 502},
		"endless header":       {answer: "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", upstreamHeaderBytes) + "\r\n\r\n", code: 502},
		"endless 1xx":          {answer: strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", maxInformational+1) + "HTTP/1.1 204 No Content\r\n\r\n", code: 502},
	} {
		for version := 1; version <= 2; version++ {
			t.Run(fmt.Sprintf("%s/HTTP/%d", name, version), func(t *testing.T) {
				t.Parallel()
				service := newRawService(t, func(conn net.Conn, r *http.Request) bool {
					if r.URL.Path == "/next" {
						fmt.Fprint(conn, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext")
						return true
					}
					fmt.Fprint(conn, c.answer)
					return c.again || c.stays
				})
				l := openLab(t, service.address)
				method := c.method
				if method == "" {
					method = http.MethodGet
				}
				r, err := http.NewRequestWithContext(t.Context(), method, l.url+"/first", nil)
				if err != nil {
					t.Fatal(err)
				}
				response, err := protocolClient(t, version).Do(r)
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(response.Body)
				response.Body.Close()
				if response.StatusCode != c.code || c.broken != (err != nil) {
					t.Fatalf("%d, %q, %v", response.StatusCode, body, err)
				}
				if c.code != 502 && !c.broken && string(body) != c.body {
					t.Errorf("body %q, want %q", body, c.body)
				}
				for i := 0; i+1 < len(c.header); i += 2 {
					if got := strings.Join(response.Header.Values(c.header[i]), "|"); got != c.header[i+1] {
						t.Errorf("%s: %q, want %q", c.header[i], got, c.header[i+1])
					}
				}
				// The pool gets a connection back only after the client has its answer.
				if c.again {
					eventually(t, "the connection is given back", func() bool {
						l.proxy.direct.pool.mu.Lock()
						defer l.proxy.direct.pool.mu.Unlock()
						return len(l.proxy.direct.pool.idle[service.address]) == 1
					})
				}
				if response, body := get(t, l.url+"/next"); response.StatusCode != 200 || body != "next" {
					t.Errorf("next: %d %q", response.StatusCode, body)
				}
				if again := service.connections.Load() == 1; again != c.again {
					t.Errorf("the connection was used again: %v, want %v", again, c.again)
				}
			})
		}
	}
}

// TestNoStatusIsBadGateway also for a request with a body, which goes the other way.
func TestNoStatusIsBadGateway(t *testing.T) {
	t.Parallel()
	service := newRawService(t, func(conn net.Conn, r *http.Request) bool {
		_, _ = io.Copy(io.Discard, r.Body)
		fmt.Fprint(conn, "HTTP/1.1 099 Odd\r\nContent-Length: 0\r\n\r\n")
		return true
	})
	l := openLab(t, service.address)
	response, err := client(t).Post(l.url, "text/plain", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusBadGateway {
		t.Errorf("%d", response.StatusCode)
	}
}

// TestTypesAreNotGuessed: what a service did not say of a body, nobody says.
func TestTypesAreNotGuessed(t *testing.T) {
	t.Parallel()
	service := newRawService(t, func(conn net.Conn, r *http.Request) bool {
		_, _ = io.Copy(io.Discard, r.Body)
		fmt.Fprint(conn, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>")
		return true
	})
	l := openLab(t, service.address)
	for version := 1; version <= 2; version++ {
		for _, body := range []string{"", "x"} {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, l.url, strings.NewReader(body))
			if body == "" {
				r.Method, r.Body = http.MethodGet, http.NoBody
			}
			if err != nil {
				t.Fatal(err)
			}
			response, err := protocolClient(t, version).Do(r)
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			if kind := response.Header["Content-Type"]; response.StatusCode != 200 || kind != nil {
				t.Errorf("HTTP/%d, %s: %d %q", version, r.Method, response.StatusCode, kind)
			}
		}
	}
}

// TestClosedIdleConnectionIsNotUsed: a service may close a kept connection without a word. The request that finds it so goes by another.
func TestClosedIdleConnectionIsNotUsed(t *testing.T) {
	closed := make(chan struct{}, 1)
	service := newRawService(t, func(conn net.Conn, r *http.Request) bool {
		fmt.Fprint(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		if r.URL.Path == "/last" {
			conn.Close()
			closed <- struct{}{}
			return false
		}
		return true
	})
	l := openLab(t, service.address)
	for range 20 {
		if response, _ := get(t, l.url+"/last"); response.StatusCode != 200 {
			t.Fatalf("%d", response.StatusCode)
		}
		<-closed
	}
}

// TestIdleConnectionsAreClosed within about twice the time that they are kept for.
func TestIdleConnectionsAreClosed(t *testing.T) {
	ended := make(chan struct{})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		_, _ = http.ReadRequest(bufio.NewReader(conn))
		fmt.Fprint(conn, "HTTP/1.1 204 No Content\r\n\r\n")
		_, _ = io.Copy(io.Discard, conn)
		close(ended)
	}()
	l := openLab(t, listener.Addr().String())
	if response, _ := get(t, l.url+"/"); response.StatusCode != 204 {
		t.Fatalf("%d", response.StatusCode)
	}
	select {
	case <-ended:
	case <-time.After(20 * upstreamIdle):
		t.Error("an idle connection stays")
	}
}

// TestHeaderDoesNotWaitForBody: the client has the header, and each piece, while the service is still at the next one.
func TestHeaderDoesNotWaitForBody(t *testing.T) {
	for _, framing := range []string{"Content-Length: 2", "Transfer-Encoding: chunked"} {
		for version := 1; version <= 2; version++ {
			t.Run(fmt.Sprintf("%s/HTTP/%d", framing, version), func(t *testing.T) {
				t.Parallel()
				step := make(chan struct{})
				service := newRawService(t, func(conn net.Conn, _ *http.Request) bool {
					piece, end := "%s", ""
					if strings.HasSuffix(framing, "chunked") {
						piece, end = "1\r\n%s\r\n", "0\r\n\r\n"
					}
					fmt.Fprint(conn, "HTTP/1.1 200 OK\r\n"+framing+"\r\n\r\n")
					<-step
					fmt.Fprintf(conn, piece, "a")
					<-step
					fmt.Fprintf(conn, piece, "b")
					fmt.Fprint(conn, end)
					return true
				})
				l := openLab(t, service.address)
				response, err := protocolClient(t, version).Get(l.url + "/")
				if err != nil {
					t.Fatal(err)
				}
				defer response.Body.Close()
				one := make([]byte, 1)
				for _, want := range []string{"a", "b"} {
					step <- struct{}{}
					if _, err := io.ReadFull(response.Body, one); err != nil || string(one) != want {
						t.Fatalf("%q %v, want %q", one, err, want)
					}
				}
				if rest, err := io.ReadAll(response.Body); err != nil || len(rest) > 0 {
					t.Errorf("rest %q %v", rest, err)
				}
			})
		}
	}
}

// TestEarlyHintsPass, and what they said is not the answer's.
func TestEarlyHintsPass(t *testing.T) {
	service := newRawService(t, func(conn net.Conn, _ *http.Request) bool {
		fmt.Fprint(conn, "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		return true
	})
	l := openLab(t, service.address)
	for version := 1; version <= 2; version++ {
		var hint string
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
			hint = fmt.Sprint(code, header.Get("Link"))
			return nil
		}})
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, l.url, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := protocolClient(t, version).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if hint != "103</a.css>; rel=preload" || response.StatusCode != 200 || response.Header.Get("Link") != "" {
			t.Errorf("HTTP/%d: hint %q, then %d with Link %q", version, hint, response.StatusCode, response.Header.Get("Link"))
		}
	}
}

// TestLeavingClientEndsTheRequest towards the service.
func TestLeavingClientEndsTheRequest(t *testing.T) {
	asked, ended := make(chan struct{}), make(chan error, 1)
	service := newRawService(t, func(conn net.Conn, _ *http.Request) bool {
		close(asked)
		_, err := conn.Read(make([]byte, 1)) // never answers
		ended <- err
		return false
	})
	l := openLab(t, service.address)
	conn, err := tls.Dial("tcp", strings.TrimPrefix(l.url, "https://"), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}}) //nolint:gosec // a test's certificate
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	<-asked
	conn.Close()
	select {
	case err := <-ended:
		if err == nil {
			t.Error("the gateway sent more")
		}
	case <-time.After(20 * time.Second):
		t.Error("the service still has the request of a client that left")
	}
	eventually(t, "nothing under way", func() bool { return l.gate.Within() == 0 })
}

// TestPastTheDeadlineNothingIsSent: a request that entered, and whose deadline then passes unseen by the keeper, does not reach the service.
func TestPastTheDeadlineNothingIsSent(t *testing.T) {
	var reached atomic.Int32
	service := newRawService(t, func(conn net.Conn, _ *http.Request) bool {
		reached.Add(1)
		fmt.Fprint(conn, "HTTP/1.1 204 No Content\r\n\r\n")
		return true
	})
	l := openLab(t, service.address)
	w := &fencedWriter{passage: passage{pass: Pass{gate: l.gate, opening: &opening{}}}, onCut: func(string) {}}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = "a"
	_, _, err = l.proxy.direct.ask(w, r, &l.cfg.Routes[0], &call{})
	if !errors.Is(err, errFenced) || reached.Load() != 0 {
		t.Errorf("%v, %d requests reached the service", err, reached.Load())
	}
}
