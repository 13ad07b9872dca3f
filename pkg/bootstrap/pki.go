package bootstrap

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/environment"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/hint"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/pki"
)

// Files is what certificates need of an environment directory; *envdir.Dir is it. Names are relative to the directory; a file that is
// not there reads as nil; a write is whole or not at all.
type Files interface {
	ReadOptional(name string) ([]byte, error)
	Write(name string, data []byte, mode fs.FileMode) error
}

// Passphrases is what certificates need of an environment's secrets; *envdir.Secrets is it.
type Passphrases interface {
	Get(key string) (value string, found bool, err error)
	Put(add map[string]string) error
}

// Certificates are the certificates of one environment: Ensure makes those in its directory what they shall be, the other methods give
// out what a deployment puts into Secrets. Its methods may be called by several goroutines at once; two processes must not call Ensure at
// once (envdir.Dir.Lock).
type Certificates struct {
	Files       Files
	Passphrases Passphrases
	Environment *environment.Environment
	Now         func() time.Time
	Rand        io.Reader
	Lives       pki.Lives    // pki.DefaultLives() but in tests
	Notify      func(string) // what the user should know: a custom CA in use, a root that cannot be renewed here

	mu        sync.Mutex
	opened    map[string]*pki.CA
	announced bool // the custom CA was
	overlap   bool // that former CAs are trusted was said
	raised    bool // the generation was, by this call of Ensure
}

// Desired is what Ensure aims at besides the environment itself.
type Desired struct {
	// Hosts are the values of global.database.mongo.host, one a zone; the routers' certificate is for them.
	Hosts []string
	// Force names leaf certificates to issue anew though they are good; "*" means all leaves.
	Force []string
}

// Change is one thing that Ensure did.
type Change struct {
	Name   string // of a certificate, or of a file
	Action string // issued, reissued, renewed, restored, written, raised
	Reason string // completes "because"; "" when the action says it all
}

// String is one line for a person.
func (c Change) String() string {
	if c.Reason == "" {
		return c.Action + " " + c.Name
	}
	return c.Action + " " + c.Name + " (" + c.Reason + ")"
}

func certFile(name string) string { return environment.CertsDir + "/" + name + "-cert.pem" }
func keyFile(name string) string  { return environment.CertsDir + "/" + name + "-key.pem" }
func fullFile(name string) string { return environment.CertsDir + "/" + name + "-full.pem" }
func pemFile(name string) string  { return environment.CertsDir + "/" + name + ".pem" }

// Ensure compares the certificates in the directory with what the environment needs, and issues exactly those that are missing, stale or
// broken. It returns what it did, none when all was right, also beside an error. Killed anywhere it leaves a directory from which the
// next call finishes: passphrases are recorded before a key uses them, a CA's key is written before its certificate and kept for good,
// and a leaf's -full.pem, which holds key and certificate, is written before the two files that repeat it.
func (c *Certificates) Ensure(ctx context.Context, want Desired) ([]Change, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	leaves, err := pki.Leaves(c.Environment.Zones, want.Hosts, c.Lives)
	if err != nil {
		return nil, hint.Wrap(err, "kubectl aporeto value set global.database.mongo.host HOST:PORT,HOST:PORT")
	}
	if err := checkNames(leaves, want.Force); err != nil {
		return nil, err
	}
	c.raised = false
	recorded, err := c.recordedTrust() // before new CAs are made: those nobody has trusted yet
	if err != nil {
		return nil, err
	}
	changes, err := c.ensureAuthorities(ctx)
	if err != nil {
		return changes, err
	}
	for _, chain := range [][2]string{{pki.SystemChain, pki.SystemCA}, {pki.PublicChain, pki.PublicCA}} {
		change, err := c.ensureChain(chain[0], chain[1])
		changes = append(changes, change...)
		if err != nil {
			return changes, err
		}
	}
	more, err := c.ensureTrust(recorded)
	changes = append(changes, more...)
	if err != nil {
		return changes, err
	}
	more, err = c.ensureLeaves(ctx, leaves, want.Force)
	changes = append(changes, more...)
	if err != nil {
		return changes, err
	}
	return changes, c.Passphrases.Put(nil) // encrypts anew when the recipients changed
}

func checkNames(leaves []pki.Leaf, names []string) error {
	known := []string{"*"}
	for _, leaf := range leaves {
		known = append(known, leaf.Name)
	}
	for _, name := range names {
		if !slices.Contains(known, name) {
			return hint.New(fmt.Sprintf("no certificate %q can be reissued", name), "the environment's leaf certificates are "+strings.Join(known[1:], ", "))
		}
	}
	return nil
}

// ensureAuthorities makes or renews the CAs, the root first.
func (c *Certificates) ensureAuthorities(ctx context.Context) ([]Change, error) {
	authorities := pki.Authorities(c.Environment.ID, c.Lives)
	var missing []string
	for _, a := range authorities {
		key, err := c.Files.ReadOptional(keyFile(a.Name))
		if err != nil {
			return nil, err
		}
		cert, err := c.Files.ReadOptional(certFile(a.Name))
		if err != nil {
			return nil, err
		}
		if a.Name != pki.RootCA && cert != nil && missing != nil && missing[0] == authorities[0].Passphrase {
			return nil, hint.Wrap(fmt.Errorf("%q is missing while %q is there", certFile(pki.RootCA), certFile(a.Name)),
				"put the root certificate back (git checkout %s); a new root would part from everything that trusts the present one", certFile(pki.RootCA))
		}
		if key == nil && cert == nil {
			missing = append(missing, a.Passphrase)
		}
	}
	if err := c.makePassphrases(missing); err != nil {
		return nil, err
	}
	var changes []Change
	for _, a := range authorities {
		if err := ctx.Err(); err != nil {
			return changes, err
		}
		change, err := c.ensureAuthority(a)
		if err != nil {
			return changes, err
		}
		changes = append(changes, change...)
	}
	return changes, nil
}

func (c *Certificates) ensureAuthority(a pki.Authority) ([]Change, error) {
	certPEM, err := c.Files.ReadOptional(certFile(a.Name))
	if err != nil {
		return nil, err
	}
	keyPEM, err := c.Files.ReadOptional(keyFile(a.Name))
	if err != nil {
		return nil, err
	}
	var present, root *x509.Certificate
	if certPEM != nil {
		if present, err = c.authorityCertificate(a.Name); err != nil {
			return nil, err
		}
		if err := sameEnvironment(a, present); err != nil {
			return nil, err
		}
	}
	if a.Name != pki.RootCA {
		if root, err = c.authorityCertificate(pki.RootCA); err != nil {
			return nil, err
		}
	}
	reason, stale := pki.CANeedsReissue(certPEM, root, c.Now())
	if !stale {
		return nil, nil
	}
	if present != nil && keyPEM == nil {
		return nil, c.keyAway(a.Name, present, root, reason)
	}
	plain, err := c.authorityKey(a, keyPEM)
	if err != nil {
		return nil, err
	}
	var parent *pki.CA
	if root != nil {
		if parent, err = c.authority(pki.RootCA); err != nil {
			return nil, err
		}
	}
	req := a.CARequest
	req.Renewed = present
	issued, err := pki.IssueCA(parent, plain, req, c.Now(), c.Rand)
	if err != nil {
		return nil, err
	}
	delete(c.opened, a.Name)
	if err := c.Files.Write(certFile(a.Name), issued, 0o644); err != nil {
		return nil, err
	}
	if present == nil {
		return []Change{{Name: a.Name, Action: "issued", Reason: reason}}, nil
	}
	return []Change{{Name: a.Name, Action: "renewed", Reason: reason + "; its key stays, so what it signed stays good"}}, nil
}

// keyAway decides about a CA that should be renewed while its key is kept elsewhere: no reason to stop as long as it is valid.
func (c *Certificates) keyAway(name string, present, root *x509.Certificate, reason string) error {
	if root == nil {
		root = present
	}
	if c.Now().Before(present.NotAfter) && c.Now().After(present.NotBefore) && present.CheckSignatureFrom(root) == nil {
		c.Notify(fmt.Sprintf("warning: %s should be renewed (%s), and its key %s is not here", name, reason, keyFile(name)))
		return nil
	}
	return hint.Wrap(fmt.Errorf("CA %q must be renewed (%s), and its key is not here", name, reason), "put %s back for the time of the renewal", keyFile(name))
}

// authorityKey returns the CA's plain key, made and stored first where there is none.
func (c *Certificates) authorityKey(a pki.Authority, keyPEM []byte) ([]byte, error) {
	passphrase, err := c.passphrase(a.Passphrase)
	if err != nil {
		return nil, err
	}
	if keyPEM != nil {
		plain, err := pki.DecryptKey(keyPEM, passphrase)
		if err != nil {
			return nil, c.explainKey(keyFile(a.Name), a.Passphrase, err)
		}
		return plain, nil
	}
	plain, err := pki.NewKey(a.Algorithm, c.Rand)
	if err != nil {
		return nil, err
	}
	encrypted, err := pki.EncryptKey(plain, passphrase, c.Rand)
	if err != nil {
		return nil, err
	}
	return plain, c.Files.Write(keyFile(a.Name), encrypted, 0o600)
}

// ensureChain writes the CA's certificate and the root's into one file, when it holds anything else.
func (c *Certificates) ensureChain(name, authority string) ([]Change, error) {
	chain, err := c.chain(authority)
	if err != nil {
		return nil, err
	}
	want := pki.EncodeCertificates(chain...)
	have, err := c.Files.ReadOptional(pemFile(name))
	if err != nil || string(have) == string(want) {
		return nil, err
	}
	return []Change{{Name: pemFile(name), Action: "written"}}, c.Files.Write(pemFile(name), want, 0o644)
}

// sameEnvironment refuses a CA that was made for another environment: its services could log in to this one's database. A CA the user
// brought has another form of name and passes.
func sameEnvironment(a pki.Authority, present *x509.Certificate) error {
	other := present.Subject
	if other.CommonName != a.Subject.CommonName || !slices.Equal(other.Organization, []string{a.Subject.Organization}) ||
		slices.Equal(other.OrganizationalUnit, []string{a.Subject.OrganizationalUnit}) {
		return nil
	}
	return hint.Wrap(fmt.Errorf("%q is the CA of another environment, %s", certFile(a.Name), pki.Name(present)),
		"give this environment a CA of its own: move %s/ aside and run kubectl aporeto pki init", environment.CertsDir)
}

// errNoPassphrase marks a passphrase that no source has.
var errNoPassphrase = errors.New("its passphrase is not recorded")

// passphrase returns the recorded passphrase of key.
func (c *Certificates) passphrase(key string) ([]byte, error) {
	value, found, err := c.Passphrases.Get(key)
	if err != nil {
		return nil, err
	}
	if !found || value == "" {
		return nil, hint.Wrap(fmt.Errorf("passphrase %s: %w", key, errNoPassphrase), "give it by a file of such lines named in APORETO_SECRETS_FILE, or restore %s", environment.SecretsFile)
	}
	return []byte(value), nil
}

// makePassphrases records new passphrases for the keys that have none, all in one write.
func (c *Certificates) makePassphrases(keys []string) error {
	made := map[string]string{}
	for _, key := range keys {
		_, found, err := c.Passphrases.Get(key)
		if err != nil {
			return err
		}
		if found {
			continue
		}
		if made[key], err = pki.NewPassphrase(c.Rand); err != nil {
			return err
		}
	}
	if len(made) == 0 {
		return nil
	}
	return c.Passphrases.Put(made)
}

// raiseGeneration makes the pods that hold a certificate which is about to be replaced start again at the next deploy. It comes before
// the replacement, so that a killed run counts once too often and never once too little. One call of Ensure raises it once.
func (c *Certificates) raiseGeneration() ([]Change, error) {
	if c.raised {
		return nil, nil
	}
	data, err := c.Files.ReadOptional(environment.File)
	if err != nil {
		return nil, err
	}
	next := c.Environment.CertificateGeneration + 1
	edited, err := environment.SetCertificateGeneration(data, next)
	if err != nil {
		return nil, err
	}
	if err := c.Files.Write(environment.File, edited, 0o644); err != nil {
		return nil, err
	}
	c.Environment.CertificateGeneration, c.raised = next, true
	return []Change{{Name: fmt.Sprintf("certificates.generation to %d", next), Action: "raised", Reason: "pods start again with the new certificates at the next deploy"}}, nil
}
