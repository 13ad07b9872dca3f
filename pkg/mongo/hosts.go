package mongo

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/hint"
)

// hostName admits what may stand in a certificate too: letters, digits, dashes and underscores between dots.
var hostName = regexp.MustCompile(`^([A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.)*[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?$`)

// maxHosts is more routers than anybody has; a list is user input.
const maxHosts = 100

// URI returns the connection string for hosts, the value of global.database.mongo.host: routers separated by commas, 27017 being the
// port of those that name none, IPv6 addresses in brackets.
func URI(hosts, database string) (string, error) {
	if err := CheckHosts(hosts); err != nil {
		return "", hint.Wrap(fmt.Errorf("global.database.mongo.host: %w", err), "kubectl aporeto value set global.database.mongo.host HOST1:27017,HOST2:27017")
	}
	seen := map[string]bool{}
	var unique []string
	for host := range strings.SplitSeq(hosts, ",") {
		host = strings.TrimSpace(host)
		if !seen[host] {
			seen[host] = true
			unique = append(unique, host)
		}
	}
	query := url.Values{"tls": {"true"}, "authMechanism": {"MONGODB-X509"}, "authSource": {"$external"}}
	return "mongodb://" + strings.Join(unique, ",") + "/" + database + "?" + query.Encode(), nil
}

// CheckHosts tells what is wrong with hosts, as URI takes them; nil for nothing.
func CheckHosts(hosts string) error {
	list := strings.SplitN(hosts, ",", maxHosts+1)
	if len(list) > maxHosts {
		return fmt.Errorf("it names more than %d hosts", maxHosts)
	}
	for _, host := range list {
		if err := checkHost(strings.TrimSpace(host)); err != nil {
			return fmt.Errorf("%q is malformed: %w", hosts, err)
		}
	}
	return nil
}

// checkHost takes NAME, NAME:PORT, an IPv4 address in place of the name, and an IPv6 address in brackets.
func checkHost(host string) error {
	name := host
	bracketed := strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]")
	if bracketed {
		name = host[1 : len(host)-1]
	} else if strings.Contains(host, ":") {
		h, port, err := net.SplitHostPort(host)
		if err != nil {
			return fmt.Errorf("%q is not HOST:PORT", host)
		}
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return fmt.Errorf("%q of %q is not a port", port, host)
		}
		name, bracketed = h, strings.HasPrefix(host, "[")
	}
	if ip, err := netip.ParseAddr(name); err == nil && ip.Zone() == "" && ip.Is6() == bracketed {
		return nil
	}
	if bracketed || len(name) > 253 || !hostName.MatchString(name) {
		return fmt.Errorf("%q is not a host name", name)
	}
	return nil
}
