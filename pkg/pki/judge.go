package pki

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// RenewAt is the part of a certificate's life, counted from its end, in which it is reissued: the last third.
const RenewAt = 3

// Desired is what an existing leaf certificate must be to stay in use.
type Desired struct {
	Request
	Issuer []*x509.Certificate // the CA that must have signed it, then those above it
}

// NeedsReissue says whether the leaf certificate in certPEM (its chain may follow) must be replaced, and why, in words that complete
// "reissued because …". Differences in order or in the letter case of DNS names are none.
func NeedsReissue(certPEM []byte, want Desired, now time.Time) (reason string, stale bool) {
	if len(certPEM) == 0 {
		return "it did not exist", true
	}
	certs, err := ParseCertificates(certPEM)
	if err != nil {
		return "it was unreadable", true
	}
	leaf := certs[0]
	switch {
	case Name(leaf) != want.Subject.String():
		return fmt.Sprintf("its subject was %s", Name(leaf)), true
	case leaf.CheckSignatureFrom(want.Issuer[0]) != nil:
		return fmt.Sprintf("its issuer was not %s", Name(want.Issuer[0])), true
	case !sameChain(certs[1:], want.Issuer):
		return fmt.Sprintf("its issuer %s was renewed", Name(want.Issuer[0])), true
	case usageOf(leaf) != want.Usage:
		return "its extended key usage differed", true
	}
	if difference := differentNames(leaf, want.Request); difference != "" {
		return "its names changed: " + difference, true
	}
	return ending(leaf, now)
}

// CANeedsReissue is NeedsReissue for a CA's certificate signed by issuer, or by itself when issuer is nil. Its name and path length are
// its own affair: a CA that the user brought stays.
func CANeedsReissue(certPEM []byte, issuer *x509.Certificate, now time.Time) (reason string, stale bool) {
	if len(certPEM) == 0 {
		return "it did not exist", true
	}
	certs, err := ParseCertificates(certPEM)
	if err != nil {
		return "it was unreadable", true
	}
	cert := certs[0]
	if issuer == nil {
		issuer = cert
	}
	switch {
	case !cert.IsCA:
		return "it was not a CA's", true
	case cert.CheckSignatureFrom(issuer) != nil:
		return fmt.Sprintf("its issuer was not %s", Name(issuer)), true
	}
	return ending(cert, now)
}

// ending says whether a certificate is in the last third of its life, or not yet valid.
func ending(cert *x509.Certificate, now time.Time) (string, bool) {
	left := cert.NotAfter.Sub(now)
	switch {
	case now.Before(cert.NotBefore):
		return fmt.Sprintf("it was not valid before %s", cert.NotBefore.Format(time.RFC3339)), true
	case left <= 0:
		return fmt.Sprintf("it expired at %s", cert.NotAfter.Format(time.RFC3339)), true
	case left <= cert.NotAfter.Sub(cert.NotBefore)/RenewAt:
		return fmt.Sprintf("%d days of its life were left", Days(left)), true
	}
	return "", false
}

// Days is the number of whole days in d; negative when d is.
func Days(d time.Duration) int {
	const day = 24 * time.Hour
	if d < 0 {
		return -int((-d + day - 1) / day)
	}
	return int(d / day)
}

// sameChain tells whether the certificates sent after a leaf are issuer's chain without the root.
func sameChain(sent, issuer []*x509.Certificate) bool {
	want := slices.DeleteFunc(slices.Clone(issuer), selfSigned)
	return slices.EqualFunc(sent, want, func(a, b *x509.Certificate) bool { return bytes.Equal(a.Raw, b.Raw) })
}

func usageOf(cert *x509.Certificate) Usage {
	return Usage{
		Server: slices.Contains(cert.ExtKeyUsage, x509.ExtKeyUsageServerAuth),
		Client: slices.Contains(cert.ExtKeyUsage, x509.ExtKeyUsageClientAuth),
	}
}

// differentNames lists the alternative names that want adds (+) to and takes (-) from the certificate's, "" when there are none.
func differentNames(cert *x509.Certificate, want Request) string {
	has, shall := map[string]bool{}, map[string]bool{}
	for _, name := range cert.DNSNames {
		has[strings.ToLower(name)] = true
	}
	for _, ip := range cert.IPAddresses {
		if addr, ok := netip.AddrFromSlice(ip); ok {
			has[addr.Unmap().String()] = true
		}
	}
	for _, name := range want.DNS {
		shall[strings.ToLower(name)] = true
	}
	for _, ip := range want.IPs {
		shall[ip.Unmap().String()] = true
	}
	var out []string
	for name := range shall {
		if !has[name] {
			out = append(out, "+"+name)
		}
	}
	for name := range has {
		if !shall[name] {
			out = append(out, "-"+name)
		}
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}
