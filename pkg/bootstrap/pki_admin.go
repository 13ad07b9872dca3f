package bootstrap

import (
	"bytes"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/pki"
)

// AdminPEM returns the administrator's certificate with its chain and its key without encryption, in the one file that MongoDB's own
// programs take. Whoever holds it is the administrator.
func (c *Certificates) AdminPEM() ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	cert, key, err := c.openLeaf(pki.Admin, "global.certs.mongodb.admin.pass")
	if err != nil {
		return nil, err
	}
	return pki.Join(key, cert), nil
}

// MongoTrustFile returns the file of the environment that holds what MongoTrust returns: that of the CA the routers are to have, or, while
// former ones are trusted too, the record. A custom CA that was dropped in just now, and is not recorded yet, is named by itself.
func (c *Certificates) MongoTrustFile() (string, error) {
	trust, err := c.MongoTrust()
	if err != nil {
		return "", err
	}
	current := pemFile(pki.SystemChain)
	if custom, err := c.Files.ReadOptional(pemFile(pki.CustomCA)); err != nil {
		return "", err
	} else if custom != nil {
		current = pemFile(pki.CustomCA)
	}
	for _, name := range []string{current, pemFile(pki.TrustBundle)} {
		data, err := c.Files.ReadOptional(name)
		if err != nil {
			return "", err
		}
		if certs, err := pki.ParseCertificates(data); err == nil && bytes.Equal(pki.EncodeCertificates(certs...), trust) {
			return name, nil
		}
	}
	return current, nil
}
