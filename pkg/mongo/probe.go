package mongo

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/hint"
)

// probeTime bounds one router's TCP connection and TLS handshake.
const probeTime = 5 * time.Second

// Probe opens a TLS connection to every router side by side and returns nil as soon as one answers, else every router's reason. The
// driver would report the same troubles only after its whole selection timeout, and without naming them.
func (c *Client) Probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	reasons := make([]error, len(c.hosts))
	var wg sync.WaitGroup
	for i, host := range c.hosts {
		wg.Go(func() {
			if reasons[i] = c.probeRouter(ctx, host); reasons[i] == nil {
				cancel() // one is enough
			}
		})
	}
	wg.Wait()
	for _, err := range reasons {
		if err == nil {
			return nil
		}
	}
	return errors.Join(reasons...)
}

func (c *Client) probeRouter(ctx context.Context, host string) error {
	addr := host
	if _, _, err := net.SplitHostPort(host); err != nil {
		addr = net.JoinHostPort(strings.Trim(host, "[]"), "27017")
	}
	name, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("MongoDB router %q: %w", host, err)
	}
	raw, err := c.dial(ctx, "tcp", addr)
	if err != nil {
		return hint.Wrap(fmt.Errorf("MongoDB router %q does not answer: %w", host, err), "check the routers and the network: kubectl aporeto value get global.database.mongo.host")
	}
	defer raw.Close()
	config := c.tls.Clone()
	config.ServerName = name
	conn := tls.Client(raw, config)
	if err := conn.HandshakeContext(ctx); err != nil {
		return explainHandshake(host, name, err)
	}
	return nil
}

// explainHandshake names the trouble and what ends it.
func explainHandshake(host, name string, err error) error {
	var unknown x509.UnknownAuthorityError
	var mismatch x509.HostnameError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &unknown):
		issuer := ""
		if unknown.Cert != nil {
			issuer = " (issuer " + unknown.Cert.Issuer.String() + ")"
		}
		return hint.Wrap(fmt.Errorf("MongoDB router %q: its certificate is signed by a CA that this environment does not trust%s", host, issuer),
			"use the environment's certs/mongodb-router-full.pem on the router, or drop its CA into certs/mongodb-custom-ca.pem")
	case errors.As(err, &mismatch):
		return hint.Wrap(fmt.Errorf("MongoDB router %q: its certificate is not for %q: %w", host, name, err),
			"kubectl aporeto pki regen writes a router certificate for every host of global.database.mongo.host; install it on the router")
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return hint.Wrap(fmt.Errorf("MongoDB router %q: its certificate is outside its validity: %w", host, err), "kubectl aporeto pki check; kubectl aporeto pki regen")
	}
	return hint.Wrap(fmt.Errorf("MongoDB router %q: TLS handshake: %w", host, err), "the router must speak TLS and trust certs/ca-chain-system.pem for clients")
}
