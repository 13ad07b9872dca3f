package bootstrap

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/environment"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/hint"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/pki"
)

// leafFiles is what the directory holds of one leaf certificate.
type leafFiles struct {
	pki.Leaf
	cert, key, full []byte

	reason  string // why it must be issued; "" when it need not
	restore bool   // the files disagree, and these are good:

	goodKey, goodCert []byte
}

func (l *leafFiles) existed() bool { return l.full != nil || l.cert != nil }

// ensureLeaves issues the leaf certificates that are stale, and those named by force.
func (c *Certificates) ensureLeaves(ctx context.Context, leaves []pki.Leaf, force []string) ([]Change, error) {
	issuer, err := c.chain(pki.SystemCA)
	if err != nil {
		return nil, err
	}
	var work []leafFiles
	var passphrases []string
	raise := false
	for _, leaf := range leaves {
		files, err := c.judgeLeaf(leaf, issuer, slices.Contains(force, leaf.Name) || slices.Contains(force, "*"))
		if err != nil {
			return nil, err
		}
		if files.reason == "" && !files.restore {
			continue
		}
		work = append(work, files)
		if files.reason != "" {
			passphrases = append(passphrases, leaf.Passphrase)
			raise = raise || leaf.Zone != "" && files.existed()
		}
	}
	if passphrases != nil {
		if _, err := c.authority(pki.SystemCA); err != nil { // before anything is changed for certificates that cannot be made
			return nil, err
		}
	}
	var changes []Change
	if raise {
		if changes, err = c.raiseGeneration(); err != nil {
			return nil, err
		}
	}
	if err := c.makePassphrases(passphrases); err != nil {
		return changes, err
	}
	for _, files := range work {
		if err := ctx.Err(); err != nil {
			return changes, err
		}
		change, err := c.writeLeaf(files)
		if err != nil {
			return changes, err
		}
		changes = append(changes, change)
	}
	return changes, nil
}

// judgeLeaf compares the files of one leaf with what they shall be. The -full.pem counts, since it is written first and whole; where it
// is missing, the other two are taken together.
func (c *Certificates) judgeLeaf(leaf pki.Leaf, issuer []*x509.Certificate, force bool) (leafFiles, error) {
	l := leafFiles{Leaf: leaf}
	for name, to := range map[string]*[]byte{certFile(leaf.Name): &l.cert, keyFile(leaf.Name): &l.key, fullFile(leaf.Name): &l.full} {
		data, err := c.Files.ReadOptional(name)
		if err != nil {
			return l, err
		}
		*to = data
	}
	material := l.full
	if material == nil {
		material = pki.Join(l.key, l.cert)
	}
	var stale bool
	if l.reason, stale = pki.NeedsReissue(material, pki.Desired{Request: leaf.Request, Issuer: issuer}, c.Now()); stale {
		return l, nil
	}
	if force {
		l.reason = "it was asked for"
		return l, nil
	}
	passphrase, err := c.passphrase(leaf.Passphrase)
	if errors.Is(err, errNoPassphrase) {
		l.reason = "its passphrase was not recorded"
		return l, nil
	}
	if err != nil {
		return l, err
	}
	key, cert, err := pki.Split(material)
	if err != nil {
		l.reason = "its key was unreadable"
		return l, nil //nolint:nilerr // an unreadable key is a finding: it is issued anew
	}
	if l.reason, err = keyProblem(key, passphrase, cert); err != nil {
		return l, err
	}
	if l.reason == "" && (!bytes.Equal(l.key, key) || !bytes.Equal(l.cert, cert) || !bytes.Equal(l.full, pki.Join(key, cert))) {
		l.restore, l.goodKey, l.goodCert = true, key, cert
	}
	return l, nil
}

// keyProblem says why a key is no good for a certificate, "" when it is.
func keyProblem(keyPEM, passphrase, certPEM []byte) (string, error) {
	key, err := pki.ParseKey(keyPEM, passphrase)
	if errors.Is(err, pki.ErrPassphrase) {
		return "its key did not open with the recorded passphrase", nil
	}
	if err != nil {
		return "its key was unreadable", nil //nolint:nilerr // a finding, see above
	}
	certs, err := pki.ParseCertificates(certPEM)
	if err != nil {
		return "", err
	}
	if !pki.Matches(certs[0], key) {
		return "its key belonged to another certificate", nil
	}
	return "", nil
}

// writeLeaf issues a leaf certificate, or repairs the files of a good one.
func (c *Certificates) writeLeaf(had leafFiles) (Change, error) {
	l := had
	change := Change{Name: l.Name, Action: "restored", Reason: "its files disagreed"}
	if l.restore {
		l.key, l.cert = l.goodKey, l.goodCert
	} else {
		change.Action, change.Reason = "issued", l.reason
		if l.existed() {
			change.Action = "reissued"
		}
		if err := c.issueLeaf(&l); err != nil {
			return change, err
		}
	}
	for _, file := range []struct {
		name       string
		have, want []byte
		mode       fs.FileMode
	}{
		{fullFile(l.Name), had.full, pki.Join(l.key, l.cert), 0o600},
		{keyFile(l.Name), had.key, l.key, 0o600},
		{certFile(l.Name), had.cert, l.cert, 0o644},
	} {
		if bytes.Equal(file.have, file.want) {
			continue
		}
		if err := c.Files.Write(file.name, file.want, file.mode); err != nil {
			return change, err
		}
	}
	return change, nil
}

// issueLeaf replaces l's key and certificate by new ones; nothing is written.
func (c *Certificates) issueLeaf(l *leafFiles) error {
	ca, err := c.authority(pki.SystemCA)
	if err != nil {
		return err
	}
	passphrase, err := c.passphrase(l.Passphrase)
	if err != nil {
		return err
	}
	pair, err := pki.Issue(ca, l.Request, c.Now(), c.Rand)
	if err != nil {
		return err
	}
	if l.key, err = pki.EncryptKey(pair.KeyPEM, passphrase, c.Rand); err != nil {
		return err
	}
	l.cert = pair.CertPEM
	return nil
}

// authorityCertificate returns the certificate of a CA of this environment; a missing or unreadable one is an error, for it is never
// replaced behind the user's back.
func (c *Certificates) authorityCertificate(name string) (*x509.Certificate, error) {
	data, err := c.Files.ReadOptional(certFile(name))
	if err != nil {
		return nil, err
	}
	if data == nil {
		return nil, hint.New(fmt.Sprintf("%q is missing", certFile(name)), "kubectl aporeto pki init makes the environment's certificates")
	}
	certs, err := pki.ParseCertificates(data)
	if err == nil && !certs[0].IsCA {
		err = errors.New("it is not a CA's certificate")
	}
	if err != nil {
		return nil, hint.Wrap(fmt.Errorf("%q: %w", certFile(name), err), "put the file back: git checkout %s", certFile(name))
	}
	return certs[0], nil
}

// chain returns a CA's certificate and the root's above it.
func (c *Certificates) chain(name string) ([]*x509.Certificate, error) {
	cert, err := c.authorityCertificate(name)
	if err != nil || name == pki.RootCA {
		return []*x509.Certificate{cert}, err
	}
	root, err := c.authorityCertificate(pki.RootCA)
	return []*x509.Certificate{cert, root}, err
}

// authority opens a CA of the environment for signing, once.
func (c *Certificates) authority(name string) (*pki.CA, error) {
	if ca := c.opened[name]; ca != nil {
		return ca, nil
	}
	chain, err := c.chain(name)
	if err != nil {
		return nil, err
	}
	keyPEM, err := c.Files.ReadOptional(keyFile(name))
	if err != nil {
		return nil, err
	}
	if keyPEM == nil {
		return nil, hint.Wrap(fmt.Errorf("CA %q has to sign, and its key is not here", name), "put %s back for the time of this command", keyFile(name))
	}
	list := pki.Authorities(c.Environment.ID, c.Lives)
	a := list[slices.IndexFunc(list, func(a pki.Authority) bool { return a.Name == name })]
	passphrase, err := c.passphrase(a.Passphrase)
	if err != nil {
		return nil, err
	}
	ca, err := pki.OpenCA(pki.EncodeCertificates(chain...), keyPEM, passphrase)
	if err != nil {
		return nil, c.explainKey(keyFile(name), a.Passphrase, err)
	}
	if c.opened == nil {
		c.opened = map[string]*pki.CA{}
	}
	c.opened[name] = ca
	return ca, nil
}

// explainKey adds what helps to the error of a key that did not open.
func (c *Certificates) explainKey(file, key string, err error) error {
	if errors.Is(err, pki.ErrPassphrase) {
		return hint.Wrap(fmt.Errorf("%q: %w", file, err), "the passphrase %s is not this key's. It comes from its variable APORETO_SECRET_… where that is set, else from the file in $APORETO_SECRETS_FILE, else from %s: correct the first of these, or put %s and the key back together from one commit",
			key, environment.SecretsFile, environment.SecretsFile)
	}
	return hint.Wrap(fmt.Errorf("%q: %w", file, err), "put the file back: git checkout %s", file)
}
