package pki

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
)

const certificateType = "CERTIFICATE"

// ParseCertificates returns the certificates of data (PEM) in order, at least one. Keys between them are passed over, so that a
// -full.pem can be given; anything that only looks like PEM, a truncated block above all, is an error.
func ParseCertificates(data []byte) ([]*x509.Certificate, error) {
	var certs []*x509.Certificate
	for rest := data; ; {
		var block *pem.Block
		block, rest = pem.Decode(rest)
		if block == nil {
			if bytes.Contains(rest, []byte("-----BEGIN ")) {
				return nil, errors.New("read certificate: the PEM text is truncated or damaged")
			}
			break
		}
		if block.Type != certificateType {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("read certificate: %w", err)
		}
		certs = append(certs, cert)
	}
	if certs == nil {
		return nil, errors.New("read certificate: no certificate in PEM form found")
	}
	return certs, nil
}

// EncodeCertificates returns the certificates as PEM, one after the other.
func EncodeCertificates(certs ...*x509.Certificate) []byte {
	var out []byte
	for _, cert := range certs {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: certificateType, Bytes: cert.Raw})...)
	}
	return out
}

// Name renders a certificate's subject by RFC 2253 in the order of its DER, which is what MongoDB compares.
func Name(cert *x509.Certificate) string {
	if len(cert.RawSubject) == 0 { // a template that is not signed yet
		return cert.Subject.String()
	}
	return render(cert.RawSubject)
}

// IssuerName renders a certificate's issuer as Name does its subject.
func IssuerName(cert *x509.Certificate) string { return render(cert.RawIssuer) }

func render(raw []byte) string {
	var name pkix.RDNSequence
	if _, err := asn1.Unmarshal(raw, &name); err != nil {
		return fmt.Sprintf("unreadable name (%d bytes)", len(raw))
	}
	return name.String()
}

// Matches tells whether key is the private key of cert.
func Matches(cert *x509.Certificate, key crypto.Signer) bool {
	public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	return ok && public.Equal(cert.PublicKey)
}

// selfSigned tells whether cert is a root's.
func selfSigned(cert *x509.Certificate) bool { return bytes.Equal(cert.RawIssuer, cert.RawSubject) }

// Join returns what a -full.pem holds: the key, then the certificate with its chain, the order mongod and mongosh take.
func Join(keyPEM, certPEM []byte) []byte { return slices.Concat(keyPEM, certPEM) }

// Split takes a -full.pem apart into its private key, encrypted or not, and its certificates.
func Split(full []byte) (keyPEM, certPEM []byte, err error) {
	block, err := keyBlock(full)
	if err != nil {
		return nil, nil, err
	}
	certs, err := ParseCertificates(full)
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(block), EncodeCertificates(certs...), nil
}
