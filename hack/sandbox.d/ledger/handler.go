package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
)

// writer records one request; *books is the one for MongoDB.
type writer interface {
	// write stores an entry and returns its id and how many entries there are, of all zones.
	write(ctx context.Context, zone, method, path string) (id string, count int64, err error)
}

// answer is the JSON body of every answer but /healthz: the first three fields, or the error.
type answer struct {
	Zone  string `json:"zone"`
	ID    string `json:"id,omitempty"`
	Count int64  `json:"count,omitempty"`
	Error string `json:"error,omitempty"`
}

// newHandler answers /healthz with 200, always: a database that is away is not cured by a restart of this process. Any
// other path writes an entry and is answered with 200, or 503 and the reason.
func newHandler(zone string, books writer, log *slog.Logger) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), requestTimeout)
		defer cancel()
		status, body := http.StatusOK, answer{Zone: zone}
		var err error
		if body.ID, body.Count, err = books.write(ctx, zone, r.Method, r.URL.Path); err != nil {
			status, body = http.StatusServiceUnavailable, answer{Zone: zone, Error: err.Error()}
			log.Warn("entry not written", "error", err)
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(status)
		if err := json.NewEncoder(w).Encode(body); err != nil {
			log.Debug("client went away", "error", err)
		}
	})
	return mux
}
