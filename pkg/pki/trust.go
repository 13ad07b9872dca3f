package pki

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"
)

// Trust is what verifies the MongoDB routers. While their certificates change from one CA to another, clients must trust both: no router
// can change at the same moment as all of its clients.
type Trust struct {
	Current []*x509.Certificate // the CAs that are to sign the routers' certificates
	Former  []*x509.Certificate // those that did before, until they are dropped
}

// NewTrust returns what clients trust when current is wanted and recorded is what they have trusted so far: nothing is taken away but
// what has expired and what current replaces. A CA that was renewed, with its key and name, is the same CA.
func NewTrust(current, recorded []*x509.Certificate, now time.Time) Trust {
	t := Trust{Current: current}
	for _, cert := range recorded {
		known := slices.ContainsFunc(slices.Concat(current, t.Former), func(other *x509.Certificate) bool { return sameCA(cert, other) })
		if !known && now.Before(cert.NotAfter) {
			t.Former = append(t.Former, cert)
		}
	}
	return t
}

func sameCA(a, b *x509.Certificate) bool {
	return bytes.Equal(a.RawSubject, b.RawSubject) && bytes.Equal(a.RawSubjectPublicKeyInfo, b.RawSubjectPublicKeyInfo)
}

// PEM returns all CAs as one file, the current ones first.
func (t Trust) PEM() []byte { return EncodeCertificates(slices.Concat(t.Current, t.Former)...) }

// Signer says which part of t verifies the certificate that the server host (a name or address, no port) shows, with the chain it sends.
type Signer string

// The answers.
const (
	ByCurrent Signer = "current"
	ByFormer  Signer = "former"
	ByNobody  Signer = "none"
)

// Judge returns whose certificate a router shows. The error says why it is ByNobody's.
func (t Trust) Judge(host string, shown []*x509.Certificate, now time.Time) (Signer, error) {
	if len(shown) == 0 {
		return ByNobody, fmt.Errorf("%s shows no certificate", host)
	}
	var first error
	for _, part := range []struct {
		by  Signer
		cas []*x509.Certificate
	}{{ByCurrent, t.Current}, {ByFormer, t.Former}} {
		roots, middle := x509.NewCertPool(), x509.NewCertPool()
		for _, ca := range part.cas {
			roots.AddCert(ca)
		}
		for _, cert := range shown[1:] {
			middle.AddCert(cert)
		}
		name := strings.Trim(host, "[]")
		if net.ParseIP(name) != nil {
			name = "[" + name + "]" // the form in which x509 takes an address
		}
		_, err := shown[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: middle, DNSName: name, CurrentTime: now})
		if err == nil {
			return part.by, nil
		}
		if first == nil {
			first = err
		}
	}
	return ByNobody, first
}
