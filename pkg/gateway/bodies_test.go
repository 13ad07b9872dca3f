package gateway

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// dialHTTP1 connects to the public address as a client of HTTP/1.1 that does not wait until the gateway gives up its body.
func (l *lab) dialHTTP1(t *testing.T) (*tls.Conn, *bufio.Reader) {
	t.Helper()
	conn, err := tls.Dial("tcp", strings.TrimPrefix(l.url, "https://"), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}}) //nolint:gosec // a test's certificate
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(restTime - time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn, bufio.NewReader(conn)
}

// TestAnswersBeforeTheBodyIsThere: what the gateway answers by itself needs no body, however slowly the client sends it.
func TestAnswersBeforeTheBodyIsThere(t *testing.T) {
	t.Parallel()
	const begun = "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
	for head, code := range map[string]int{
		"POST / HTTP/1.1\r\nHost: a\r\n" + begun:                             423,
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhello":     423,
		"OPTIONS / HTTP/1.1\r\nHost: a\r\n" + begun:                          200,
		"GET /healthz/active HTTP/1.1\r\nHost: a\r\n" + begun:                423,
		"GET " + IdentityPath + "?nonce=1 HTTP/1.1\r\nHost: a\r\n" + begun:   200,
		"GET /healthz/live HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n": 200,
	} {
		l := newLab(t, http.NotFoundHandler())
		conn, reader := l.dialHTTP1(t)
		if _, err := io.WriteString(conn, head); err != nil {
			t.Fatal(err)
		}
		response, err := http.ReadResponse(reader, nil)
		if err != nil {
			t.Errorf("%q: %v", head, err)
			continue
		}
		response.Body.Close()
		if response.StatusCode != code {
			t.Errorf("%q: %d", head, response.StatusCode)
		}
	}
}

// TestConnectionGoesOnAfterAnEarlyAnswer: a client that sends the rest of its body has a connection that still works.
func TestConnectionGoesOnAfterAnEarlyAnswer(t *testing.T) {
	t.Parallel()
	l := newLab(t, http.NotFoundHandler())
	conn, reader := l.dialHTTP1(t)
	for _, part := range []string{"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n", "helloPOST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"} {
		if _, err := io.WriteString(conn, part); err != nil {
			t.Fatal(err)
		}
		response, err := http.ReadResponse(reader, nil)
		if err != nil {
			t.Fatal(err)
		}
		body := readAll(t, response.Body)
		if response.StatusCode != http.StatusLocked || !strings.HasPrefix(body, `[{"code":423`) {
			t.Errorf("%q: %d %s", part, response.StatusCode, body)
		}
	}
}

// TestTrailers: those of requests and of answers pass, between all versions, but for those by which a client could pass for another.
func TestTrailers(t *testing.T) {
	t.Parallel()
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		body := readAll(t, r.Body)
		var names []string
		for name, values := range r.Trailer {
			names = append(names, name+"="+strings.Join(values, ","))
		}
		slices.Sort(names)
		fmt.Fprintf(w, "%s %s %s", r.Proto, body, names)
		w.Header().Set("X-Sum", "42")
	})
	modern := httptest.NewUnstartedServer(handler)
	modern.EnableHTTP2 = true
	modern.StartTLS()
	t.Cleanup(modern.Close)
	plain := httptest.NewServer(handler)
	t.Cleanup(plain.Close)
	for upstream, protocol := range map[string]string{modern.URL: "HTTP/2.0", plain.URL: "HTTP/1.1"} {
		l := newLab(t, http.NotFoundHandler(), func(cfg *Config) {
			cfg.CertHeader = "X-Cert"
			transport, _ := modern.Client().Transport.(*http.Transport)
			cfg.UpstreamCA = transport.TLSClientConfig.RootCAs
			var err error
			if cfg.Routes, err = ParseRoutes(fmt.Appendf(nil, `{"routes":[{"path":"/","upstream":%q}]}`, upstream)); err != nil {
				t.Fatal(err)
			}
		})
		l.store.doc.Released = true
		l.run(t)
		eventually(t, "gate open", l.isOpen)
		for _, version := range []int{1, 2} {
			reader, writer := io.Pipe()
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, l.url, reader)
			if err != nil {
				t.Fatal(err)
			}
			r.Trailer = http.Header{"X-Mine": nil, "X-Cert": nil, "X_cert": nil, "X-Forwarded-For": nil, "X_Real_Ip": nil}
			go func() {
				_, _ = io.WriteString(writer, "hello")
				for name := range r.Trailer {
					r.Trailer[name] = []string{"6"}
				}
				writer.Close()
			}()
			response, err := protocolClient(t, version).Do(r)
			if err != nil {
				t.Fatal(err)
			}
			body := readAll(t, response.Body)
			response.Body.Close()
			if want := protocol + " hello [X-Mine=6]"; body != want || response.ProtoMajor != version {
				t.Errorf("HTTP/%d: the service of %s got %q, want %q", version, protocol, body, want)
			}
			if sum := response.Trailer.Get("X-Sum"); sum != "42" {
				t.Errorf("HTTP/%d from %s: trailer %q", version, protocol, sum)
			}
		}
	}
}

// TestRefusedStreamIsNotSentAgain has an HTTP/2 service that refuses every stream as not acted on: Go's client would try seven times.
func TestRefusedStreamIsNotSentAgain(t *testing.T) {
	t.Parallel()
	var received atomic.Int32
	upstream := httptest.NewUnstartedServer(http.NotFoundHandler())
	upstream.TLS = &tls.Config{NextProtos: []string{"h2"}} //nolint:gosec // a test's server
	upstream.Config.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){"h2": func(_ *http.Server, conn *tls.Conn, _ http.Handler) {
		refuseStreams(conn, &received)
	}}
	upstream.StartTLS()
	t.Cleanup(upstream.Close)
	l := newLab(t, http.NotFoundHandler(), func(cfg *Config) {
		transport, _ := upstream.Client().Transport.(*http.Transport)
		cfg.UpstreamCA = transport.TLSClientConfig.RootCAs
		var err error
		if cfg.Routes, err = ParseRoutes(fmt.Appendf(nil, `{"routes":[{"path":"/","upstream":%q}]}`, upstream.URL)); err != nil {
			t.Fatal(err)
		}
	})
	l.store.doc.Released = true
	l.run(t)
	eventually(t, "gate open", l.isOpen)
	for n, method := range []string{http.MethodGet, http.MethodPost, http.MethodDelete} {
		r, err := http.NewRequestWithContext(t.Context(), method, l.url, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := client(t).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if got := int(received.Load()); got != n+1 || response.StatusCode != http.StatusBadGateway {
			t.Errorf("%s: the service got %d requests in all, the client %d", method, got, response.StatusCode)
		}
	}
}

// refuseStreams speaks as much HTTP/2 (RFC 9113) as a service needs that refuses every stream.
func refuseStreams(conn *tls.Conn, received *atomic.Int32) {
	const (
		headers, rstStream, settings, ack = 1, 3, 4, 1
		refusedStream                     = 7
	)
	frame := func(kind, flags byte, stream uint32, payload []byte) {
		head := append(binary.BigEndian.AppendUint32(nil, uint32(len(payload))<<8|uint32(kind)), flags)
		_, _ = conn.Write(append(binary.BigEndian.AppendUint32(head, stream), payload...))
	}
	if _, err := io.CopyN(io.Discard, conn, int64(len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))); err != nil {
		return
	}
	frame(settings, 0, 0, nil)
	for {
		var head [9]byte
		if _, err := io.ReadFull(conn, head[:]); err != nil {
			return
		}
		if _, err := io.CopyN(io.Discard, conn, int64(binary.BigEndian.Uint32(head[:4])>>8)); err != nil {
			return
		}
		switch {
		case head[3] == settings && head[4]&ack == 0:
			frame(settings, ack, 0, nil)
		case head[3] == headers:
			received.Add(1)
			frame(rstStream, 0, binary.BigEndian.Uint32(head[5:]), binary.BigEndian.AppendUint32(nil, refusedStream))
		}
	}
}
