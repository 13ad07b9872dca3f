package mongotest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"time"
)

// Authority issues test certificates the way an environment does: a root, a
// System CA under it, leaves under that.
type Authority struct {
	// Chain is PEM: the System CA and, after it, its root (ca-chain-system.pem).
	Chain []byte
	// Roots verify both servers and clients of this authority.
	Roots *x509.CertPool

	signer crypto.Signer
	ca     *x509.Certificate
}

// NewAuthority makes a fresh root and System CA that live for a day.
func NewAuthority() (*Authority, error) {
	rootKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make root key: %w", err)
	}
	root, err := signCA("test root", 1, nil, rootKey, rootKey)
	if err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make System CA key: %w", err)
	}
	system, err := signCA("test System CA", 0, root, key, rootKey)
	if err != nil {
		return nil, err
	}
	chain := append(pemCert(system.Raw), pemCert(root.Raw)...)
	return newAuthority(chain, system, key), nil
}

func newAuthority(chain []byte, ca *x509.Certificate, key crypto.Signer) *Authority {
	a := &Authority{Chain: chain, Roots: x509.NewCertPool(), signer: key, ca: ca}
	a.Roots.AppendCertsFromPEM(chain)
	return a
}

func signCA(cn string, pathLen int, parent *x509.Certificate, key, signer *ecdsa.PrivateKey) (*x509.Certificate, error) {
	t := template(pkix.Name{CommonName: cn, Organization: []string{"mongotest"}})
	t.IsCA, t.BasicConstraintsValid = true, true
	t.MaxPathLen, t.MaxPathLenZero = pathLen, pathLen == 0
	t.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	if parent == nil {
		parent = t
	}
	der, err := x509.CreateCertificate(rand.Reader, t, parent, key.Public(), signer)
	if err != nil {
		return nil, fmt.Errorf("sign %q: %w", cn, err)
	}
	return x509.ParseCertificate(der)
}

func template(subject pkix.Name) *x509.Certificate {
	serial, _ := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)) // never fails (Go 1.24)
	return &x509.Certificate{SerialNumber: serial, Subject: subject,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour)}
}

// Issue makes a certificate for a subject in RFC 2253 order (CN first). With
// hosts it is also a server's, for those names and addresses. The System CA is
// in the chain.
func (a *Authority) Issue(dn string, hosts ...string) (tls.Certificate, error) {
	raw, err := encodeDN(dn)
	if err != nil {
		return tls.Certificate{}, err
	}
	return a.issue(raw, nil, hosts...)
}

// IssueFor is Issue for a key that is there already.
func (a *Authority) IssueFor(dn string, key crypto.Signer, hosts ...string) (tls.Certificate, error) {
	raw, err := encodeDN(dn)
	if err != nil {
		return tls.Certificate{}, err
	}
	return a.issue(raw, key, hosts...)
}

func encodeDN(dn string) ([]byte, error) {
	rdns, err := parseDN(dn)
	if err != nil {
		return nil, err
	}
	raw, err := asn1.Marshal(rdns)
	if err != nil {
		return nil, fmt.Errorf("encode subject %q: %w", dn, err)
	}
	return raw, nil
}

// issue makes a certificate for a subject in DER; a nil key is made.
func (a *Authority) issue(subject []byte, key crypto.Signer, hosts ...string) (tls.Certificate, error) {
	if key == nil {
		made, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return tls.Certificate{}, fmt.Errorf("make key: %w", err)
		}
		key = made
	}
	t := template(pkix.Name{})
	t.RawSubject = subject
	t.KeyUsage = x509.KeyUsageDigitalSignature
	t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	if a.ca.NotAfter.Before(t.NotAfter) {
		t.NotAfter = a.ca.NotAfter
	}
	for _, h := range hosts {
		t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
		if ip := net.ParseIP(h); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else {
			t.DNSNames = append(t.DNSNames, h)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, t, a.ca, key.Public(), a.signer)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("sign certificate: %w", err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("parse certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der, a.ca.Raw}, PrivateKey: key, Leaf: leaf}, nil
}

// PEM gives a certificate as one file holds it: the plain PKCS#8 key, then the
// chain.
func PEM(cert tls.Certificate) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		return nil, fmt.Errorf("encode key: %w", err)
	}
	out := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	for _, c := range cert.Certificate {
		out = append(out, pemCert(c)...)
	}
	return out, nil
}

func pemCert(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}
