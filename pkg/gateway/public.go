package gateway

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/lease"
)

// IdentityPath is where a gateway says, in every state, whose it is.
const IdentityPath = "/.well-known/aporeto/zone"

// Identity is the answer at IdentityPath.
type Identity struct {
	Environment string      `json:"environment"`
	Zone        string      `json:"zone"`
	State       lease.State `json:"state"`
	Epoch       int64       `json:"epoch"`
	Nonce       string      `json:"nonce"`     // the query's, echoed, so that a cache cannot answer
	Remaining   int64       `json:"remaining"` // milliseconds left of the lease when the answer was made; 0 when closed
}

// maxNonce bounds what is echoed.
const maxNonce = 128

// Public returns the handler of the public address: the surface that every state has, and the gate before everything else.
func (g *Gateway) Public() http.Handler {
	// Not a ServeMux: it redirects paths that it finds unclean, and those are the services' business.
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if back, is := r.Context().Value(connKey{}).(*returned); is {
			r.TLS = back.tls
		}
		if g.leaving.Load() && r.Header.Get("Upgrade") == "" {
			w.Header().Set("Connection", "close") // over HTTP/2 this becomes a GOAWAY; either way the next request goes to a sibling
		}
		if own, found := g.surface[r.URL.Path]; found && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
			answerEarly(w, r)
			own(w, r)
			return
		}
		g.fence(w, r)
	})
}

// Status returns the handler of the address inside the cluster.
func (g *Gateway) Status() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+IdentityPath, g.identity)
	mux.HandleFunc("POST "+HeldPath+"{id}", g.askHeld)
	mux.HandleFunc("DELETE "+HeldPath+"{id}", g.giveBackHeld)
	mux.HandleFunc("GET /healthz/live", live)
	mux.HandleFunc("GET /healthz/ready", g.ready)
	mux.HandleFunc("GET /healthz/eligible", g.eligible)
	mux.HandleFunc("GET /healthz/active", g.active)
	mux.HandleFunc("GET "+conditionsPath, g.conditions)
	mux.Handle("GET /metrics", g.metrics.handler())
	return mux
}

// fence proxies the request while the gate is open, and answers 423 otherwise.
func (g *Gateway) fence(w http.ResponseWriter, r *http.Request) {
	pass, open := g.gate.Enter()
	if !open {
		answerEarly(w, r)
		g.metrics.request(g.refusal.answer(w, r, g.keeper.View()))
		return
	}
	if l, route := g.lane(w, r); l != nil {
		l.run(r, route, pass)
		return
	}
	defer pass.Leave()
	fenced := &fencedWriter{ResponseWriter: w, passage: passage{pass: pass}, leaving: &g.leaving, onCut: g.metrics.cut}
	defer func() { g.metrics.request(fenced.code) }()
	g.proxy.serve(fenced, r)
}

// answerEarly lets an answer go out at once, though the request's body may still be coming: over HTTP/1 net/http would read it first, for as
// long as the client takes to send it.
func answerEarly(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor != 1 || r.Body == nil || r.Body == http.NoBody {
		return
	}
	_ = http.NewResponseController(w).EnableFullDuplex()
	limitRest(w)
}

// limitRest gives the client a while to send the rest of its body, which nobody reads, so that its connection can be used again. After an
// error of a TLS connection no later read succeeds, so that a rest which comes too late is not taken for a request.
func limitRest(w http.ResponseWriter) {
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(restTime))
}

func (g *Gateway) identity(w http.ResponseWriter, r *http.Request) {
	g.writeIdentity(w, r, left(g.keeper.View(), g.cfg.Clock()))
}

// writeIdentity answers with the identity and what is left of the lease.
func (g *Gateway) writeIdentity(w http.ResponseWriter, r *http.Request, remaining time.Duration) {
	nonce := r.URL.Query().Get("nonce")
	if len(nonce) > maxNonce {
		http.Error(w, "nonce is longer than "+strconv.Itoa(maxNonce)+" characters", http.StatusBadRequest)
		return
	}
	v := g.keeper.View()
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	// An error means that the client went away.
	_ = json.NewEncoder(w).Encode(Identity{
		Environment: g.cfg.Environment, Zone: g.cfg.Zone, State: v.State, Epoch: v.Epoch, Nonce: nonce, Remaining: remaining.Milliseconds(),
	})
}

func live(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, "live") }

// ready keeps a replica out of the Service while its zone holds the lease and this replica has not confirmed it. A passive zone's
// replicas are ready: somebody must answer the 423.
func (g *Gateway) ready(w http.ResponseWriter, _ *http.Request) {
	if g.leaving.Load() {
		answer(w, http.StatusServiceUnavailable, "this replica is going away")
		return
	}
	if v := g.keeper.View(); !v.Ready {
		answer(w, http.StatusServiceUnavailable, "the zone holds the lease, this replica has not confirmed it yet")
		return
	}
	answer(w, http.StatusOK, "ready")
}

// eligible tells a load balancer whether the zone could serve. It does not depend on being active, or nobody would ever be chosen; only
// an operator's order for another zone stands against it, so that load balancers follow.
func (g *Gateway) eligible(w http.ResponseWriter, _ *http.Request) {
	if reason := g.ineligible(); reason != "" {
		answer(w, http.StatusServiceUnavailable, reason)
		return
	}
	answer(w, http.StatusOK, "eligible")
}

// ineligible returns why load balancers should not choose the zone, "" when they may.
func (g *Gateway) ineligible() string {
	if g.keeper.View().OrderedAway {
		return "an operator ordered another zone to serve"
	}
	return g.health.reason()
}

// active answers 200 when open and 423 when not; the query's activecode and lockedcode put other codes in their place, as Vault's
// health endpoint allows for load balancers that know few codes.
func (g *Gateway) active(w http.ResponseWriter, r *http.Request) {
	code, name := http.StatusLocked, "lockedcode"
	if g.gate.Open() {
		code, name = http.StatusOK, "activecode"
	}
	code, ok := remapped(r, name, code)
	if !ok {
		answer(w, http.StatusBadRequest, name+" is not a status code between 200 and 599")
		return
	}
	answer(w, code, string(g.keeper.View().State))
}

// remapped returns the status code that the query's name asks for, else code; and false where the query asks for none that there is.
func remapped(r *http.Request, name string, code int) (int, bool) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return code, true
	}
	asked, err := strconv.Atoi(text)
	return asked, err == nil && asked >= 200 && asked <= 599
}

func answer(w http.ResponseWriter, code int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_, _ = w.Write([]byte(text + "\n")) // an error means that the client went away
}
