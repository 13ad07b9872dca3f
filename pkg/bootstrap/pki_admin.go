package bootstrap

import (
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

// MongoTrustFile returns the file of the environment that holds what MongoTrust returns.
func (c *Certificates) MongoTrustFile() (string, error) {
	if _, err := c.MongoTrust(); err != nil {
		return "", err
	}
	custom, err := c.Files.ReadOptional(pemFile(pki.CustomCA))
	if custom == nil {
		return pemFile(pki.SystemChain), err
	}
	return pemFile(pki.CustomCA), err
}
