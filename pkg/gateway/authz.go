package gateway

import (
	"net/http"
	"strconv"
	"strings"
)

// What the answers of Authz carry besides the refusal's headers.
const (
	zoneHeader      = "Aporeto-Zone"
	stateHeader     = "Aporeto-State"
	epochHeader     = "Aporeto-Epoch"
	remainingHeader = "Aporeto-Lease-Remaining" // seconds until this replica's gate closes unless it renews
)

// Authz returns the gate's decision for those who keep their own ingress: /authz (and all below it) answers 200 while the gate is open,
// and what the public address would refuse with when it is not. /locked (and all below it) always refuses, for ingresses that ask first
// and fetch the refusal afterwards; there OPTIONS is answered as the public address does.
//
// The decision is the one of the moment. Unlike the gateway's own proxy, an ingress goes on with what it once let through.
func (g *Gateway) Authz() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if g.leaving.Load() {
			w.Header().Set("Connection", "close") // the ingress asks a sibling next time
		}
		uri, ask := under(r.URL.EscapedPath(), "/authz")
		_, refuse := under(r.URL.EscapedPath(), "/locked")
		if !ask && !refuse {
			http.NotFound(w, r)
			return
		}
		code, ok := remapped(r, "lockedcode", http.StatusLocked)
		if !ok || code < 300 {
			answer(w, http.StatusBadRequest, "lockedcode is not a status code between 300 and 599")
			return
		}
		v := g.keeper.View()
		h := w.Header()
		h.Set(zoneHeader, g.cfg.Zone)
		h.Set(stateHeader, string(v.State))
		h.Set(epochHeader, strconv.FormatInt(v.Epoch, 10))
		if ask && g.gate.Open() {
			h.Set(remainingHeader, strconv.FormatFloat(max(0, (v.Deadline.Mono-g.cfg.Clock().Mono).Seconds()), 'f', 3, 64))
			h.Set("Cache-Control", "no-store")
			w.WriteHeader(http.StatusOK)
			g.metrics.decision(http.StatusOK)
			return
		}
		if refuse && r.Method == http.MethodOptions {
			g.metrics.decision(g.refusal.answer(w, r, v))
			return
		}
		g.metrics.decision(g.refusal.refuse(w, r, v, refused{code: code, uri: askedURI(r, uri)}))
	})
}

// under tells whether path is prefix or lies below it, and returns what lies below.
func under(path, prefix string) (string, bool) {
	rest, found := strings.CutPrefix(path, prefix)
	return rest, found && (rest == "" || rest[0] == '/')
}

// askedURI is the path and query that the ingress's client asked for: as Traefik says it, as nginx is told to say it in docs/gateway.md,
// or as Envoy appends it to the path.
func askedURI(r *http.Request, below string) string {
	for _, name := range []string{"X-Forwarded-Uri", "X-Original-Uri"} {
		if uri := r.Header.Get(name); strings.HasPrefix(uri, "/") {
			return uri
		}
	}
	if below == "" {
		return "/"
	}
	if r.URL.RawQuery != "" {
		below += "?" + r.URL.RawQuery
	}
	return below
}
