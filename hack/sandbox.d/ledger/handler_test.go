package main

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
)

// stubBooks counts the entries and can refuse them.
type stubBooks struct {
	count int64
	err   error
}

func (s *stubBooks) write(context.Context, string, string, string) (string, int64, error) {
	if s.err != nil {
		return "", 0, s.err
	}
	s.count++
	return "id", s.count, nil
}

func TestHandler(t *testing.T) {
	for name, c := range map[string]struct {
		path   string
		books  stubBooks
		status int
		body   answer
		writes int64
	}{
		"any path writes": {path: "/v1/x", status: 200, body: answer{Zone: "z", ID: "id", Count: 1}, writes: 1},
		"the root, too":   {path: "/", books: stubBooks{count: 4}, status: 200, body: answer{Zone: "z", ID: "id", Count: 5}, writes: 5},
		"refused":         {path: "/", books: stubBooks{err: errors.New("not authorized")}, status: 503, body: answer{Zone: "z", Error: "not authorized"}},
		"probe":           {path: "/healthz", books: stubBooks{err: errors.New("down")}, status: 200},
	} {
		t.Run(name, func(t *testing.T) {
			w := httptest.NewRecorder()
			newHandler("z", &c.books, slog.New(slog.DiscardHandler)).ServeHTTP(w, httptest.NewRequest(http.MethodGet, c.path, nil))
			if w.Code != c.status || c.books.count != c.writes {
				t.Errorf("status %d after %d writes, want %d after %d", w.Code, c.books.count, c.status, c.writes)
			}
			if c.path == "/healthz" {
				return
			}
			var got answer
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || got != c.body {
				t.Errorf("answer %+v (error %v), want %+v", got, err, c.body)
			}
		})
	}
}
