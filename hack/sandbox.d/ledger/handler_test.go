package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/websocket"
)

// stubBooks counts the entries and can refuse them.
type stubBooks struct {
	mu    sync.Mutex
	count int64
	err   error
}

func (s *stubBooks) refuse(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

func (s *stubBooks) read(_ context.Context, id string) (string, bool, error) {
	return "other", id == "id", s.err
}

func (s *stubBooks) write(context.Context, string, string, string) (string, int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return "", 0, s.err
	}
	s.count++
	return "id", s.count, nil
}

func TestHandler(t *testing.T) {
	for name, c := range map[string]struct {
		path   string
		books  *stubBooks
		status int
		body   answer
		writes int64
	}{
		"any path writes":        {path: "/v1/x", books: &stubBooks{}, status: 200, body: answer{Zone: "z", ID: "id", Count: 1}, writes: 1},
		"the root, too":          {path: "/", books: &stubBooks{count: 4}, status: 200, body: answer{Zone: "z", ID: "id", Count: 5}, writes: 5},
		"refused":                {path: "/", books: &stubBooks{err: errors.New("not authorized")}, status: 503, body: answer{Zone: "z", Error: "not authorized"}},
		"alive without database": {path: "/alive", books: &stubBooks{err: errors.New("down")}, status: 200, body: answer{Zone: "z"}},
		"an entry is read":       {path: "/entries/id", books: &stubBooks{}, status: 200, body: answer{Zone: "z", ID: "id", Of: "other"}},
		"there is none":          {path: "/entries/none", books: &stubBooks{}, status: 404, body: answer{Zone: "z", Error: "there is no such entry"}},
		"reading is refused":     {path: "/entries/id", books: &stubBooks{err: errors.New("down")}, status: 503, body: answer{Zone: "z", Error: "down"}},
		"probe":                  {path: "/healthz", books: &stubBooks{err: errors.New("down")}, status: 200},
	} {
		t.Run(name, func(t *testing.T) {
			w := httptest.NewRecorder()
			newHandler("z", c.books, slog.New(slog.DiscardHandler)).ServeHTTP(w, httptest.NewRequest(http.MethodGet, c.path, nil))
			if w.Code != c.status || c.books.count != c.writes {
				t.Errorf("status %d after %d writes, want %d after %d", w.Code, c.books.count, c.status, c.writes)
			}
			if c.body == (answer{}) {
				return
			}
			var got answer
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || got != c.body {
				t.Errorf("answer %+v (error %v), want %+v", got, err, c.body)
			}
		})
	}
}

// TestSocket: every message is an entry, acknowledged on the same connection; a refusal does not end it.
func TestSocket(t *testing.T) {
	books := &stubBooks{}
	server := httptest.NewServer(newHandler("z", books, slog.New(slog.DiscardHandler)))
	defer server.Close()
	conn, err := websocket.Dial("ws"+strings.TrimPrefix(server.URL, "http")+"/socket", "", server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, want := range []answer{{Zone: "z", ID: "id", Count: 1}, {Zone: "z", ID: "id", Count: 2}, {Zone: "z", Error: "down"}} {
		if want.Error != "" {
			books.refuse(errors.New(want.Error))
		}
		if err := websocket.Message.Send(conn, "x"); err != nil {
			t.Fatal(err)
		}
		var got answer
		if err := websocket.JSON.Receive(conn, &got); err != nil || got != want {
			t.Fatalf("answer %+v (error %v), want %+v", got, err, want)
		}
	}
}

// TestWork: beats in order with one name, an entry for some of them, until the context ends.
func TestWork(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	reader, out := io.Pipe()
	books := &stubBooks{}
	ended := make(chan error, 1)
	go func() { ended <- work(ctx, "z", books, out, slog.New(slog.DiscardHandler)) }()
	lines := json.NewDecoder(reader)
	var last beat
	for n := range 10 {
		var b beat
		if err := lines.Decode(&b); err != nil {
			t.Fatal(err)
		}
		if n > 0 && (b.Run != last.Run || b.Boot <= last.Boot) || b.Zone != "z" || b.Run == "" {
			t.Errorf("beat %+v after %+v", b, last)
		}
		last = b
	}
	cancel()
	go func() { _, _ = io.Copy(io.Discard, reader) }()
	if err := <-ended; err != nil || books.count == 0 {
		t.Errorf("ended with %v after %d entries", err, books.count)
	}
}
