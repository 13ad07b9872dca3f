package probe_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/probe"
)

func TestMain(m *testing.M) {
	log.SetOutput(io.Discard) // httptest's servers tell of the handshakes that these tests break
	m.Run()
}

func TestProbe(t *testing.T) {
	ca := newAuthority(t)
	good := ca.issue(host, time.Hour)
	followed := false
	elsewhere := startGateway(t, "127.0.0.1:0", good, func(w http.ResponseWriter, r *http.Request) {
		followed = true
		identity("zone-b", nil)(w, r)
	})
	text := func(s string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, s) }
	}
	spoilt := func(key string, value any) http.HandlerFunc {
		return identity("zone-a", func(a map[string]any) { a[key] = value })
	}
	tests := []struct {
		name   string
		answer http.HandlerFunc
		cert   *tls.Certificate // nil: a good one
		kind   probe.Kind
		says   string
	}{
		{name: "a zone", answer: identity("Zone-A", nil)},
		{name: "nonce missing", answer: identity("zone-a", func(a map[string]any) { delete(a, "nonce") }), kind: probe.Nonce},
		{name: "another nonce", answer: spoilt("nonce", "0123"), kind: probe.Nonce},
		{name: "another environment", answer: spoilt("environment", "env-2"), kind: probe.Environment, says: `"env-2"`},
		{name: "another environment, endless name", answer: spoilt("environment", strings.Repeat("x", 60_000)), kind: probe.Environment, says: "xxx…"},
		{name: "no environment", answer: spoilt("environment", ""), kind: probe.Malformed},
		{name: "no zone", answer: spoilt("zone", ""), kind: probe.Malformed},
		{name: "impossible zone", answer: spoilt("zone", "a/b"), kind: probe.Malformed, says: `"a/b"`},
		{name: "zone of another type", answer: spoilt("zone", 5), kind: probe.Malformed},
		{name: "endless state", answer: spoilt("state", strings.Repeat("A", 33)), kind: probe.Malformed},
		{name: "a web page", answer: text("<html>welcome</html>"), kind: probe.Malformed},
		{name: "two documents", answer: text("{}{}"), kind: probe.Malformed},
		{name: "oversized", answer: text(`{"zone":"` + strings.Repeat("a", 65<<10)), kind: probe.Malformed, says: "65536 bytes"},
		{name: "locked out", answer: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusLocked) }, kind: probe.HTTP, says: "423"},
		{name: "redirect", answer: func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://"+elsewhere.addr.String()+r.URL.String(), http.StatusFound)
		}, kind: probe.HTTP, says: "302"},
		{name: "slow", answer: func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, kind: probe.HTTP, says: "deadline"},
		{name: "slow body", answer: func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, "{")
			http.NewResponseController(w).Flush()
			<-r.Context().Done()
			panic(http.ErrAbortHandler) // else the end of a whole answer could overtake the closing of the connection
		}, kind: probe.HTTP, says: "deadline"},
		{name: "hangs up", answer: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, kind: probe.HTTP},
		{name: "unknown CA", answer: identity("zone-a", nil), cert: new(newAuthority(t).issue(host, time.Hour)), kind: probe.TLS, says: "unknown authority"},
		{name: "expired certificate", answer: identity("zone-a", nil), cert: new(ca.issue(host, -time.Minute)), kind: probe.TLS, says: "expired"},
		{name: "other name", answer: identity("zone-a", nil), cert: new(ca.issue("other.test", time.Hour)), kind: probe.TLS, says: "not " + host},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := startGateway(t, "127.0.0.1:0", *cmp.Or(tt.cert, &good), tt.answer)
			dns := startNameServer(t, g.addr.Addr())
			p := newProber(t, ca, g.addr.Port(), dns.addr)
			r := p.Round(t.Context())[0]
			if r.Kind != tt.kind || (r.Err == nil) != (tt.kind == probe.OK) {
				t.Fatalf("got kind %q, error %v; want kind %q", r.Kind, r.Err, tt.kind)
			}
			if tt.kind == probe.OK {
				if r.Zone != "zone-a" || r.State != "Locked" || r.Epoch != 7 || r.Address != g.addr.String() || r.Resolver != dns.addr {
					t.Errorf("got %+v", r)
				}
				return
			}
			if !strings.Contains(r.Err.Error(), tt.says) || len(r.Err.Error()) > 400 || r.Zone != "" {
				t.Errorf("got zone %q, error %q; want one with %q", r.Zone, r.Err, tt.says)
			}
		})
	}
	if followed {
		t.Error("a redirect was followed")
	}
}

func TestUnreachable(t *testing.T) {
	ca := newAuthority(t)
	g := startGateway(t, "127.0.0.1:0", ca.issue(host, time.Hour), identity("zone-a", nil))
	silent, err := (&net.ListenConfig{}).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	closed := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.9"), g.addr.Port()) // nothing listens there
	here, nowhere, nothing := startNameServer(t, g.addr.Addr()), startNameServer(t, closed.Addr()), startNameServer(t, netip.Addr{})

	got := newProber(t, ca, g.addr.Port(), here.addr, nowhere.addr, nothing.addr, silent.LocalAddr().String()).Round(t.Context())
	for i, want := range []probe.Kind{probe.OK, probe.Connect, probe.DNS, probe.DNS} {
		if got[i].Kind != want {
			t.Errorf("resolver %d: got %q (%v), want %q", i, got[i].Kind, got[i].Err, want)
		}
	}
	if got[1].Address != "" || got[3].Took > 2*limit {
		t.Errorf("got %+v", got)
	}
}

// Every probe must ask DNS and connect anew: a kept connection would lead to where the record pointed once.
func TestFollowsTheRecord(t *testing.T) {
	ca := newAuthority(t)
	cert := ca.issue(host, time.Hour)
	a := startGateway(t, "127.0.0.1:0", cert, identity("zone-a", nil))
	b := startGateway(t, fmt.Sprintf("127.0.0.2:%d", a.addr.Port()), cert, identity("zone-b", nil))
	one, two := startNameServer(t, a.addr.Addr()), startNameServer(t, a.addr.Addr())
	p := newProber(t, ca, a.addr.Port(), one.addr, two.addr)
	zones := func() string {
		var b bytes.Buffer
		for _, r := range p.Round(t.Context()) {
			fmt.Fprintf(&b, "%s%s ", r.Zone, r.Kind)
		}
		return b.String()
	}
	if got := zones(); got != "zone-a zone-a " {
		t.Errorf("at first: got %q", got)
	}
	one.point(b.addr.Addr())
	if got := zones(); got != "zone-b zone-a " {
		t.Errorf("record moved at one resolver: got %q", got)
	}
	two.point(b.addr.Addr())
	if got := zones(); got != "zone-b zone-b " {
		t.Errorf("record moved: got %q", got)
	}
	if a.connections.Load() != 3 || b.connections.Load() != 3 {
		t.Errorf("got %d and %d connections, want 3 and 3", a.connections.Load(), b.connections.Load())
	}
	if one.queries.Load() < 3 {
		t.Errorf("got %d queries in 3 rounds", one.queries.Load())
	}
}

func TestRoundEndsWithItsContext(t *testing.T) {
	ca := newAuthority(t)
	g := startGateway(t, "127.0.0.1:0", ca.issue(host, time.Hour), func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	began := time.Now()
	if r := newProber(t, ca, g.addr.Port(), startNameServer(t, g.addr.Addr()).addr).Round(ctx)[0]; r.Err == nil || time.Since(began) > limit/2 {
		t.Errorf("got %+v after %s", r, time.Since(began))
	}
}

func TestValidate(t *testing.T) {
	for endpoint, want := range map[string]string{
		"https://api.example.com":       "",
		"https://api.example.com/":      "",
		"https://10.0.0.1:8443":         "",
		"https://[2001:db8::1]":         "",
		"http://api.example.com":        "is http",
		"http://127.0.0.1:8080":         "is http",
		"api.example.com":               "not an https URL",
		"":                              "not an https URL",
		"https://":                      "not an https URL",
		"https://me:secret@example.com": "user name",
		"https://example.com/v1":        "more than a host",
		"https://example.com?a=b":       "more than a host",
		"https://example.com:0":         "impossible port",
		"https://example.com:99999":     "impossible port",
		"https://a b":                   "invalid character",
	} {
		err := probe.Options{Endpoint: endpoint, Environment: "env-1"}.Validate()
		if (err == nil) != (want == "") || err != nil && (!strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret")) {
			t.Errorf("endpoint %q: got %v, want %q", endpoint, err, want)
		}
	}
	_, err := probe.New(probe.Options{Endpoint: "http://x", Resolvers: []string{"10.0.0.10", "system", "system", ":53"}, Timeout: -1})
	for _, want := range []string{"is http", "no environment", `"10.0.0.10" is not HOST:PORT`, `"system" is given twice`, `":53" is not`, "negative"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want all problems, %q among them", err, want)
		}
	}
}

// limit bounds one probe in these tests.
const limit = 500 * time.Millisecond

func newProber(t *testing.T, ca *authority, port uint16, resolvers ...string) *probe.Prober {
	t.Helper()
	p, err := probe.New(probe.Options{
		Endpoint: fmt.Sprintf("https://%s:%d", host, port), Environment: "env-1", Resolvers: resolvers, Roots: ca.pool, Timeout: limit, UserAgent: "test",
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}
