package mongo

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"strings"
	"sync"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/hint"
)

// Shown is what one router shows to whoever connects, trusted or not.
type Shown struct {
	Router       string              // as it was given, host:port or host
	Host         string              // its name or address alone
	Certificates []*x509.Certificate // its own first; nil beside Err
	Err          error
}

// ShownCertificates asks every router of hosts, a value of global.database.mongo.host, for its certificate and returns the answers in
// order. It logs in nowhere and judges nothing. A nil dial means from this machine directly.
func ShownCertificates(ctx context.Context, dial Dial, hosts string) []Shown {
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	list := strings.Split(hosts, ",")
	shown := make([]Shown, len(list))
	var wg sync.WaitGroup
	for i, router := range list {
		wg.Go(func() {
			s := Shown{Router: strings.TrimSpace(router)}
			s.Host, s.Certificates, s.Err = shownBy(ctx, dial, s.Router)
			shown[i] = s
		})
	}
	wg.Wait()
	return shown
}

func shownBy(ctx context.Context, dial Dial, router string) (string, []*x509.Certificate, error) {
	addr := router
	if _, _, err := net.SplitHostPort(router); err != nil {
		addr = net.JoinHostPort(strings.Trim(router, "[]"), "27017")
	}
	name, _, err := net.SplitHostPort(addr)
	if err != nil {
		return "", nil, fmt.Errorf("MongoDB router %q: %w", router, err)
	}
	raw, err := dial(ctx, "tcp", addr)
	if err != nil {
		return name, nil, hint.Wrap(fmt.Errorf("MongoDB router %q does not answer: %w", router, err), "check the routers and the network: kubectl aporeto value get global.database.mongo.host")
	}
	defer raw.Close()
	var certs []*x509.Certificate
	config := &tls.Config{
		ServerName: name, MinVersion: tls.VersionTLS12,
		InsecureSkipVerify: true, //nolint:gosec // nothing is sent: whom the certificate convinces is the caller's question
		// Kept as soon as it is seen: a router that wants a client's certificate ends the handshake without one.
		VerifyConnection: func(state tls.ConnectionState) error {
			certs = state.PeerCertificates
			return nil
		},
	}
	if err := tls.Client(raw, config).HandshakeContext(ctx); err != nil && certs == nil {
		return name, nil, explainHandshake(router, name, err)
	}
	return name, certs, nil
}
