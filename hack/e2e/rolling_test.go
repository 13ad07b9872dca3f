//go:build e2e

package e2e

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// hammer asks the serving zone all the while, patiently, and keeps what was not answered with 200.
type hammer struct {
	zone   string
	stop   context.CancelFunc
	wg     sync.WaitGroup
	mu     sync.Mutex
	served int
	failed []string
}

func startHammer(t *testing.T, zone string) *hammer {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	h := &hammer{zone: zone, stop: stop}
	t.Cleanup(stop)
	for _, kind := range []string{freshConnections, keptConnections, http2} {
		h.wg.Go(func() {
			c := newRequests(zone, kind)
			c.client.Timeout = 15 * time.Second // a busy machine is no failure of the zone
			defer c.close()
			for n := 0; ctx.Err() == nil; n++ {
				at := time.Now()
				code, _, err := c.next(context.WithoutCancel(ctx), n) // the last one shall be answered too
				h.mu.Lock()
				if err == nil && code == http.StatusOK {
					h.served++
				} else {
					h.failed = append(h.failed, fmt.Sprintf("%s (%s, %v): %d %v", at.Format("15:04:05.000"), kind, time.Since(at).Round(time.Millisecond), code, err))
				}
				h.mu.Unlock()
				select {
				case <-ctx.Done():
				case <-time.After(10 * time.Millisecond):
				}
			}
		})
	}
	return h
}

// finish ends the hammering and fails the test for every request that was not served.
func (h *hammer) finish(t *testing.T, what string) {
	t.Helper()
	h.stop()
	h.wg.Wait()
	for _, failure := range h.failed {
		t.Error(failure)
	}
	t.Logf("%s: %d requests of %s served, %d failed", what, h.served, h.zone, len(h.failed))
	if h.served == 0 {
		t.Error("nothing was served")
	}
}

// gatewaysRoll replaces the serving zone's gateways, one by one as Kubernetes does it, twice, while every request is served.
func (l *lab) gatewaysRoll(t *testing.T, from, _ string) {
	h := startHammer(t, from)
	for range 2 {
		l.kubectl(t, from, "rollout", "restart", "deployment/aporeto-gateway")
		l.kubectl(t, from, "rollout", "status", "deployment/aporeto-gateway", "--timeout=3m")
	}
	// Kubernetes calls it done when the last new one is ready: the last old one is still going.
	await(t, time.Minute, "only new gateways are left", func() bool {
		pods := l.kubectl(t, from, "get", "pods", "-l", "app.kubernetes.io/component=gateway", "-o", "name")
		return len(strings.Fields(pods)) == 2
	})
	h.finish(t, "gateways replaced")
}

// gatewaysBlind deploys gateways that cannot reach the database to the serving zone: they replace nobody, and deploy says why.
func (l *lab) gatewaysBlind(t *testing.T, from, _ string) {
	work := t.TempDir()
	wrong := filepath.Join(work, "ca.crt")
	if r := l.run(t, time.Minute, "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1",
		"-subj", "/CN=Wrong CA", "-keyout", filepath.Join(work, "ca.key"), "-out", wrong); r.code != 0 {
		t.Fatal(r.stderr)
	}
	pair, err := base64.StdEncoding.DecodeString(l.kubectl(t, from, "get", "secret", "aporeto-gateway-mongodb", "-o", `jsonpath={.data.full\.pem}`))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(work, "full.pem"), pair, 0o600); err != nil {
		t.Fatal(err)
	}
	l.kubectl(t, from, "create", "secret", "generic", "wrong-ca", "--from-file=ca.crt="+wrong, "--from-file="+filepath.Join(work, "full.pem"))
	h := startHammer(t, from)
	r := l.aporeto(t, "deploy", "--zone", names[from], "--set", "gateway.mongo.existingSecret=wrong-ca", "--timeout", "20s")
	if r.code != 1 || !strings.Contains(r.stderr, "Deployment/aporeto-gateway") || !strings.Contains(r.stderr, "x509: certificate signed by unknown authority") ||
		!strings.Contains(r.stderr, "logs aporeto-gateway-") {
		t.Errorf("deploy with the wrong CA: exit %d\n%s", r.code, r.stderr)
	}
	l.must(t, "deploy", "--zone", names[from])
	l.kubectl(t, from, "delete", "secret", "wrong-ca")
	h.finish(t, "gateways that cannot reach the database")
}
