package gateway

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// sendHTTP2 sends one request without a body, of these very fields, on a connection with these settings, and returns what reads the answer.
func (l *lab) sendHTTP2(t *testing.T, settings []http2.Setting, fields ...string) *http2.Framer {
	t.Helper()
	conn, err := tls.Dial("tcp", strings.TrimPrefix(l.url, "https://"), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}}) //nolint:gosec // a test's certificate
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for i := 0; i+1 < len(fields); i += 2 {
		if err := encoder.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]}); err != nil {
			t.Fatal(err)
		}
	}
	framer := http2.NewFramer(conn, conn)
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	if _, err := conn.Write([]byte(http2.ClientPreface)); err != nil {
		t.Fatal(err)
	}
	if err := framer.WriteSettings(settings...); err != nil {
		t.Fatal(err)
	}
	if err := framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: true}); err != nil {
		t.Fatal(err)
	}
	return framer
}

// askHTTP2 sends one request as sendHTTP2 does and returns the answer's status: "" where the stream or the connection is reset.
func (l *lab) askHTTP2(t *testing.T, fields ...string) string {
	t.Helper()
	framer := l.sendHTTP2(t, nil, fields...)
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			return ""
		}
		switch f := frame.(type) {
		case *http2.MetaHeadersFrame:
			return f.PseudoValue("status")
		case *http2.RSTStreamFrame, *http2.GoAwayFrame:
			return ""
		}
	}
}

// TestNothingIsInjectedFromHTTP2: in HTTP/2 a method or a path may hold what would end it in HTTP/1, and be the beginning of another.
func TestNothingIsInjectedFromHTTP2(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	var mu sync.Mutex
	var lines []string
	go func() { // takes whatever comes, as lenient services do
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				reader, hosts := bufio.NewReader(conn), 0
				for n := 0; ; n++ {
					line, err := reader.ReadString('\n')
					if err != nil {
						return
					}
					if line = strings.TrimSpace(line); line == "" {
						break
					}
					if strings.HasPrefix(strings.ToLower(line), "host:") {
						hosts++
					}
					if n == 0 || hosts > 1 {
						mu.Lock()
						lines = append(lines, line)
						mu.Unlock()
					}
				}
				fmt.Fprint(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
			}()
		}
	}()
	l := openLab(t, listener.Addr().String())
	ask := func(method, path string, more ...string) string {
		return l.askHTTP2(t, append([]string{":method", method, ":scheme", "https", ":authority", "a", ":path", path}, more...)...)
	}
	for _, c := range []struct {
		method, path string
		more         []string
		want         string // "": refused in any way
	}{
		{"GET", "/plain?x=1", nil, "200"},
		{"GET", "/raw?x=\xc3\xa9", nil, "200"},
		{"GET", "/hosts", []string{"host", "evil"}, "200"},
		{"GET /admin HTTP/1.1", "/x", nil, ""},
		{"GET\t/admin", "/x", nil, ""},
		{"G(T", "/x", nil, ""},
		{"GET", "/x?y HTTP/1.1", nil, ""},
		{"GET", "/x?y z", nil, ""},
		{"GET", "/x?y\tz", nil, ""},
		{"GET", "/x?y\r\nX-Forwarded-For: 6", nil, ""},
		{"GET", "/x", []string{"x-a", "b\r\nx-cert: forged"}, ""},
		{"GET", "/x", []string{"x-a\r\nx-cert", "forged"}, ""},
		{"GET", "/x", []string{"transfer-encoding", "chunked"}, ""},
		{"GET", "/x", []string{"connection", "x-forwarded-for"}, ""},
		{"GET", "/x", []string{"host", "b\r\nx: y"}, ""},
	} {
		got := ask(c.method, c.path, c.more...)
		if c.want != "" && got != c.want || c.want == "" && strings.HasPrefix(got, "2") {
			t.Errorf("%q %q %q: answered %q", c.method, c.path, c.more, got)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if got := strings.Join(lines, "; "); got != "GET /plain?x=1 HTTP/1.1; GET /raw?x=\xc3\xa9 HTTP/1.1; GET /hosts HTTP/1.1" {
		t.Errorf("the service got %q", got)
	}
}
