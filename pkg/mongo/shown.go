package mongo

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongocheck"
)

// Shown is what one router shows to whoever connects, trusted or not.
type Shown struct {
	Router       string              // as it was given, host:port or host
	Host         string              // its name or address alone
	Certificates []*x509.Certificate // its own first; nil beside Err
	Err          error               // why not, in words that need the router's name before them
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
	addr, name, err := address(router)
	if err != nil {
		return "", nil, errors.New(mongocheck.NewTrouble(mongocheck.BadAddress, "%q is not an address: %v", router, err).Text)
	}
	raw, err := dial(ctx, "tcp", addr)
	if err != nil {
		return name, nil, errors.New(mongocheck.DialTrouble(err, probeTime).Text)
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
		_, troubles := mongocheck.HandshakeTrouble(err, false, x509.NewCertPool(), name, time.Now(), probeTime)
		return name, nil, errors.New(troubles[0].Text)
	}
	return name, certs, nil
}
