package bootstrap

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/environment"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/pki"
)

// Status is what Check found out about one certificate.
type Status struct {
	Name      string    `json:"name"`
	File      string    `json:"file"`
	Subject   string    `json:"subject"` // RFC 2253, the user's name in MongoDB
	Issuer    string    `json:"issuer"`
	NotBefore time.Time `json:"notBefore"`
	NotAfter  time.Time `json:"notAfter"`
	DaysLeft  int       `json:"daysLeft"`  // whole days; negative when expired
	Renewable bool      `json:"renewable"` // in the last third of its life: pki init would reissue it now
	Problems  []string  `json:"problems"`  // what is wrong beside its age; empty when nothing is
}

// Check looks at the certificates in files (relative names, as envdir.Dir.CertificateFiles lists them) and at those that the environment
// must have. No key is opened, so no passphrase is needed.
func (c *Certificates) Check(files []string) ([]Status, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	roots, middle := x509.NewCertPool(), x509.NewCertPool()
	var since time.Time // when all CAs were valid
	for _, name := range []string{pki.RootCA, pki.SystemCA, pki.PublicCA} {
		cert, err := c.authorityCertificate(name)
		switch {
		case err != nil: // its own line says so
			continue
		case name == pki.RootCA:
			roots.AddCert(cert)
		default:
			middle.AddCert(cert)
		}
		if cert.NotBefore.After(since) {
			since = cert.NotBefore
		}
	}
	leaves, err := pki.Leaves(c.Environment.Zones, nil, c.Lives)
	if err != nil {
		return nil, err
	}
	subjects := map[string]string{}
	for _, leaf := range leaves {
		subjects[leaf.Name] = leaf.Subject.String()
	}
	list := make([]Status, 0, len(files))
	seen := map[string]bool{}
	for _, file := range files {
		status, err := c.checkFile(file, x509.VerifyOptions{Roots: roots, Intermediates: middle, CurrentTime: since, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
		if err != nil {
			return nil, err
		}
		if want := subjects[status.Name]; want != "" && status.Subject != "" && status.Subject != want {
			status.Problems = append(status.Problems, "its subject is not "+want)
		}
		seen[file] = true
		list = append(list, status)
	}
	var wanted []string
	for _, a := range pki.Authorities(c.Environment.ID, c.Lives) {
		wanted = append(wanted, a.Name)
	}
	for _, leaf := range leaves {
		wanted = append(wanted, leaf.Name)
	}
	for _, name := range wanted {
		if file := certFile(name); !seen[file] {
			list = append(list, Status{Name: name, File: file, Problems: []string{"missing"}})
		}
	}
	return list, nil
}

func (c *Certificates) checkFile(file string, verify x509.VerifyOptions) (Status, error) {
	name := strings.TrimPrefix(file, environment.CertsDir+"/")
	name = strings.TrimSuffix(strings.TrimSuffix(name, ".pem"), "-cert")
	status := Status{Name: name, File: file, Problems: []string{}}
	data, err := c.Files.ReadOptional(file)
	if err != nil {
		return status, err
	}
	certs, err := pki.ParseCertificates(data)
	if err != nil {
		status.Problems = append(status.Problems, err.Error())
		return status, nil
	}
	cert, now := certs[0], c.Now()
	left := cert.NotAfter.Sub(now)
	status.Subject, status.Issuer = pki.Name(cert), pki.IssuerName(cert)
	status.NotBefore, status.NotAfter, status.DaysLeft = cert.NotBefore.UTC(), cert.NotAfter.UTC(), pki.Days(left)
	status.Renewable = left <= cert.NotAfter.Sub(cert.NotBefore)/pki.RenewAt
	if now.Before(cert.NotBefore) {
		status.Problems = append(status.Problems, "not valid yet")
	}
	if !strings.HasSuffix(file, "-cert.pem") {
		return status, nil // the user's own: signed by whom the user likes
	}
	// At a moment when it and the CAs were valid: its age has a column of its own. A CA that was renewed is younger than what it signed; what
	// ended before that was never seen together with it, and has expired.
	if cert.NotBefore.After(verify.CurrentTime) {
		verify.CurrentTime = cert.NotBefore
	}
	verify.CurrentTime = verify.CurrentTime.Add(time.Second)
	if _, err := cert.Verify(verify); err != nil && verify.CurrentTime.Before(cert.NotAfter) {
		status.Problems = append(status.Problems, fmt.Sprintf("does not verify: %v", err))
	}
	problems, err := c.checkKey(strings.TrimSuffix(path.Base(file), "-cert.pem"), data)
	status.Problems = append(status.Problems, problems...)
	return status, err
}

// checkKey compares the certificate's other two files with it, as far as that needs no passphrase.
func (c *Certificates) checkKey(name string, cert []byte) ([]string, error) {
	key, err := c.Files.ReadOptional(keyFile(name))
	if err != nil {
		return nil, err
	}
	full, err := c.Files.ReadOptional(fullFile(name))
	if err != nil {
		return nil, err
	}
	var problems []string
	if key != nil {
		if encrypted, err := pki.Encrypted(key); err != nil {
			problems = append(problems, err.Error())
		} else if !encrypted {
			problems = append(problems, "its key is not encrypted")
		}
	}
	if full != nil && key != nil && !bytes.Equal(full, pki.Join(key, cert)) {
		problems = append(problems, "its -full.pem differs from key and certificate")
	}
	return problems, nil
}

// SystemCA opens the environment's System CA for signing a certificate by hand.
func (c *Certificates) SystemCA() (*pki.CA, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.authority(pki.SystemCA)
}
