package gateway

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/lease"
)

// echo answers with the method, the path and the body of what it gets.
func echo(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	fmt.Fprintf(w, "%s %s %s", r.Method, r.URL.Path, body)
}

// openEcho is an open gateway in front of echo.
func openEcho(t *testing.T) *lab {
	t.Helper()
	l := newLab(t, http.HandlerFunc(echo))
	l.store.doc.Released = true
	l.run(t)
	eventually(t, "gate open", l.isOpen)
	return l
}

// expect reads an answer.
func expect(t *testing.T, from *bufio.Reader, code int, body string) *http.Response {
	t.Helper()
	response, err := http.ReadResponse(from, nil)
	if err != nil {
		t.Fatalf("instead of %d %q: %v", code, body, err)
	}
	got, err := io.ReadAll(response.Body)
	response.Body.Close()
	if err != nil || response.StatusCode != code || code == 200 && string(got) != body {
		t.Fatalf("%d %q %v, want %d %q", response.StatusCode, got, err, code, body)
	}
	return response
}

const plainGet = "GET /%s HTTP/1.1\r\nHost: a\r\n\r\n"

// TestLaneGivesBack: what a lane does not take is answered all the same, on the same connection, and so is everything after it.
func TestLaneGivesBack(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ request, answer string }{
		"a body":           {"POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", "POST /b hello"},
		"chunks":           {"POST /b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", "POST /b hello"},
		"another method":   {"PURGE /b HTTP/1.1\r\nHost: a\r\n\r\n", "PURGE /b "},
		"a long header":    {"GET /b HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("x", 2*laneHeaderBytes) + "\r\n\r\n", "GET /b "},
		"its own address":  {"GET /healthz/live HTTP/1.1\r\nHost: a\r\n\r\n", "live\n"},
		"an absolute form": {"GET http://a/b HTTP/1.1\r\nHost: a\r\n\r\n", "GET /b "},
		"older line ends":  {"GET /b HTTP/1.1\nHost: a\n\n", "GET /b "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := openEcho(t)
			conn := dialRaw(t, l)
			reader := bufio.NewReader(conn)
			for n := range 3 {
				fmt.Fprintf(conn, plainGet, "a")
				expect(t, reader, 200, "GET /a ")
				if l.laneCount() != 1 {
					t.Fatalf("%d lanes after request %d", l.laneCount(), n)
				}
			}
			for range 2 {
				go func() { _, _ = io.WriteString(conn, c.request) }()
				expect(t, reader, 200, c.answer)
				eventually(t, "no lane after a request that is for none", func() bool { return l.laneCount() == 0 })
			}
			fmt.Fprintf(conn, plainGet, "c")
			expect(t, reader, 200, "GET /c ")
		})
	}
}

// TestLaneInPieces: a header that comes in two pieces, and requests that come many at once, of all kinds, are answered in order.
func TestLaneInPieces(t *testing.T) {
	t.Parallel()
	l := openEcho(t)
	conn := dialRaw(t, l)
	reader := bufio.NewReader(conn)
	fmt.Fprint(conn, strings.Repeat(fmt.Sprintf(plainGet, "a"), 3)+"POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"+fmt.Sprintf(plainGet, "c"))
	for _, want := range []string{"GET /a ", "GET /a ", "GET /a ", "POST /b hello", "GET /c "} {
		expect(t, reader, 200, want)
	}

	conn = dialRaw(t, l)
	reader = bufio.NewReader(conn)
	fmt.Fprintf(conn, plainGet, "a")
	expect(t, reader, 200, "GET /a ")
	fmt.Fprint(conn, "GET /b HTTP/1.1\r\nHo")
	eventually(t, "the lane gives it back", func() bool { return l.laneCount() == 0 })
	fmt.Fprint(conn, "st: a\r\n\r\n")
	expect(t, reader, 200, "GET /b ")
}

// TestLaneAsksTheGate for every request: the connection stays, and tells of the closed gate.
func TestLaneAsksTheGate(t *testing.T) {
	t.Parallel()
	l := newLab(t, http.HandlerFunc(echo))
	open := lease.View{Open: true, Opening: "1", Deadline: l.cfg.Clock().Add(time.Hour)}
	l.gate.follow(open)
	conn := dialRaw(t, l)
	reader := bufio.NewReader(conn)
	for range 2 {
		fmt.Fprintf(conn, plainGet, "a")
		expect(t, reader, 200, "GET /a ")
	}
	// The client has an answer some moments before its request is over.
	eventually(t, "nothing under way", func() bool { return l.gate.Within() == 0 })
	if l.laneCount() != 1 {
		t.Fatalf("%d lanes", l.laneCount())
	}
	l.gate.Cut()
	fmt.Fprintf(conn, plainGet, "a")
	expect(t, reader, 423, "")
	open.Opening = "2"
	l.gate.follow(open)
	fmt.Fprintf(conn, plainGet, "a")
	expect(t, reader, 200, "GET /a ")
	eventually(t, "nothing under way", func() bool { return l.gate.Within() == 0 })
}

// TestLaneOfALongAnswer: it may take longer than clients may be silent; the client is looked at meanwhile, and goes on afterwards.
func TestLaneOfALongAnswer(t *testing.T) {
	t.Parallel()
	l := newLab(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/long" {
			time.Sleep(2 * time.Second)
		}
		echo(w, r)
	}))
	l.lanes.idle = 1500 * time.Millisecond
	l.store.doc.Released = true
	l.run(t)
	eventually(t, "gate open", l.isOpen)
	conn := dialRaw(t, l)
	reader := bufio.NewReader(conn)
	for range 2 {
		fmt.Fprintf(conn, plainGet, "long")
		expect(t, reader, 200, "GET /long ")
		fmt.Fprintf(conn, plainGet, "short")
		expect(t, reader, 200, "GET /short ")
	}
	if l.laneCount() != 1 {
		t.Errorf("%d lanes", l.laneCount())
	}
	if _, err := reader.ReadByte(); err != io.EOF { // and then it was silent for too long
		t.Errorf("%v, want the end of the connection", err)
	}
}

// TestLaneSeesItsClientGoLate: after a wait longer than clients may be silent between two requests.
func TestLaneSeesItsClientGoLate(t *testing.T) {
	t.Parallel()
	asked, left := make(chan struct{}), make(chan struct{})
	l := newLab(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/never" {
			close(asked)
			<-r.Context().Done()
			close(left)
		}
		echo(w, r)
	}))
	l.lanes.idle = 500 * time.Millisecond
	l.gate.follow(viewUntil(l.cfg.Clock().Add(time.Hour)))
	conn := dialRaw(t, l)
	fmt.Fprintf(conn, plainGet, "a")
	expect(t, bufio.NewReader(conn), 200, "GET /a ")
	fmt.Fprintf(conn, plainGet, "never")
	<-asked
	time.Sleep(2 * l.lanes.idle)
	conn.Close()
	select {
	case <-left:
	case <-time.After(10 * time.Second):
		t.Error("the service still has the request of a client that left")
		l.gate.Cut()
	}
}

// TestLanesEnd with their gateway: those that wait at once, those that answer behind their answer, and one whose service does not answer when
// time is up.
func TestLanesEnd(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{})
	l := newLab(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/never":
			asked <- struct{}{}
			<-r.Context().Done()
		case "/slow":
			asked <- struct{}{}
			time.Sleep(20 * patience)
		}
		echo(w, r)
	}))
	l.gate.follow(viewUntil(l.cfg.Clock().Add(time.Hour)))
	idle, busy, slow := dialRaw(t, l), dialRaw(t, l), dialRaw(t, l)
	for _, conn := range []net.Conn{idle, busy, slow} {
		fmt.Fprintf(conn, plainGet, "a")
		expect(t, bufio.NewReader(conn), 200, "GET /a ")
	}
	for path, conn := range map[string]net.Conn{"never": busy, "slow": slow} {
		fmt.Fprintf(conn, plainGet, path)
		<-asked
	}
	time.Sleep(2 * patience) // the clients are looked at
	l.lanes.stop()
	reader := bufio.NewReader(slow)
	expect(t, reader, 200, "GET /slow ")
	if _, err := reader.ReadByte(); err != io.EOF {
		t.Errorf("behind the last answer: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	l.lanes.wait(ctx)
	for _, conn := range []net.Conn{idle, busy} {
		if _, err := conn.Read(make([]byte, 1)); err == nil {
			t.Error("a connection says more")
		}
	}
	eventually(t, "no lane is left", func() bool { return l.laneCount() == 0 && l.gate.Within() == 0 })
	late := dialRaw(t, l)
	fmt.Fprintf(late, plainGet, "a")
	if _, err := late.Read(make([]byte, 1)); err == nil || l.gate.Within() != 0 {
		t.Errorf("a lane began after the end: %v, %d requests within", err, l.gate.Within())
	}
}

// TestLaneIsCut in the middle of an answer that a slow client does not take: nothing of it comes after the cut.
func TestLaneIsCut(t *testing.T) {
	t.Parallel()
	var sent atomic.Int64
	l := newLab(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		piece := bytes.Repeat([]byte("x"), 64<<10)
		for {
			if _, err := w.Write(piece); err != nil {
				return
			}
			sent.Add(int64(len(piece)))
		}
	}))
	l.gate.follow(viewUntil(l.cfg.Clock().Add(time.Hour)))
	conn := dialRaw(t, l)
	fmt.Fprintf(conn, plainGet, "a")
	before := int64(-1)
	eventually(t, "the client's window is full", func() bool {
		now := sent.Load()
		stands := now == before && now > 0
		before = now
		time.Sleep(50 * time.Millisecond)
		return stands
	})
	l.gate.Cut()
	eventually(t, "nothing under way", func() bool { return l.gate.Within() == 0 && l.laneCount() == 0 })
	if _, err := io.Copy(io.Discard, conn); err == nil {
		t.Error("the client could take a part for the whole")
	}
}

// TestLaneKeepsTLS: a request that was given back still knows its client's certificate.
func TestLaneKeepsTLS(t *testing.T) {
	t.Parallel()
	l := openEcho(t)
	seen := make(chan bool, 1)
	l.surface["/tls"] = func(w http.ResponseWriter, r *http.Request) {
		seen <- r.TLS != nil && r.TLS.HandshakeComplete
		answer(w, 200, "seen")
	}
	conn := dialRaw(t, l)
	reader := bufio.NewReader(conn)
	fmt.Fprintf(conn, plainGet, "a")
	expect(t, reader, 200, "GET /a ")
	fmt.Fprintf(conn, plainGet, "tls")
	expect(t, reader, 200, "seen\n")
	if !<-seen {
		t.Error("the request says nothing of TLS")
	}
}

// TestReplyIsAsNetHTTPs: what a handler writes is read by a client as it is from net/http's own server.
func TestReplyIsAsNetHTTPs(t *testing.T) {
	for name, handler := range map[string]http.HandlerFunc{
		"nothing": func(http.ResponseWriter, *http.Request) {},
		"length": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "2")
			fmt.Fprint(w, "ok")
		},
		"no length": func(w http.ResponseWriter, _ *http.Request) {
			_ = http.NewResponseController(w).Flush()
			fmt.Fprint(w, "ok")
		},
		"status": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(404)
			w.WriteHeader(500)
			fmt.Fprint(w, "no")
		},
		"odd status": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(599); fmt.Fprint(w, "no") },
		"no content": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "7")
			w.WriteHeader(204)
		},
		"not modified": func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Etag", `"x"`); w.WriteHeader(304) },
		"line ends": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X", "a\r\nSet-Cookie: b")
			fmt.Fprint(w, "ok")
		},
		"announced end": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Trailer", "X-A, X-B")
			fmt.Fprint(w, "ok")
			w.Header().Set("X-A", "1")
		},
		"other end": func(w http.ResponseWriter, _ *http.Request) {
			_ = http.NewResponseController(w).Flush()
			fmt.Fprint(w, "ok")
			w.Header().Set(http.TrailerPrefix+"X-A", "1")
		},
		"its own date": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Date", "Thu, 01 Jan 1970 00:00:00 GMT")
			fmt.Fprint(w, "ok")
		},
	} {
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			t.Run(name+"/"+method, func(t *testing.T) {
				t.Parallel()
				server := httptest.NewServer(handler)
				defer server.Close()
				r, err := http.NewRequestWithContext(t.Context(), method, server.URL, nil)
				if err != nil {
					t.Fatal(err)
				}
				theirs, err := http.DefaultClient.Do(r)
				if err != nil {
					t.Fatal(err)
				}
				var out bytes.Buffer
				a := &reply{outlet: outlet{out: bufio.NewWriter(&out)}, header: http.Header{}}
				a.begin(method)
				handler(a, r)
				if err := a.finish(); err != nil {
					t.Fatal(err)
				}
				ours, err := http.ReadResponse(bufio.NewReader(&out), r)
				if err != nil {
					t.Fatalf("%v in %q", err, out.String())
				}
				if a, b := describe(t, ours), describe(t, theirs); a != b {
					t.Errorf("ours:\n%s\nnet/http's:\n%s", a, b)
				}
				if out.Len() > 0 {
					t.Errorf("behind the answer: %q", out.String())
				}
			})
		}
	}
}

// describe is what a client sees of an answer, but for what net/http guesses of a body.
func describe(t *testing.T, r *http.Response) string {
	t.Helper()
	body, err := io.ReadAll(r.Body)
	r.Body.Close()
	if err != nil {
		t.Fatal(err)
	}
	if r.Header.Get("Date") == "" {
		t.Error("no date")
	}
	if date := r.Header.Get("Date"); !strings.Contains(date, "1970") {
		r.Header.Del("Date")
	}
	r.Header.Del("Content-Type")
	r.Header.Del("Content-Length") // it gives short bodies one
	return fmt.Sprintf("%s %v %q %v %v", r.Status, r.Header, body, r.Trailer, r.Close)
}

// TestReplyIsAsLongAsItSays: a body that is not, is no answer.
func TestReplyIsAsLongAsItSays(t *testing.T) {
	for name, body := range map[string]string{"shorter": "o", "longer": "okk"} {
		a := &reply{outlet: outlet{out: bufio.NewWriter(io.Discard)}, header: http.Header{}}
		a.begin(http.MethodGet)
		a.Header().Set("Content-Length", "2")
		_, err := a.Write([]byte(body))
		if err == nil {
			err = a.finish()
		}
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// FuzzSimple: what a lane takes for a whole request is one to net/http too, of the same length, and without a body, whatever follows it.
func FuzzSimple(f *testing.F) {
	for _, seed := range []string{
		"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "HEAD /%zz HTTP/1.1\r\nHost: a\r\nX:\r\n\r\n", "GET //x?y#z HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nConnection: Keep-Alive\r\n\r\nrest",
		"GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\ncontent-LENGTH: 0\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\n X: folded\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nUpgrade: x\r\nTrailer: y\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nX: \xff\t\r\n\r\n",
		"DELETE * HTTP/1.1\r\nHost: a\r\n\r\n", "GET / HTTP/1.0\r\nHost: a\r\n\r\n", "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET / HTTP/1.1\r\n\r\nHost: a\r\n\r\n",
		"GET / HTTP/1.1\r\nHost : a\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nX: a\nY: b\r\n\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		n := simple(b)
		if n == 0 {
			return
		}
		in := bufio.NewReaderSize(bytes.NewReader(b), len(b)+16)
		r, err := http.ReadRequest(in)
		if err != nil {
			if _, target, _ := strings.Cut(string(b[:n]), " "); strings.Contains(target, "%") {
				return // an escape that is none; the lane gives it back
			}
			t.Fatalf("%q: %v", b[:n], err)
		}
		rest, _ := io.ReadAll(in)
		if len(rest) != len(b)-n {
			t.Fatalf("%q: net/http reads %d bytes, not %d", b, len(b)-len(rest), n)
		}
		if r.Body != http.NoBody || r.ContentLength != 0 || r.TransferEncoding != nil || r.Trailer != nil || r.Close || r.ProtoMajor != 1 || r.ProtoMinor != 1 ||
			!bodyless(r.Method) || r.Header["Expect"] != nil || r.Header["Upgrade"] != nil || r.URL.Host != "" {
			t.Fatalf("%q is %+v", b[:n], r)
		}
		if fields := strings.Count(string(b[:n]), "\r\n") - 3; fields != len(headerValues(r.Header)) { // but the request line, Host and the empty line
			t.Fatalf("%q has %d fields, net/http reads %q", b[:n], fields, r.Header)
		}
	})
}

func headerValues(h http.Header) (all []string) {
	for _, values := range h {
		all = append(all, values...)
	}
	return all
}
