package gateway

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// fewBytes is a body that net/http holds until its handler has ended.
const fewBytes = 3000

// openFewBytes is an open gateway in front of a service that answers with fewBytes, of a length that it says or does not.
func openFewBytes(t *testing.T, says bool) *lab {
	t.Helper()
	l := newLab(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if says {
			w.Header().Set("Content-Length", fmt.Sprint(fewBytes))
		}
		_, _ = io.WriteString(w, strings.Repeat("x", fewBytes))
	}))
	l.gate.follow(viewUntil(l.cfg.Clock().Add(time.Hour)))
	return l
}

// served waits until nothing is left to do for a request but to send the answer to a client that takes nothing.
func (l *lab) served(t *testing.T) {
	t.Helper()
	eventually(t, "the request is under way", func() bool { return l.gate.Within() == 1 })
	time.Sleep(100 * time.Millisecond) // for the service's answer: what is not there in time can only let the test pass
}

// TestCutReachesTheLastBytes: an answer that is short enough for net/http to hold it is not sent after the cut either.
func TestCutReachesTheLastBytes(t *testing.T) {
	t.Parallel()
	for _, says := range []bool{true, false} {
		for _, request := range []string{"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx"} {
			t.Run(fmt.Sprintf("%s, length said %v", request[:4], says), func(t *testing.T) {
				l := openFewBytes(t, says)
				// A pipe holds nothing: a client that does not read takes nothing.
				client, server := net.Pipe()
				t.Cleanup(func() { client.Close() })
				public := l.publicServer()
				_ = public.Serve(&oneConn{conn: server}) // ends at once: there is one connection
				if _, err := io.WriteString(client, request); err != nil {
					t.Fatal(err)
				}
				l.served(t)
				l.gate.Cut()
				eventually(t, "nothing is under way", func() bool { return l.gate.Within() == 0 })
				if response, err := http.ReadResponse(bufio.NewReader(client), nil); err == nil {
					body, err := io.ReadAll(response.Body)
					t.Errorf("after the cut: %d and %d bytes, %v", response.StatusCode, len(body), err)
				}
			})
		}
	}
}

// TestCutReachesTheLastBytesOfHTTP2 has a client that gives the stream no room.
func TestCutReachesTheLastBytesOfHTTP2(t *testing.T) {
	t.Parallel()
	for _, says := range []bool{true, false} {
		l := openFewBytes(t, says)
		framer := l.sendHTTP2(t, []http2.Setting{{ID: http2.SettingInitialWindowSize, Val: 0}}, ":method", "GET", ":scheme", "https", ":authority", "a", ":path", "/")
		l.served(t)
		l.gate.Cut()
		eventually(t, "nothing is under way", func() bool { return l.gate.Within() == 0 })
		if err := framer.WriteWindowUpdate(1, 1<<20); err != nil {
			t.Fatal(err)
		}
		for reset := false; !reset; {
			frame, err := framer.ReadFrame()
			if err != nil {
				t.Fatal(err)
			}
			switch f := frame.(type) {
			case *http2.DataFrame:
				t.Fatalf("after the cut: %d bytes", len(f.Data()))
			case *http2.RSTStreamFrame:
				reset = true
			}
		}
	}
}

// TestCutMeetsTheEnd of requests that end by themselves in the same moment, over and over: the race detector sees a cut that touches what
// net/http has taken back, and without it that is a nil pointer's end of the process.
func TestCutMeetsTheEnd(t *testing.T) {
	t.Parallel()
	l := newLab(t, http.HandlerFunc(echo))
	clients := []*http.Client{protocolClient(t, 2), protocolClient(t, 2), protocolClient(t, 1)}
	for n := range 300 {
		view := viewUntil(l.cfg.Clock().Add(time.Hour))
		view.Opening = fmt.Sprint(n)
		l.gate.follow(view)
		var wg sync.WaitGroup
		for i, c := range clients {
			wg.Go(func() {
				method, body := http.MethodGet, io.Reader(nil)
				if i == 1 {
					method, body = http.MethodPost, strings.NewReader("x")
				}
				r, err := http.NewRequest(method, l.url+"/a", body)
				if err != nil {
					t.Error(err)
					return
				}
				if response, err := c.Do(r); err == nil { // an error is a request that was cut
					_, _ = io.Copy(io.Discard, response.Body)
					response.Body.Close()
				}
			})
		}
		time.Sleep(time.Duration(n%100) * 20 * time.Microsecond) // from before to after the usual answer
		l.gate.Cut()
		wg.Wait()
	}
}
