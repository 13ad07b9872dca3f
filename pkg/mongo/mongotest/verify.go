package mongotest

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
)

// verifyPeer checks a client's chain against roots and gives its subject.
func verifyPeer(state tls.ConnectionState, roots *x509.CertPool) (string, error) {
	if len(state.PeerCertificates) == 0 {
		return "", errors.New("no client certificate")
	}
	intermediates := x509.NewCertPool()
	for _, c := range state.PeerCertificates[1:] {
		intermediates.AddCert(c)
	}
	leaf := state.PeerCertificates[0]
	_, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: intermediates,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	if err != nil {
		return "", fmt.Errorf("verify client certificate: %w", err)
	}
	return Subject(leaf)
}
