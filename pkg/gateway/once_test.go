package gateway

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
)

// TestSentAtMostOnce has a service that answers the first request of a connection and closes on the second after reading it: http.Transport
// alone would send that one again.
func TestSentAtMostOnce(t *testing.T) {
	for _, c := range []struct{ method, body, header string }{
		{method: http.MethodGet},
		{method: http.MethodHead},
		{method: http.MethodOptions},
		{method: http.MethodDelete},
		{method: http.MethodPost, body: "x"},
		{method: http.MethodPost, header: "Idempotency-Key"},
		{method: http.MethodPost, body: "x", header: "X-Idempotency-Key"},
	} {
		t.Run(strings.TrimSpace(c.method+" "+c.header+" "+c.body), func(t *testing.T) {
			t.Parallel()
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { listener.Close() })
			var received atomic.Int32
			go func() {
				for {
					conn, err := listener.Accept()
					if err != nil {
						return
					}
					go func() {
						defer conn.Close()
						reader := bufio.NewReader(conn)
						for n := 0; ; n++ {
							r, err := http.ReadRequest(reader)
							if err != nil {
								return
							}
							if _, err := io.Copy(io.Discard, r.Body); err != nil {
								return
							}
							if r.URL.Path == "/counted" {
								received.Add(1)
							}
							if n > 0 {
								return
							}
							fmt.Fprint(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
						}
					}()
				}
			}()
			l := newLab(t, http.NotFoundHandler(), func(cfg *Config) {
				cfg.Routes, err = ParseRoutes(fmt.Appendf(nil, `{"routes":[{"path":"/","upstream":"http://%s"}]}`, listener.Addr()))
				if err != nil {
					t.Fatal(err)
				}
			})
			l.run(t)
			eventually(t, "gate open", l.isOpen)
			ask := func(path string) int {
				r, err := http.NewRequestWithContext(t.Context(), c.method, l.url+path, strings.NewReader(c.body))
				if err != nil {
					t.Fatal(err)
				}
				if c.header != "" {
					r.Header.Set(c.header, "k1")
				}
				response, err := client(t).Do(r)
				if err != nil {
					t.Fatal(err)
				}
				response.Body.Close()
				return response.StatusCode
			}
			if code := ask("/first"); code != http.StatusOK {
				t.Fatalf("first request: %d", code)
			}
			code := ask("/counted")
			if n := received.Load(); n != 1 || code != http.StatusBadGateway {
				t.Errorf("the service got the request %d times, the client %d", n, code)
			}
		})
	}
}
