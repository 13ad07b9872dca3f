package bootstrap

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/environment"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/hint"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/pki"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/zone"
)

// Keys of the Secrets that pods mount (the first two are those of kubernetes.io/tls).
const (
	SecretCert     = "tls.crt"
	SecretKey      = "tls.key"
	SecretCA       = "ca.crt"
	SecretFull     = "full.pem"
	SecretSystemCA = "system-ca.crt"
)

// The agents of a zone that have certificates of their own in the environment directory.
const (
	Gateway     = "gateway"
	Maintenance = "maintenance"
)

// systemChain is ca-chain-system.pem's content, from the certificates it is made of.
func (c *Certificates) systemChain() ([]byte, error) {
	chain, err := c.chain(pki.SystemCA)
	return pki.EncodeCertificates(chain...), err
}

// AdminTLS returns the certificate with which this workstation administers MongoDB (CN=mongodb-admin,OU=users,O=mongodb).
func (c *Certificates) AdminTLS() (tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	cert, key, err := c.openLeaf(pki.Admin, "global.certs.mongodb.admin.pass")
	if err != nil {
		return tls.Certificate{}, err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("%q: %w", fullFile(pki.Admin), err)
	}
	return pair, nil
}

// MemberTLS returns the routers' certificate, by which this workstation is taken for a member of a cluster of this environment's certificates
// (CN=mongodb-router,OU=servers,O=mongodb): who may do anything before there are users.
func (c *Certificates) MemberTLS() (tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	cert, key, err := c.openLeaf(pki.Router, "global.certs.mongodb.router.pass")
	if err != nil {
		return tls.Certificate{}, err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("%q: %w", fullFile(pki.Router), err)
	}
	return pair, nil
}

// openLeaf returns a leaf's certificate with its chain, and its key in plain.
func (c *Certificates) openLeaf(name, passphraseKey string) (certPEM, keyPEM []byte, err error) {
	full, err := c.Files.ReadOptional(fullFile(name))
	if err != nil {
		return nil, nil, err
	}
	if full == nil {
		return nil, nil, hint.New(fmt.Sprintf("%q is missing", fullFile(name)), "kubectl aporeto pki init")
	}
	key, cert, err := pki.Split(full)
	if err != nil {
		return nil, nil, hint.Wrap(fmt.Errorf("%q: %w", fullFile(name), err), "kubectl aporeto pki init repairs it")
	}
	passphrase, err := c.passphrase(passphraseKey)
	if err != nil {
		return nil, nil, err
	}
	plain, err := pki.DecryptKey(key, passphrase)
	if err != nil {
		return nil, nil, c.explainKey(fullFile(name), passphraseKey, err)
	}
	return cert, plain, nil
}

// ServiceSecret returns the data of the Secret aporeto-mongodb-<service>: a client certificate CN=<service>,OU=root,O=system, which is
// also good for a server of serverNames when there are any. The certificate in existing (nil when there is no Secret yet) is kept while
// it is right; else reissued says why it was not.
func (c *Certificates) ServiceSecret(service string, serverNames []string, existing map[string][]byte) (data map[string][]byte, reissued string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	trust, err := c.trust()
	if err != nil {
		return nil, "", err
	}
	dns, ips, err := pki.ParseHosts(strings.Join(serverNames, ","))
	if err != nil {
		return nil, "", fmt.Errorf("certificate of service %q: %w", service, err)
	}
	req := pki.Request{Subject: pki.ServiceSubject(service), DNS: dns, IPs: ips, Usage: pki.Usage{Client: true, Server: len(serverNames) > 0}, Lifetime: c.Lives.Leaf}
	pair, reissued, err := c.reuseOrIssue(pki.SystemCA, req, existing)
	if err != nil {
		return nil, "", fmt.Errorf("certificate of service %q: %w", service, err)
	}
	return secretData(pair, trust.PEM(), true), reissued, nil
}

// MemberSecret returns the data of the Secret aporeto-member-<component>: the certificate, for servers and clients, of the servers that the
// headless Service service names, members of an in-cluster MongoDB. Its ca.crt is the environment's own chain, which verifies both clients
// and the other members; where clients are told to verify routers by a CA of the user's, there can be no such database.
func (c *Certificates) MemberSecret(service string, names []string, existing map[string][]byte) (data map[string][]byte, reissued string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, custom, err := c.currentTrust(); err != nil {
		return nil, "", err
	} else if custom {
		return nil, "", hint.New(fmt.Sprintf("the in-cluster MongoDB (mongodb-shard) has certificates of this environment, and %q says that routers have others", pemFile(pki.CustomCA)),
			"rm "+pemFile(pki.CustomCA)+", or kubectl aporeto value set enabled false mongodb-shard")
	}
	chain, err := c.systemChain()
	if err != nil {
		return nil, "", err
	}
	dns, ips, err := pki.ParseHosts(strings.Join(names, ","))
	if err != nil {
		return nil, "", fmt.Errorf("certificate of %s: %w", service, err)
	}
	req := pki.Request{Subject: pki.MemberSubject(service), DNS: dns, IPs: ips, Usage: pki.Usage{Client: true, Server: true}, Lifetime: c.Lives.Leaf}
	pair, reissued, err := c.reuseOrIssue(pki.SystemCA, req, existing)
	if err != nil {
		return nil, "", fmt.Errorf("certificate of %s: %w", service, err)
	}
	return secretData(pair, chain, true), reissued, nil
}

// reuseOrIssue returns the pair in existing while it is what req asks for, else a new one and why.
func (c *Certificates) reuseOrIssue(authority string, req pki.Request, existing map[string][]byte) (pki.Pair, string, error) {
	chain, err := c.chain(authority)
	if err != nil {
		return pki.Pair{}, "", err
	}
	have := pki.Pair{CertPEM: existing[SecretCert], KeyPEM: existing[SecretKey]}
	reason, stale := pki.NeedsReissue(have.CertPEM, pki.Desired{Request: req, Issuer: chain}, c.Now())
	if !stale {
		if reason, err = keyProblem(have.KeyPEM, nil, have.CertPEM); err != nil {
			return pki.Pair{}, "", err
		}
		if reason == "" {
			return have, "", nil
		}
	}
	ca, err := c.authority(authority)
	if err != nil {
		return pki.Pair{}, "", err
	}
	pair, err := pki.Issue(ca, req, c.Now(), c.Rand)
	return pair, reason, err
}

func secretData(pair pki.Pair, trust []byte, full bool) map[string][]byte {
	data := map[string][]byte{SecretCert: pair.CertPEM, SecretKey: pair.KeyPEM, SecretCA: trust}
	if full {
		data[SecretFull] = pki.Join(pair.KeyPEM, pair.CertPEM)
	}
	return data
}

// ZoneSecret returns the data of the Secret aporeto-gateway-mongodb (kind Gateway) or aporeto-maintenance-mongodb (kind Maintenance) of
// a zone, from the environment directory. The gateway's has system-ca.crt too, which verifies https services.
func (c *Certificates) ZoneSecret(kind, zoneName string) (map[string][]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	trust, err := c.trust()
	if err != nil {
		return nil, err
	}
	cert, key, err := c.openLeaf(kind+"-"+zone.Key(zoneName), fmt.Sprintf("global.certs.%s.%s.pass", kind, zone.Key(zoneName)))
	if err != nil {
		return nil, err
	}
	data := secretData(pki.Pair{CertPEM: cert, KeyPEM: key}, trust.PEM(), true)
	if kind == Gateway {
		data[SecretSystemCA], err = c.systemChain()
	}
	return data, err
}

// PublicSecret returns the data of the Secret aporeto-gateway-tls of a zone. Hosts are the names and addresses under which clients reach
// the zone, ports allowed: those of global.public.* and of the global endpoint. Where certs/public/<zone>/tls.crt and tls.key exist (zone
// in lower case; ca.crt beside them and an encrypted key, with passphrase global.certs.public.<zone>.pass, are possible) they are used;
// else the environment's Public CA signs, and what is in existing is kept while it is right, as in ServiceSecret.
func (c *Certificates) PublicSecret(z zone.Zone, hosts []string, existing map[string][]byte) (data map[string][]byte, reissued string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	dns, ips, err := pki.ParseHosts(strings.Join(hosts, ","))
	if err != nil {
		return nil, "", fmt.Errorf("public certificate of zone %s: %w", z.Name, err)
	}
	own, err := c.ownPublic(z, dns, ips)
	if own != nil || err != nil {
		return own, "", err
	}
	// The Service's own names come last: tools and probes inside the cluster use them, and a zone without public URLs has no others.
	dns = append(dns, "aporeto-gateway", "aporeto-gateway."+z.Namespace, "aporeto-gateway."+z.Namespace+".svc")
	req := pki.Request{
		Subject: pki.Subject{CommonName: "public-" + zone.Key(z.Name), OrganizationalUnit: c.Environment.ID, Organization: "aporeto"},
		DNS:     unique(dns), IPs: ips, Usage: pki.Usage{Server: true}, Lifetime: c.Lives.Leaf,
	}
	pair, reissued, err := c.reuseOrIssue(pki.PublicCA, req, existing)
	if err != nil {
		return nil, "", fmt.Errorf("public certificate of zone %s: %w", z.Name, err)
	}
	chain, err := c.chain(pki.PublicCA)
	return secretData(pair, pki.EncodeCertificates(chain...), false), reissued, err
}

func unique(list []string) []string {
	slices.Sort(list)
	return slices.Compact(list)
}

// ownPublic returns the user's own public certificate of a zone, nil when there is none. It must be usable; hosts that it does not
// cover are only warned of, since something before the gateway may end TLS for them.
func (c *Certificates) ownPublic(z zone.Zone, dns []string, ips []netip.Addr) (map[string][]byte, error) {
	dir := environment.CertsDir + "/public/" + zone.Key(z.Name) + "/"
	files := map[string][]byte{}
	for _, name := range []string{SecretCert, SecretKey, SecretCA} {
		data, err := c.Files.ReadOptional(dir + name)
		if err != nil {
			return nil, err
		}
		if data != nil {
			files[name] = data
		}
	}
	cert, key := files[SecretCert], files[SecretKey]
	if cert == nil && key == nil {
		return nil, nil
	}
	if cert == nil || key == nil {
		return nil, hint.New(fmt.Sprintf("of %stls.crt and %stls.key only one is there", dir, dir), "put both there, or none to let the environment's Public CA sign")
	}
	certs, err := pki.ParseCertificates(cert)
	if err != nil {
		return nil, fmt.Errorf("%stls.crt: %w", dir, err)
	}
	if now := c.Now(); now.After(certs[0].NotAfter) || now.Before(certs[0].NotBefore) {
		return nil, hint.New(fmt.Sprintf("%stls.crt is valid from %s to %s only", dir, certs[0].NotBefore.Format("2006-01-02"), certs[0].NotAfter.Format("2006-01-02")), "replace it, and its key")
	}
	plain, err := c.ownPublicKey(dir, key, "global.certs.public."+zone.Key(z.Name)+".pass")
	if err != nil {
		return nil, err
	}
	if reason, err := keyProblem(plain, nil, cert); err != nil || reason != "" {
		return nil, errors.Join(err, fmt.Errorf("%stls.crt and tls.key do not belong together", dir))
	}
	for _, ip := range ips {
		dns = append(dns, ip.String())
	}
	for _, host := range dns {
		if certs[0].VerifyHostname(host) != nil {
			c.Notify(fmt.Sprintf("warning: zone %s: %stls.crt does not cover %s", z.Name, dir, host))
		}
	}
	data := map[string][]byte{SecretCert: cert, SecretKey: plain}
	if ca := files[SecretCA]; ca != nil {
		data[SecretCA] = ca
	} else if len(certs) > 1 {
		data[SecretCA] = pki.EncodeCertificates(certs[1:]...)
	}
	return data, nil
}

func (c *Certificates) ownPublicKey(dir string, key []byte, passphraseKey string) ([]byte, error) {
	encrypted, err := pki.Encrypted(key)
	if err != nil {
		return nil, fmt.Errorf("%stls.key: %w", dir, err)
	}
	var passphrase []byte
	if encrypted {
		if passphrase, err = c.passphrase(passphraseKey); err != nil {
			return nil, fmt.Errorf("%stls.key: %w", dir, err)
		}
	}
	plain, err := pki.DecryptKey(bytes.Clone(key), passphrase)
	if err != nil {
		return nil, fmt.Errorf("%stls.key: %w", dir, err)
	}
	return plain, nil
}
