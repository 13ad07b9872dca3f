package bootstrap

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/hint"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/pki"
)

// Trust returns what verifies the MongoDB routers. Its current CAs are those in certs/mongodb-custom-ca.pem where the user dropped that
// in, which is announced with its CN, else the environment's ca-chain-system.pem. What clients were given before stays trusted, which is
// said, until DropFormer: certs/mongodb-trust.pem keeps it. A custom CA that is no CA certificate is refused.
func (c *Certificates) Trust() (pki.Trust, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.trust()
}

// MongoTrust is Trust in PEM, as clients take it.
func (c *Certificates) MongoTrust() ([]byte, error) {
	trust, err := c.Trust()
	return trust.PEM(), err
}

func (c *Certificates) trust() (pki.Trust, error) {
	recorded, err := c.recordedTrust()
	if err != nil {
		return pki.Trust{}, err
	}
	return c.trustBesides(recorded)
}

// trustBesides is what is to be trusted where recorded has been so far.
func (c *Certificates) trustBesides(recorded []*x509.Certificate) (pki.Trust, error) {
	current, custom, err := c.currentTrust()
	if err != nil {
		return pki.Trust{}, err
	}
	trust := pki.NewTrust(current, recorded, c.Now())
	if custom && !c.announced {
		c.announced = true
		c.Notify(fmt.Sprintf("using the provided custom CA for the MongoDB routers with CN:%s (%s)", current[0].Subject.CommonName, pemFile(pki.CustomCA)))
	}
	if len(trust.Former) > 0 && !c.overlap {
		c.overlap = true
		c.Notify(fmt.Sprintf("the MongoDB routers may show certificates of CN:%s or, as before, of CN:%s; kubectl aporeto pki trust shows which they do, and ends this",
			current[0].Subject.CommonName, formerNames(trust)))
	}
	return trust, nil
}

// formerNames are the CNs of the former CAs, less those that only stand above another of them.
func formerNames(trust pki.Trust) string {
	var names []string
	for _, cert := range trust.Former {
		above := slices.ContainsFunc(trust.Former, func(other *x509.Certificate) bool {
			return other != cert && bytes.Equal(other.RawIssuer, cert.RawSubject)
		})
		if !above {
			names = append(names, cert.Subject.CommonName)
		}
	}
	return strings.Join(names, ", CN:")
}

// currentTrust returns the CAs that are to sign the routers' certificates, and whether they are the user's own.
func (c *Certificates) currentTrust() (certs []*x509.Certificate, custom bool, err error) {
	data, err := c.Files.ReadOptional(pemFile(pki.CustomCA))
	if err != nil {
		return nil, false, err
	}
	if data == nil {
		certs, err = c.chain(pki.SystemCA)
		return certs, false, err
	}
	if certs, err = pki.ParseCertificates(data); err != nil {
		return nil, true, hint.Wrap(fmt.Errorf("%q: %w", pemFile(pki.CustomCA), err), "put the CA of your MongoDB routers there in PEM form, or remove the file")
	}
	for _, cert := range certs {
		if !cert.IsCA {
			return nil, true, hint.Wrap(fmt.Errorf("%q: %s is not a CA's certificate", pemFile(pki.CustomCA), pki.Name(cert)),
				"put the CA that signed the routers' certificates there, not a router's certificate")
		}
		if c.Now().After(cert.NotAfter) {
			return nil, true, hint.Wrap(fmt.Errorf("%q: %s expired at %s", pemFile(pki.CustomCA), pki.Name(cert), cert.NotAfter.UTC().Format("2006-01-02")), "replace the file")
		}
	}
	return certs, true, nil
}

// recordedTrust returns what clients have been told to trust. An environment that has certificates and no record is one from before there
// were records, or one that was never deployed: its own System CA counts as trusted, which is right for the one and harmless for the other.
func (c *Certificates) recordedTrust() ([]*x509.Certificate, error) {
	data, err := c.Files.ReadOptional(pemFile(pki.TrustBundle))
	if err != nil {
		return nil, err
	}
	if data != nil {
		certs, err := pki.ParseCertificates(data)
		if err != nil {
			return nil, hint.Wrap(fmt.Errorf("%q: %w", pemFile(pki.TrustBundle), err), "it records what the pods trust: put it back (git checkout %s)", pemFile(pki.TrustBundle))
		}
		return certs, nil
	}
	system, err := c.Files.ReadOptional(certFile(pki.SystemCA))
	if err != nil || system == nil {
		return nil, err
	}
	chain, err := c.chain(pki.SystemCA)
	if err != nil {
		return nil, nil //nolint:nilerr // a CA that cannot be read is said, with what to do, by whoever needs it
	}
	return chain, nil
}

// ensureTrust records what clients trust from now on. Where that is more or other than recorded, the pods start again at the next deploy:
// whoever waits for it knows then that every client has it.
func (c *Certificates) ensureTrust(recorded []*x509.Certificate) ([]Change, error) {
	trust, err := c.trustBesides(recorded)
	if err != nil {
		return nil, err
	}
	return c.writeTrust(trust, recorded)
}

func (c *Certificates) writeTrust(trust pki.Trust, recorded []*x509.Certificate) ([]Change, error) {
	have, err := c.Files.ReadOptional(pemFile(pki.TrustBundle))
	if err != nil || bytes.Equal(have, trust.PEM()) {
		return nil, err
	}
	var changes []Change
	if len(recorded) > 0 && !bytes.Equal(pki.EncodeCertificates(recorded...), trust.PEM()) {
		if changes, err = c.raiseGeneration(); err != nil {
			return nil, err
		}
	}
	if err := c.Files.Write(pemFile(pki.TrustBundle), trust.PEM(), 0o644); err != nil {
		return changes, err
	}
	change := Change{Name: pemFile(pki.TrustBundle), Action: "written", Reason: "routers are verified by CN:" + trust.Current[0].Subject.CommonName}
	if len(trust.Former) > 0 {
		change.Reason += " and, until it is dropped, by CN:" + formerNames(trust)
	}
	return append(changes, change), nil
}

// DropFormer ends the trust in former CAs. Pods that have not started again since, which the next deploy sees to, keep theirs.
func (c *Certificates) DropFormer() ([]Change, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.raised = false
	trust, err := c.trust()
	if err != nil || len(trust.Former) == 0 {
		return nil, err
	}
	return c.writeTrust(pki.Trust{Current: trust.Current}, slices.Concat(trust.Current, trust.Former))
}
