package pki

import (
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
)

// dnsName admits what may stand in a certificate: letters, digits, dashes and underscores between dots, one leading wildcard.
var dnsName = regexp.MustCompile(`^(\*\.)?([A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.)*[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?$`)

// ParseHosts splits the value of global.database.mongo.host ("h1:27017,h2:27017", ports may be missing, IPv6 addresses with a port
// stand in brackets) into DNS names, lower-cased, and IP addresses, each in order and without ports. "" gives none.
func ParseHosts(value string) (dns []string, ips []netip.Addr, err error) {
	for item := range strings.SplitSeq(value, ",") {
		item = strings.TrimSpace(item)
		if item == "" {
			continue
		}
		host := item
		if h, port, err := net.SplitHostPort(item); err == nil {
			if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
				return nil, nil, fmt.Errorf("host %q of %q: %q is not a port", item, value, port)
			}
			host = h
		}
		if ip, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil && ip.Zone() == "" {
			ips = append(ips, ip.Unmap())
			continue
		}
		if err := ValidateDNS(host); err != nil {
			return nil, nil, fmt.Errorf("host %q of %q: %w", item, value, err)
		}
		dns = append(dns, strings.ToLower(host))
	}
	return dns, ips, nil
}

// ValidateDNS returns nil when name can be a certificate's DNS name; a wildcard may be its first label.
func ValidateDNS(name string) error {
	if len(name) > 253 || !dnsName.MatchString(name) {
		return fmt.Errorf("%q is not a DNS name", name)
	}
	return nil
}
