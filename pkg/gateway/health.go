package gateway

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"sync/atomic"
	"time"
)

// healthEvery is how often upstreams and the certificate are looked at.
const healthEvery = 2 * time.Second

// health knows why the zone could not serve, if it could not.
type health struct {
	upstreams   []string
	certificate func() (*tls.Certificate, error)
	keeper      *Keeper
	stale       time.Duration // a database not read for this long counts as unreachable
	trouble     atomic.Pointer[string]
}

func newHealth(upstreams []string, certificate func() (*tls.Certificate, error), keeper *Keeper, stale time.Duration) *health {
	h := &health{upstreams: upstreams, certificate: certificate, keeper: keeper, stale: stale}
	h.trouble.Store(new("not looked at yet"))
	return h
}

// reason returns why the zone could not serve, "" when it could.
func (h *health) reason() string {
	if !h.databaseReachable() {
		return "MongoDB is not reachable"
	}
	return *h.trouble.Load()
}

func (h *health) databaseReachable() bool {
	since, ever := h.keeper.SinceRead()
	return ever && since <= h.stale
}

// run looks until ctx ends.
func (h *health) run(ctx context.Context) {
	ticker := time.NewTicker(healthEvery)
	defer ticker.Stop()
	for {
		h.trouble.Store(new(h.look(ctx)))
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (h *health) look(ctx context.Context) string {
	if reason := h.certificateTrouble(time.Now()); reason != "" {
		return reason
	}
	for _, upstream := range h.upstreams {
		conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", upstream)
		if err != nil {
			return fmt.Sprintf("service %s does not answer", upstream)
		}
		conn.Close()
	}
	return ""
}

func (h *health) certificateTrouble(now time.Time) string {
	pair, err := h.certificate()
	if err != nil {
		return "the public certificate cannot be read"
	}
	leaf := pair.Leaf
	if leaf == nil {
		if leaf, err = x509.ParseCertificate(pair.Certificate[0]); err != nil {
			return "the public certificate cannot be read"
		}
	}
	if now.Before(leaf.NotBefore) || now.After(leaf.NotAfter) {
		return "the public certificate is outside its validity"
	}
	return ""
}
