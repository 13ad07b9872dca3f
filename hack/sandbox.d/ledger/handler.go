package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"

	"golang.org/x/net/websocket"
)

// entries records requests; *books is the one for MongoDB.
type entries interface {
	// write stores an entry and returns its id and how many entries there are, of all zones.
	write(ctx context.Context, zone, method, path string) (id string, count int64, err error)
	// read returns the zone that wrote an entry.
	read(ctx context.Context, id string) (zone string, found bool, err error)
}

// answer is the JSON body of every answer but /healthz: the zone that answers and what it did, or the error.
type answer struct {
	Zone  string `json:"zone"`
	ID    string `json:"id,omitempty"`
	Count int64  `json:"count,omitempty"` // of a write
	Of    string `json:"of,omitempty"`    // of a read: the zone that wrote the entry
	Error string `json:"error,omitempty"`
}

// ledger answers for one zone.
type ledger struct {
	zone  string
	books entries
	log   *slog.Logger
}

// newHandler answers /healthz with 200, always: a database that is away is not cured by a restart of this process. GET /alive names the
// zone, without the database; GET /entries/ID reads an entry; /socket is a websocket, on which every message writes one and is answered with
// a message; any other path writes an entry. What the database refused is 503 and the reason.
func newHandler(zone string, books entries, log *slog.Logger) http.Handler {
	l := &ledger{zone: zone, books: books, log: log}
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	mux.HandleFunc("GET /alive", func(w http.ResponseWriter, r *http.Request) {
		l.reply(w, r, func(context.Context) (int, answer) { return http.StatusOK, answer{Zone: zone} })
	})
	mux.HandleFunc("GET /entries/{id}", func(w http.ResponseWriter, r *http.Request) {
		l.reply(w, r, func(ctx context.Context) (int, answer) { return l.read(ctx, r.PathValue("id")) })
	})
	// A Server, not a Handler: that one wants an Origin, which only browsers send.
	mux.Handle("/socket", websocket.Server{Handler: l.socket})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		l.reply(w, r, func(ctx context.Context) (int, answer) { return l.write(ctx, r.Method, r.URL.Path) })
	})
	return mux
}

func (l *ledger) write(ctx context.Context, method, path string) (int, answer) {
	id, count, err := l.books.write(ctx, l.zone, method, path)
	if err != nil {
		return l.refused(err)
	}
	return http.StatusOK, answer{Zone: l.zone, ID: id, Count: count}
}

func (l *ledger) read(ctx context.Context, id string) (int, answer) {
	of, found, err := l.books.read(ctx, id)
	switch {
	case err != nil:
		return l.refused(err)
	case !found:
		return http.StatusNotFound, answer{Zone: l.zone, Error: "there is no such entry"}
	}
	return http.StatusOK, answer{Zone: l.zone, ID: id, Of: of}
}

func (l *ledger) refused(err error) (int, answer) {
	l.log.Warn("the database refused", "error", err)
	return http.StatusServiceUnavailable, answer{Zone: l.zone, Error: err.Error()}
}

func (l *ledger) reply(w http.ResponseWriter, r *http.Request, act func(context.Context) (int, answer)) {
	ctx, cancel := context.WithTimeout(r.Context(), requestTimeout)
	defer cancel()
	status, body := act(ctx)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(body); err != nil {
		l.log.Debug("client went away", "error", err)
	}
}

// socket answers until the client goes, or the gateway cuts it.
func (l *ledger) socket(conn *websocket.Conn) {
	conn.MaxPayloadBytes = 4 << 10
	for {
		var message string
		if err := websocket.Message.Receive(conn, &message); err != nil {
			return
		}
		ctx, cancel := context.WithTimeout(conn.Request().Context(), requestTimeout)
		_, body := l.write(ctx, "MESSAGE", "/socket")
		cancel()
		if err := websocket.JSON.Send(conn, body); err != nil {
			return
		}
	}
}

// closing ends every connection with the answer to its next request once ctx has ended. Closing idle ones from this side would lose
// the request that is on its way to one.
func closing(ctx context.Context, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if ctx.Err() != nil {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}
