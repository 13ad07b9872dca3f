package pki

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/zone"
)

// Names of the environment's certificates. Each is the stem of its files in certs/ (<name>-cert.pem, <name>-key.pem, and for leaves
// <name>-full.pem).
const (
	RootCA   = "ca-root"
	SystemCA = "ca-signing-system"
	PublicCA = "ca-public"
	Admin    = "mongodb-admin"
	Router   = "mongodb-router"

	SystemChain = "ca-chain-system" // System CA and root: what routers trust for clients
	PublicChain = "ca-chain-public" // Public CA and root: what clients of the default public certificates trust
	CustomCA    = "mongodb-custom-ca"
	TrustBundle = "mongodb-trust" // what clients trust routers by: the record of it, former CAs included until they are dropped
)

// Lives are the lifetimes of new certificates.
type Lives struct{ Root, CA, Leaf time.Duration }

const year = 365 * 24 * time.Hour

// DefaultLives are ten years for the root, five for the CAs below it, one for leaves. With reissue in the last third that means eight
// months between reissues of a leaf, and years in which a renewed CA and the former one are both good.
func DefaultLives() Lives { return Lives{Root: 10 * year, CA: 5 * year, Leaf: year} }

// ServiceSubject is the subject, and so the MongoDB user, of a service: CN=<name>,OU=root,O=system.
func ServiceSubject(name string) Subject {
	return Subject{CommonName: name, OrganizationalUnit: "root", Organization: "system"}
}

// GatewayName is the certificate name and common name of a zone's gateway.
func GatewayName(zoneName string) string { return "gateway-" + zone.Key(zoneName) }

// MaintenanceName is GatewayName for the auto-maintenance job.
func MaintenanceName(zoneName string) string { return "maintenance-" + zone.Key(zoneName) }

// AdminSubject is the subject, and so the MongoDB user, of the administrator.
func AdminSubject() Subject {
	return Subject{CommonName: Admin, OrganizationalUnit: "users", Organization: "mongodb"}
}

// RouterSubject is that of the routers. A client whose O and OU are these would be taken for a member of the cluster.
func RouterSubject() Subject {
	return Subject{CommonName: Router, OrganizationalUnit: "servers", Organization: "mongodb"}
}

// MemberSubject is that of the servers of one part of an in-cluster MongoDB: its O and OU make them members of one cluster.
func MemberSubject(name string) Subject {
	return Subject{CommonName: name, OrganizationalUnit: RouterSubject().OrganizationalUnit, Organization: RouterSubject().Organization}
}

// Authority is one CA of an environment.
type Authority struct {
	Name       string // RootCA, SystemCA or PublicCA
	Passphrase string // key of its passphrase among the environment's secrets
	Algorithm  Algorithm
	CARequest
}

// Leaf is one leaf certificate of an environment. Its issuer is the System CA.
type Leaf struct {
	Name       string
	Passphrase string
	Zone       string // the zone whose pods hold it; "" for the database's
	Request
}

// Authorities lists the CAs of the environment id, the root first. Their subjects carry the id, so that every certificate below them
// names the environment it belongs to.
func Authorities(id string, lives Lives) []Authority {
	subject := func(name string) Subject {
		return Subject{CommonName: name, OrganizationalUnit: id, Organization: "aporeto"}
	}
	return []Authority{
		{Name: RootCA, Passphrase: "global.certs.ca.root.pass", Algorithm: ECDSAP384,
			CARequest: CARequest{Subject: subject("Root CA"), PathLen: 1, Lifetime: lives.Root}},
		{Name: SystemCA, Passphrase: "global.certs.ca.system.pass", Algorithm: ECDSA,
			CARequest: CARequest{Subject: subject("System CA"), Lifetime: lives.CA}},
		{Name: PublicCA, Passphrase: "global.certs.ca.public.pass", Algorithm: ECDSA,
			CARequest: CARequest{Subject: subject("Public CA"), ServerOnly: true, Lifetime: lives.CA}},
	}
}

// Leaves lists the leaf certificates of an environment with these zones whose routers are at hosts (see ParseHosts; one value a zone).
// An error names the host that cannot stand in a certificate.
func Leaves(zones []zone.Zone, hosts []string, lives Lives) ([]Leaf, error) {
	dns, ips, err := routerNames(zones, hosts)
	if err != nil {
		return nil, err
	}
	leaves := []Leaf{
		{Name: Admin, Passphrase: "global.certs.mongodb.admin.pass",
			Request: Request{Subject: AdminSubject(), Usage: Usage{Client: true}, Lifetime: lives.Leaf}},
		{Name: Router, Passphrase: "global.certs.mongodb.router.pass",
			Request: Request{Subject: RouterSubject(), Usage: Usage{Server: true, Client: true}, DNS: dns, IPs: ips, Lifetime: lives.Leaf}},
	}
	for _, z := range zones {
		for _, kind := range []string{"gateway", "maintenance"} {
			name := kind + "-" + zone.Key(z.Name)
			leaves = append(leaves, Leaf{Name: name, Passphrase: fmt.Sprintf("global.certs.%s.%s.pass", kind, zone.Key(z.Name)), Zone: z.Name,
				Request: Request{Subject: ServiceSubject(name), Usage: Usage{Client: true}, Lifetime: lives.Leaf}})
		}
	}
	return leaves, nil
}

// routerNames is what clients may call a router: the in-cluster Services of every zone's namespace, the hosts, and this machine.
func routerNames(zones []zone.Zone, hosts []string) (dns []string, ips []netip.Addr, err error) {
	const service = "mongodb-shard-router"
	dns = []string{service, "*." + service}
	for _, z := range zones {
		if z.Namespace != "" {
			dns = append(dns, service+"."+z.Namespace, "*."+service+"."+z.Namespace)
		}
	}
	for _, value := range hosts {
		names, addresses, err := ParseHosts(value)
		if err != nil {
			return nil, nil, err
		}
		dns, ips = append(dns, names...), append(ips, addresses...)
	}
	return unique(append(dns, "localhost")), unique(append(ips, netip.AddrFrom4([4]byte{127, 0, 0, 1}))), nil
}

// unique keeps the first of each value, in order.
func unique[T comparable](list []T) []T {
	seen := map[T]bool{}
	return slices.DeleteFunc(list, func(v T) bool {
		had := seen[v]
		seen[v] = true
		return had
	})
}
