package mongocheck

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"
)

// JudgeChain names everything that is wrong with the certificates that a router called name sent, its own first, for a client that
// trusts roots. It returns the verified chain where there is one, else what was sent.
func JudgeChain(sent []*x509.Certificate, roots *x509.CertPool, name string, now time.Time) ([]*x509.Certificate, []Trouble) {
	if len(sent) == 0 {
		return nil, []Trouble{NewTrouble(Handshake, "it sends no certificate")}
	}
	leaf := sent[0]
	var troubles []Trouble
	switch {
	case now.Before(leaf.NotBefore):
		troubles = append(troubles, NewTrouble(NotYetValid, "its certificate is not valid before %s, and here it is %s", stamp(leaf.NotBefore), stamp(now)))
	case now.After(leaf.NotAfter):
		troubles = append(troubles, NewTrouble(Expired, "its certificate expired at %s", stamp(leaf.NotAfter)))
	}
	if leaf.VerifyHostname(name) != nil {
		switch names := namesOf(leaf); {
		case net.ParseIP(name) != nil && slices.Contains(leaf.DNSNames, name):
			troubles = append(troubles, NewTrouble(WrongName, "its certificate has %s as a DNS name, where an address counts only as an IP address", name))
		case len(names) > 0:
			troubles = append(troubles, NewTrouble(WrongName, "its certificate is for %s, not for %s", strings.Join(names, ", "), name))
		default:
			troubles = append(troubles, NewTrouble(NoSAN, "its certificate (%s) has no subject alternative name, and so not %s; a common name does not count", Subject(leaf), name))
		}
	}
	between := x509.NewCertPool()
	for _, cert := range sent[1:] {
		between.AddCert(cert)
	}
	at := now // the leaf's own dates were judged above
	switch {
	case now.Before(leaf.NotBefore):
		at = leaf.NotBefore
	case now.After(leaf.NotAfter):
		at = leaf.NotAfter
	}
	chains, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: at})
	if err == nil {
		return Longest(chains), troubles
	}
	trouble := chainTrouble(leaf, err)
	if !at.Equal(now) && trouble.Kind == Expired {
		return sent, troubles // the CA's dates at another time than now say nothing
	}
	return sent, append([]Trouble{trouble}, troubles...)
}

// Longest is the chain that goes farthest up: where an intermediate is trusted by itself a shorter one is as good, but shows less.
func Longest(chains [][]*x509.Certificate) []*x509.Certificate {
	return slices.MaxFunc(chains, func(a, b []*x509.Certificate) int { return len(a) - len(b) })
}

func chainTrouble(leaf *x509.Certificate, err error) Trouble {
	var unknown x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &unknown):
		return NewTrouble(WrongCA, "its certificate is signed by a CA that this environment does not trust (issuer %s)", name(leaf.RawIssuer))
	case errors.As(err, &invalid) && invalid.Reason == x509.IncompatibleUsage:
		return NewTrouble(NoServerUse, "its certificate is not a server's: serverAuth is not among its extended key usages")
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired && invalid.Cert != nil:
		return NewTrouble(Expired, "the CA certificate %s above its own is valid from %s to %s only", Subject(invalid.Cert), stamp(invalid.Cert.NotBefore), stamp(invalid.Cert.NotAfter))
	}
	return NewTrouble(BadChain, "its certificate does not verify: %v", err)
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05Z") }

// namesOf lists a certificate's alternative names, the first ones of many.
func namesOf(cert *x509.Certificate) []string {
	names := slices.Clone(cert.DNSNames)
	for _, ip := range cert.IPAddresses {
		names = append(names, ip.String())
	}
	const shown = 8
	if len(names) > shown {
		names = append(names[:shown], fmt.Sprintf("%d more", len(names)-shown))
	}
	return names
}

// Subject renders a certificate's subject by RFC 2253, as MongoDB compares it.
func Subject(cert *x509.Certificate) string { return name(cert.RawSubject) }

func name(raw []byte) string {
	var sequence pkix.RDNSequence
	if _, err := asn1.Unmarshal(raw, &sequence); err != nil {
		return fmt.Sprintf("unreadable name (%d bytes)", len(raw))
	}
	return sequence.String()
}

// Certificates returns what the requirements need of certs.
func Certificates(certs []*x509.Certificate) []Certificate {
	out := make([]Certificate, len(certs))
	for i, c := range certs {
		out[i] = Certificate{Subject: Subject(c), Issuer: name(c.RawIssuer), NotBefore: c.NotBefore, NotAfter: c.NotAfter, NoClient: !forClients(c)}
	}
	return out
}

// forClients tells whether a client may show cert: clientAuth is among its extended key usages, or it has none at all.
func forClients(cert *x509.Certificate) bool {
	return len(cert.ExtKeyUsage)+len(cert.UnknownExtKeyUsage) == 0 || slices.Contains(cert.ExtKeyUsage, x509.ExtKeyUsageClientAuth) ||
		slices.Contains(cert.ExtKeyUsage, x509.ExtKeyUsageAny)
}

// TakenForMember tells whether a cluster whose members have certificates with the subject member takes a client's subject for one of them:
// createUser then refuses it, or it logs in with every right.
func TakenForMember(subject, member string) bool {
	key := memberKey(member)
	return key != "" && memberKey(subject) == key
}

// MemberHint says how the routers get a certificate that no client is taken for.
const MemberHint = "give the routers certificates with another OU: certs/mongodb-router-full.pem has OU=servers,O=mongodb; kubectl aporeto pki init makes it where it is missing"

// memberKey is what decides who is taken for a member of the cluster: the attributes O, OU and DC, whatever their order. "" means that
// nobody is.
func memberKey(dn string) string {
	const domainComponent = "0.9.2342.19200300.100.1.25=" // as crypto/x509/pkix writes DC
	var parts []string
	for _, part := range splitDN(dn) {
		for _, prefix := range []string{"O=", "OU=", "DC=", domainComponent} {
			if strings.HasPrefix(part, prefix) {
				parts = append(parts, part)
			}
		}
	}
	slices.Sort(parts)
	return strings.Join(parts, ",")
}

// splitDN parts a name at its unescaped commas and pluses.
func splitDN(dn string) []string {
	var parts []string
	var part strings.Builder
	escaped := false
	for _, r := range dn {
		if !escaped && (r == ',' || r == '+') {
			parts = append(parts, part.String())
			part.Reset()
			continue
		}
		escaped = r == '\\' && !escaped
		part.WriteRune(r)
	}
	return append(parts, part.String())
}
