package pki

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/netip"
	"time"
)

// Skew is how far NotBefore lies before the moment of issue: clocks of zones and databases may be that much behind the workstation's.
const Skew = 5 * time.Minute

// Usage says what a leaf certificate may be used for.
type Usage struct{ Server, Client bool }

// Subject is a distinguished name of the three parts that the environment's certificates have. Empty parts are left out.
type Subject struct {
	CommonName         string
	OrganizationalUnit string
	Organization       string
}

// name puts the parts into the order whose RFC 2253 rendering begins with CN: pkix.Name writes O, OU, CN.
func (s Subject) name() pkix.Name {
	n := pkix.Name{CommonName: s.CommonName}
	if s.OrganizationalUnit != "" {
		n.OrganizationalUnit = []string{s.OrganizationalUnit}
	}
	if s.Organization != "" {
		n.Organization = []string{s.Organization}
	}
	return n
}

// String renders the subject by RFC 2253, for example CN=mongodb-admin,OU=users,O=mongodb: also its user name in MongoDB.
func (s Subject) String() string { return s.name().String() }

// maxPart is X.520's upper bound for CN, OU and O; OpenSSL refuses longer ones.
const maxPart = 64

func (s Subject) validate() error {
	if s.CommonName == "" {
		return errors.New("the subject has no common name")
	}
	for _, part := range []string{s.CommonName, s.OrganizationalUnit, s.Organization} {
		if len(part) > maxPart {
			return fmt.Errorf("%q is %d characters long, X.509 allows %d in a name's part", part, len(part), maxPart)
		}
	}
	return nil
}

// Request is what a new leaf certificate shall be.
type Request struct {
	Subject   Subject
	DNS       []string
	IPs       []netip.Addr
	Usage     Usage
	Algorithm Algorithm     // "" means ECDSA
	Lifetime  time.Duration // from the moment of issue; cut to the chain's
}

// Pair is a certificate and its private key.
type Pair struct {
	CertPEM []byte // the certificate, followed by its chain up to and without the root
	KeyPEM  []byte // plain PKCS#8
}

// CA signs. Chain is its own certificate followed by those above it, as far as known.
type CA struct {
	Chain []*x509.Certificate
	Key   crypto.Signer
}

// OpenCA returns the CA of a certificate (PEM, its chain may follow) and its private key. The error is ErrPassphrase when the key does
// not open; a key that belongs to another certificate, or a certificate that is not a CA's, is refused.
func OpenCA(certPEM, keyPEM, passphrase []byte) (*CA, error) {
	chain, err := ParseCertificates(certPEM)
	if err != nil {
		return nil, err
	}
	if !chain[0].IsCA {
		return nil, fmt.Errorf("certificate %q is not a CA's", Name(chain[0]))
	}
	key, err := ParseKey(keyPEM, passphrase)
	if err != nil {
		return nil, fmt.Errorf("key of CA %q: %w", Name(chain[0]), err)
	}
	if !Matches(chain[0], key) {
		return nil, fmt.Errorf("key of CA %q belongs to another certificate", Name(chain[0]))
	}
	return &CA{Chain: chain, Key: key}, nil
}

// Issue makes a key and a leaf certificate for it, signed by ca.
func Issue(ca *CA, req Request, now time.Time, rand io.Reader) (Pair, error) {
	algorithm := req.Algorithm
	if algorithm == "" {
		algorithm = ECDSA
	}
	keyPEM, err := NewKey(algorithm, rand)
	if err != nil {
		return Pair{}, fmt.Errorf("issue certificate %q: %w", req.Subject, err)
	}
	certPEM, err := IssueFor(ca, keyPEM, req, now, rand)
	if err != nil {
		return Pair{}, err
	}
	return Pair{CertPEM: certPEM, KeyPEM: keyPEM}, nil
}

// IssueFor is Issue for a key that exists already (plain, in PEM), and returns the certificate with its chain.
func IssueFor(ca *CA, keyPEM []byte, req Request, now time.Time, rand io.Reader) ([]byte, error) {
	certPEM, err := issueLeaf(ca, keyPEM, req, now, rand)
	if err != nil {
		return nil, fmt.Errorf("issue certificate %q: %w", req.Subject, err)
	}
	return certPEM, nil
}

func issueLeaf(ca *CA, keyPEM []byte, req Request, now time.Time, rand io.Reader) ([]byte, error) {
	if !req.Usage.Server && !req.Usage.Client {
		return nil, errors.New("it is for neither servers nor clients")
	}
	if req.Usage.Server && len(req.DNS)+len(req.IPs) == 0 {
		return nil, errors.New("a server's certificate needs a DNS name or an IP address")
	}
	key, err := ParseKey(keyPEM, nil)
	if err != nil {
		return nil, err
	}
	template, err := newTemplate(req.Subject, key.Public(), now, req.Lifetime, rand)
	if err != nil {
		return nil, err
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	if _, ok := key.Public().(*rsa.PublicKey); ok {
		template.KeyUsage |= x509.KeyUsageKeyEncipherment // RSA key exchange of TLS 1.2 and older
	}
	if req.Usage.Server {
		template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	}
	if req.Usage.Client {
		template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageClientAuth)
	}
	template.DNSNames = req.DNS
	for _, ip := range req.IPs {
		template.IPAddresses = append(template.IPAddresses, net.IP(ip.Unmap().AsSlice()))
	}
	return sign(ca, template, key.Public(), now, rand)
}

// CARequest is what a CA's certificate shall be.
type CARequest struct {
	Subject    Subject
	Renewed    *x509.Certificate // the certificate that the new one replaces; its name is kept as it is, and Subject ignored
	PathLen    int               // CAs that may follow below it
	ServerOnly bool              // its leaves are good for servers only: a client certificate signed by it verifies nowhere
	Lifetime   time.Duration
}

// IssueCA makes a CA's certificate for the plain key keyPEM, signed by parent, or by itself when parent is nil. A CA keeps its key
// and name when it is renewed, so that what it signed stays valid.
func IssueCA(parent *CA, keyPEM []byte, req CARequest, now time.Time, rand io.Reader) ([]byte, error) {
	certPEM, err := issueCA(parent, keyPEM, req, now, rand)
	if err != nil {
		return nil, fmt.Errorf("issue CA %q: %w", req.Subject, err)
	}
	return certPEM, nil
}

func issueCA(parent *CA, keyPEM []byte, req CARequest, now time.Time, rand io.Reader) ([]byte, error) {
	key, err := ParseKey(keyPEM, nil)
	if err != nil {
		return nil, err
	}
	template, err := newTemplate(req.Subject, key.Public(), now, req.Lifetime, rand)
	if err != nil {
		return nil, err
	}
	if req.Renewed != nil {
		if !Matches(req.Renewed, key) {
			return nil, errors.New("its key belongs to another certificate")
		}
		template.RawSubject = req.Renewed.RawSubject
		if len(req.Renewed.SubjectKeyId) > 0 { // certificates below name it
			template.SubjectKeyId = req.Renewed.SubjectKeyId
		}
	}
	template.IsCA = true
	template.MaxPathLen, template.MaxPathLenZero = req.PathLen, req.PathLen == 0
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	if req.ServerOnly {
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	}
	if parent == nil {
		template.AuthorityKeyId = template.SubjectKeyId
		parent = &CA{Chain: []*x509.Certificate{template}, Key: key}
	}
	return sign(parent, template, key.Public(), now, rand)
}

// newTemplate fills in what every certificate has.
func newTemplate(subject Subject, public crypto.PublicKey, now time.Time, lifetime time.Duration, rand io.Reader) (*x509.Certificate, error) {
	if err := subject.validate(); err != nil {
		return nil, err
	}
	if lifetime <= 0 {
		return nil, fmt.Errorf("lifetime %s is not positive", lifetime)
	}
	serial := make([]byte, 16)
	if _, err := io.ReadFull(rand, serial); err != nil {
		return nil, fmt.Errorf("make serial number: %w", err)
	}
	id, err := keyID(public)
	if err != nil {
		return nil, err
	}
	return &x509.Certificate{
		SerialNumber:          new(big.Int).SetBytes(serial),
		Subject:               subject.name(),
		NotBefore:             now.Add(-Skew).UTC().Truncate(time.Second),
		NotAfter:              now.Add(lifetime).UTC().Truncate(time.Second),
		BasicConstraintsValid: true,
		SubjectKeyId:          id,
	}, nil
}

// keyID is the key identifier of RFC 7093, method 1: the first 160 bits of the SHA-256 of the public key's bit string.
func keyID(public crypto.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil, fmt.Errorf("encode public key: %w", err)
	}
	var info struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}
	if _, err := asn1.Unmarshal(der, &info); err != nil {
		return nil, fmt.Errorf("encode public key: %w", err)
	}
	sum := sha256.Sum256(info.Key.Bytes)
	return sum[:20], nil
}

// sign cuts the template's life to the chain's, signs it, and appends the chain without the root.
func sign(ca *CA, template *x509.Certificate, public crypto.PublicKey, now time.Time, rand io.Reader) ([]byte, error) {
	for _, above := range ca.Chain {
		if now.After(above.NotAfter) {
			return nil, fmt.Errorf("CA %q expired at %s", Name(above), above.NotAfter.Format(time.RFC3339))
		}
		if template.NotAfter.After(above.NotAfter) {
			template.NotAfter = above.NotAfter
		}
		if template.NotBefore.Before(above.NotBefore) {
			template.NotBefore = above.NotBefore
		}
	}
	der, err := x509.CreateCertificate(rand, template, ca.Chain[0], public, ca.Key)
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	out := pem.EncodeToMemory(&pem.Block{Type: certificateType, Bytes: der})
	if template.IsCA {
		return out, nil
	}
	for _, above := range ca.Chain {
		if !selfSigned(above) {
			out = append(out, EncodeCertificates(above)...)
		}
	}
	return out, nil
}
