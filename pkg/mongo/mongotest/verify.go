package mongotest

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
)

// clientCAs is the CA file of the server, taken apart. Go trusts every
// certificate of a pool; OpenSSL, as the server uses it, only self-signed ones,
// and so "only the intermediate" in the file refuses everybody.
type clientCAs struct {
	// named are all, for the list in the handshake.
	named *x509.CertPool
	roots *x509.CertPool
	// between are those that are not self-signed.
	between []*x509.Certificate
}

func parseClientCAs(data []byte) (clientCAs, error) {
	c := clientCAs{named: x509.NewCertPool(), roots: x509.NewCertPool()}
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return clientCAs{}, fmt.Errorf("parse client CAs: %w", err)
		}
		c.named.AddCert(cert)
		if bytes.Equal(cert.RawSubject, cert.RawIssuer) {
			c.roots.AddCert(cert)
		} else {
			c.between = append(c.between, cert)
		}
	}
	if c.named.Equal(x509.NewCertPool()) {
		return clientCAs{}, errors.New("parse client CAs: no certificate")
	}
	return c, nil
}

// verify checks a client's chain and gives its subject.
func (c clientCAs) verify(state tls.ConnectionState) (string, error) {
	if len(state.PeerCertificates) == 0 {
		return "", errors.New("no client certificate")
	}
	intermediates := x509.NewCertPool()
	for _, cert := range c.between {
		intermediates.AddCert(cert)
	}
	for _, cert := range state.PeerCertificates[1:] {
		intermediates.AddCert(cert)
	}
	leaf := state.PeerCertificates[0]
	_, err := leaf.Verify(x509.VerifyOptions{Roots: c.roots, Intermediates: intermediates,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	if err != nil {
		return "", fmt.Errorf("verify client certificate: %w", err)
	}
	return Subject(leaf)
}
