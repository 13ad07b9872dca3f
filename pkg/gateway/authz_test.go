package gateway

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func (l *lab) ask(t *testing.T, method, target string, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, target, nil)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	l.Authz().ServeHTTP(w, r)
	return w
}

func TestAuthz(t *testing.T) {
	t.Parallel()
	l := newLab(t, http.NotFoundHandler(), func(c *Config) {
		c.ZoneURLs, c.Redirect = map[string]string{"east": "https://east.example.com/"}, http.StatusTemporaryRedirect
		c.ZoneNames = map[string]string{"east": "East"}
	})
	browser := []string{"Accept", "text/html"}
	type check struct {
		method, target string
		headers        []string
		code           int
		location       string
	}
	look := func(state string, checks []check) {
		for _, c := range checks {
			w := l.ask(t, c.method, c.target, c.headers...)
			if w.Code != c.code || w.Header().Get("Location") != c.location {
				t.Errorf("%s: %s %s %q: %d %v", state, c.method, c.target, c.headers, w.Code, w.Header())
			}
			if w.Code == http.StatusLocked && (w.Header().Get("Retry-After") == "" || w.Header().Get("Cache-Control") != "no-store") {
				t.Errorf("%s: %s %s: %v", state, c.method, c.target, w.Header())
			}
		}
	}
	look("boot", []check{
		{"GET", "/authz", nil, 423, ""},
		{"POST", "/authz/v1/jobs", nil, 423, ""},
		{"OPTIONS", "/authz/v1", nil, 423, ""}, // any 2xx would let the request through
		{"OPTIONS", "/locked", nil, 200, ""},
		{"GET", "/authz?lockedcode=403", nil, 403, ""},
		{"GET", "/authz?lockedcode=200", nil, 400, ""},
		{"GET", "/authz?lockedcode=x", nil, 400, ""},
		{"GET", "/authzen", nil, 404, ""},
		{"GET", "/", nil, 404, ""},
	})
	l.run(t)
	eventually(t, "gate open", l.isOpen)
	look("open", []check{
		{"GET", "/authz", nil, 200, ""},
		{"DELETE", "/authz/v1/jobs", nil, 200, ""},
		{"GET", "/authz?lockedcode=403", nil, 200, ""},
		{"GET", "/locked", nil, 423, ""},
	})
	open := l.ask(t, "GET", "/authz").Header()
	if open.Get(zoneHeader) != "West" || open.Get(stateHeader) != "Active" || open.Get(epochHeader) != "1" || open.Get(remainingHeader) == "" {
		t.Errorf("headers %v", open)
	}
	l.order(t, "east")
	eventually(t, "handed over", func() bool { return l.keeper.View().Holder == "east" })
	look("elsewhere", []check{
		{"GET", "/authz", nil, 423, ""},
		{"GET", "/authz/a/b%2Fc?d=e", browser, 307, "https://east.example.com/a/b%2Fc?d=e"},
		{"GET", "/authz", append([]string{"X-Forwarded-Uri", "/traefik?x=1"}, browser...), 307, "https://east.example.com/traefik?x=1"},
		{"GET", "/locked", append([]string{"X-Original-Uri", "/nginx"}, browser...), 307, "https://east.example.com/nginx"},
		{"GET", "/authz", append([]string{"X-Forwarded-Uri", "https://evil"}, browser...), 307, "https://east.example.com/"},
		{"GET", "/authz?lockedcode=403", browser, 403, ""},
	})
	if w := l.ask(t, "GET", "/authz"); !strings.Contains(w.Body.String(), "the active zone is East at https://east.example.com/.") || !strings.Contains(w.Header().Get("Link"), "https://east.example.com/") {
		t.Errorf("the refusal does not name the active zone: %v %s", w.Header(), w.Body)
	}
	for code, want := range map[string]float64{"200": 5, "423": 5} {
		if n := l.metric(t, `aporeto_gate_decisions_total{code="`+code+`",zone="West"}`); n < want {
			t.Errorf("%v decisions of %s", n, code)
		}
	}
}

// TestAuthzLooksAtTheDeadline: a keeper that hangs must not leave the decision at yes.
func TestAuthzLooksAtTheDeadline(t *testing.T) {
	t.Parallel()
	l := newLab(t, http.NotFoundHandler())
	l.gate.follow(viewUntil(l.cfg.Clock().Add(300 * time.Millisecond)))
	if w := l.ask(t, "GET", "/authz"); w.Code != http.StatusOK {
		t.Fatalf("open: %d", w.Code)
	}
	eventually(t, "423 once the deadline is past", func() bool { return l.ask(t, "GET", "/authz").Code == http.StatusLocked })
}

// TestNginxAsksTheGate runs the configuration of docs/gateway.md in Debian's nginx.
func TestNginxAsksTheGate(t *testing.T) {
	t.Parallel()
	program, err := exec.LookPath("nginx")
	if err != nil {
		t.Fatal("this test needs nginx: apt-get install --no-install-recommends nginx-light")
	}
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/forbidden" {
			http.Error(w, "the service's own", http.StatusForbidden)
			return
		}
		fmt.Fprint(w, "served")
	}))
	t.Cleanup(service.Close)
	l := newLab(t, http.NotFoundHandler(), func(c *Config) { c.ZoneURLs = map[string]string{"east": "https://east.example.com"} })
	authz := httptest.NewServer(l.Authz())
	t.Cleanup(authz.Close)

	page, err := os.ReadFile("../../docs/gateway.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "```nginx\n")
	example, _, found := strings.Cut(rest, "```")
	if !found {
		t.Fatal("docs/gateway.md has no nginx configuration")
	}
	dir, address := t.TempDir(), freePort(t)
	for from, to := range map[string]string{
		"aporeto-gateway-authz.aporeto.svc:9091": strings.TrimPrefix(authz.URL, "http://"),
		"squall.aporeto.svc:80":                  strings.TrimPrefix(service.URL, "http://"),
		"listen 80;":                             "listen " + address + ";",
	} {
		if !strings.Contains(example, from) {
			t.Fatalf("the configuration of docs/gateway.md has no %s", from)
		}
		example = strings.ReplaceAll(example, from, to)
	}
	// One process, so that ending it ends all.
	config := fmt.Sprintf("daemon off;\nmaster_process off;\npid %s/pid;\nerror_log %[1]s/error.log;\nevents {}\nhttp {\naccess_log off;\n", dir)
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		config += fmt.Sprintf("%s_temp_path %s/%[1]s;\n", kind, dir)
	}
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(config+example+"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	nginx := exec.Command(program, "-p", dir, "-e", filepath.Join(dir, "error.log"), "-c", file) //nolint:gosec // found above
	if err := nginx.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = nginx.Process.Signal(syscall.SIGTERM)
		_ = nginx.Wait()
	})
	url := "http://" + address
	eventually(t, "nginx answers", func() bool {
		response, err := http.Get(url)
		if err != nil {
			return false
		}
		response.Body.Close()
		return true
	})

	if response, body := get(t, url+"/x"); response.StatusCode != http.StatusLocked || !strings.Contains(body, `"title":"Service Locked"`) || response.Header.Get("Retry-After") == "" {
		t.Errorf("closed: %d %v %s", response.StatusCode, response.Header, body)
	}
	if response, body := get(t, url+"/x", "Accept", "text/html"); response.StatusCode != http.StatusLocked || !strings.Contains(body, "<h1>") {
		t.Errorf("closed, a browser: %d %s", response.StatusCode, body)
	}
	l.run(t)
	eventually(t, "open", func() bool {
		response, body := get(t, url+"/x")
		return response.StatusCode == http.StatusOK && body == "served"
	})
	if response, body := get(t, url+"/forbidden"); response.StatusCode != http.StatusForbidden || !strings.Contains(body, "the service's own") {
		t.Errorf("a service's own 403 became %d %q", response.StatusCode, body)
	}
	l.order(t, "east")
	eventually(t, "closed", func() bool {
		response, body := get(t, url+"/x")
		return response.StatusCode == http.StatusLocked && strings.Contains(body, "https://east.example.com")
	})
	authz.Close()
	if response, _ := get(t, url+"/x"); response.StatusCode < 500 {
		t.Errorf("a gate that does not answer means %d", response.StatusCode)
	}
}
