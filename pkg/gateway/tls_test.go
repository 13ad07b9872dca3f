package gateway

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// shake returns the state of a handshake with l, which config adds to.
func (l *lab) shake(t *testing.T, config *tls.Config) (tls.ConnectionState, error) {
	t.Helper()
	config.InsecureSkipVerify = true
	conn, err := tls.Dial("tcp", strings.TrimPrefix(l.url, "https://"), config)
	if err != nil {
		return tls.ConnectionState{}, err
	}
	defer conn.Close()
	return conn.ConnectionState(), nil
}

func TestTLSVersionsAndProtocols(t *testing.T) {
	l := newLab(t, http.NotFoundHandler())
	if _, err := l.shake(t, &tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}); err == nil { //nolint:gosec // must be refused
		t.Error("TLS 1.1 was taken")
	}
	for _, c := range []struct{ offer, want string }{{"h2,http/1.1", "h2"}, {"http/1.1", "http/1.1"}, {"", ""}} {
		var offers []string
		if c.offer != "" {
			offers = strings.Split(c.offer, ",")
		}
		state, err := l.shake(t, &tls.Config{NextProtos: offers}) //nolint:gosec // Go's default
		if err != nil || state.NegotiatedProtocol != c.want {
			t.Errorf("offered %q: got %q, %v; want %q", c.offer, state.NegotiatedProtocol, err, c.want)
		}
	}
}

func TestCertificateIsReadAnew(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	pair := NewKeyPair(certFile, keyFile)
	old := time.Now().Add(-time.Hour)
	write := func(name string, modified time.Time) {
		certificate, key := pemOf(t, selfSigned(t, name))
		for file, content := range map[string][]byte{certFile: certificate, keyFile: key} {
			if err := os.WriteFile(file, content, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chtimes(file, modified, modified); err != nil {
				t.Fatal(err)
			}
		}
		pair.checked = time.Time{} // as if keyPairCheck had passed
	}
	write("first", old)
	l := newLab(t, http.NotFoundHandler(), func(c *Config) { c.Certificate = pair.Get })
	served := func() string {
		state, err := l.shake(t, &tls.Config{}) //nolint:gosec // Go's default
		if err != nil {
			t.Fatal(err)
		}
		return state.PeerCertificates[0].Subject.CommonName
	}
	if name := served(); name != "first" {
		t.Fatalf("serves %s", name)
	}
	write("second", old.Add(time.Minute))
	if name := served(); name != "second" {
		t.Errorf("serves %s after the files changed", name)
	}
	if err := os.WriteFile(keyFile, []byte("half a renewal"), 0o600); err != nil {
		t.Fatal(err)
	}
	pair.checked = time.Time{}
	if name := served(); name != "second" {
		t.Errorf("serves %s with files that do not fit", name)
	}
}

func TestClientCAIsReadAnew(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ca.crt")
	ca := NewCAFile(file)
	if _, err := ca.Get(); err == nil {
		t.Error("a file that is not there was taken")
	}
	first, second := newAuthority(t), newAuthority(t)
	write := func(content []byte, modified time.Time) {
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(file, modified, modified); err != nil {
			t.Fatal(err)
		}
		ca.checked = time.Time{}
	}
	encode := func(a *authority) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
	}
	knows := func(a *authority) bool {
		pool, err := ca.Get()
		if err != nil {
			t.Fatal(err)
		}
		return pool.Equal(a.pool())
	}
	now := time.Now()
	write(encode(first), now)
	if !knows(first) {
		t.Error("not the file's certificates")
	}
	write(encode(second), now.Add(time.Second))
	if !knows(second) {
		t.Error("not read anew")
	}
	write([]byte("nothing"), now.Add(2*time.Second))
	if !knows(second) {
		t.Error("an unusable file took the former certificates away")
	}
}

// TestClientCertificates looks at what a service is told of a client's certificate, and by whom.
func TestClientCertificates(t *testing.T) {
	const header = "X-Tls-Client-Certificate"
	forge := []string{"X-Tls-Client-Certificate", "x_tls_client_certificate", "X-Tls_Client.Certificate"}
	clients, others, services := newAuthority(t), newAuthority(t), newAuthority(t)
	known, unknown := clients.issue(t, "alice"), others.issue(t, "mallory")

	tell := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		told := "nobody"
		for name, values := range r.Header {
			if !strings.Contains(strings.ToLower(name), "cert") {
				continue
			}
			text, err := url.PathUnescape(values[0])
			block, _ := pem.Decode([]byte(text))
			if err != nil || block == nil {
				told = fmt.Sprintf("forged %s: %q", name, values)
				break
			}
			cert, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				told = err.Error()
				break
			}
			told = cert.Subject.CommonName
		}
		fmt.Fprint(w, told)
	})
	secure := httptest.NewUnstartedServer(tell)
	secure.TLS = &tls.Config{Certificates: []tls.Certificate{*services.issue(t, "service")}, MinVersion: tls.VersionTLS12}
	secure.StartTLS()
	t.Cleanup(secure.Close)

	for name, c := range map[string]struct {
		https, header, verify bool
		pair                  *tls.Certificate
		want                  string // what the service is told; "" where the handshake must fail
	}{
		"https, verified":             {https: true, header: true, verify: true, pair: known, want: "alice"},
		"https, verified, none given": {https: true, header: true, verify: true, want: "nobody"},
		"https, verified, unknown":    {https: true, header: true, verify: true, pair: unknown},
		"https, not verified":         {https: true, header: true, pair: unknown, want: "mallory"},
		"https, no header":            {https: true, verify: true, pair: known, want: "nobody"},
		"http":                        {header: true, verify: true, pair: known, want: "nobody"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, tell, func(cfg *Config) {
				if c.header {
					cfg.CertHeader = header
				}
				if c.verify {
					cfg.ClientCA = func() (*x509.CertPool, error) { return clients.pool(), nil }
				}
				if c.https {
					routes, err := ParseRoutes(fmt.Appendf(nil, `{"routes":[{"path":"/","upstream":%q}]}`, secure.URL))
					if err != nil {
						t.Fatal(err)
					}
					cfg.Routes, cfg.UpstreamCA = routes, services.pool()
				}
			})
			l.run(t)
			eventually(t, "gate open", l.isOpen)
			config := &tls.Config{InsecureSkipVerify: true} //nolint:gosec // a test's certificate
			if c.pair != nil {
				config.Certificates = []tls.Certificate{*c.pair}
			}
			transport := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}
			t.Cleanup(transport.CloseIdleConnections)
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, l.url, nil)
			if err != nil {
				t.Fatal(err)
			}
			if c.header {
				for _, name := range forge {
					r.Header[name] = []string{"forged"}
				}
			}
			response, err := transport.RoundTrip(r)
			if c.want == "" {
				if err == nil {
					response.Body.Close()
					t.Error("a certificate of an unknown CA was taken")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			if told := readAll(t, response.Body); told != c.want {
				t.Errorf("the service was told %q, want %q", told, c.want)
			}
		})
	}
}

// TestUnverifiedUpstreamIsNotReached: https towards services is never taken unverified.
func TestUnverifiedUpstreamIsNotReached(t *testing.T) {
	upstream := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("reached") }))
	t.Cleanup(upstream.Close)
	upstream.Config.ErrorLog = nil
	l := newLab(t, http.NotFoundHandler(), func(c *Config) {
		routes, err := ParseRoutes(fmt.Appendf(nil, `{"routes":[{"path":"/","upstream":%q}]}`, upstream.URL))
		if err != nil {
			t.Fatal(err)
		}
		c.Routes, c.UpstreamCA = routes, newAuthority(t).pool()
	})
	l.run(t)
	eventually(t, "gate open", l.isOpen)
	if response, _ := get(t, l.url); response.StatusCode != http.StatusBadGateway {
		t.Errorf("got %d", response.StatusCode)
	}
}
