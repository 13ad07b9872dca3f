package gateway

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/lease"
)

// TestSurfaceInEveryState asks the table of docs/failover.md in every state that a replica can be in.
func TestSurfaceInEveryState(t *testing.T) {
	t.Parallel()
	for _, state := range []lease.State{lease.Locked, lease.Candidate, lease.Acquiring, lease.Active, lease.Draining, lease.Fenced, lease.Pinned} {
		t.Run(string(state), func(t *testing.T) {
			t.Parallel()
			l := newLab(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) }))
			now := l.cfg.Clock()
			open := state == lease.Active
			view := lease.View{State: state, Known: true, Epoch: 7, Holder: "west", Opening: "o"}
			if open || state == lease.Draining {
				view.Open, view.Deadline = true, now.Add(time.Hour)
			}
			l.gate.follow(view) // a gate drains only after it was open
			view.Open = open
			l.gate.follow(view)
			l.keeper.view.Store(&view)

			passed, locked := http.StatusLocked, http.StatusLocked
			if open {
				passed, locked = http.StatusAccepted, http.StatusOK
			}
			options := http.StatusOK
			if open {
				options = http.StatusAccepted // the services' own answer
			}
			for _, c := range []struct {
				method, target string
				code           int
			}{
				{"GET", IdentityPath + "?nonce=n", 200},
				{"HEAD", IdentityPath, 200},
				{"GET", "/healthz/live", 200},
				{"GET", "/healthz/eligible", 503}, // nobody looked yet
				{"GET", "/healthz/active", locked},
				{"HEAD", "/healthz/active", locked},
				{"GET", "/healthz/active?activecode=299&lockedcode=298", map[bool]int{true: 299, false: 298}[open]},
				{"OPTIONS", "/", options},
				{"OPTIONS", "/healthz/active", options},
				{"GET", "/", passed},
				{"POST", "/", passed},
				{"DELETE", "/a/b", passed},
				{"POST", "/healthz/active", passed},
			} {
				w := httptest.NewRecorder()
				l.Public().ServeHTTP(w, httptest.NewRequestWithContext(context.WithoutCancel(t.Context()), c.method, c.target, nil))
				if w.Code != c.code {
					t.Errorf("%s %s: %d, want %d", c.method, c.target, w.Code, c.code)
				}
				if c.code == http.StatusLocked && (w.Header().Get("Cache-Control") != "no-store") {
					t.Errorf("%s %s: %v", c.method, c.target, w.Header())
				}
				if c.target == "/" && c.code == http.StatusLocked {
					want := `[{"code":423,"title":"Service Locked","subject":"gateway","description":"The zone West is in maintenance mode."}]`
					if body := strings.TrimSpace(w.Body.String()); body != want || w.Header().Get("Retry-After") == "" || w.Header().Get("Content-Type") != "application/json" {
						t.Errorf("%s: %s %v", c.method, body, w.Header())
					}
				}
				if c.method == http.MethodOptions && !open && w.Header().Get("Access-Control-Allow-Origin") == "" {
					t.Errorf("OPTIONS %s without CORS: %v", c.target, w.Header())
				}
				if c.method == http.MethodGet && strings.HasPrefix(c.target, IdentityPath) {
					var identity Identity
					if err := json.Unmarshal(w.Body.Bytes(), &identity); err != nil || identity.State != state || identity.Epoch != 7 || identity.Nonce != "n" || w.Header().Get("Cache-Control") != "no-store" {
						t.Errorf("identity %s %v", w.Body, w.Header())
					}
				}
			}
		})
	}
}
