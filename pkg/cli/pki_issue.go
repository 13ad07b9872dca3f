package cli

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/envdir"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/hint"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/pki"
)

type pkiIssueOptions struct {
	f              *Factory
	server, client bool
	algorithm      string
	name           string
	subject        pki.Subject
	dns, ips       []string
	lifetime       days
	pass           passFlags
	signingCert    string
	signingKey     string
	signingPass    passFlags
	out            string
	overwrite      bool
}

func newPKIIssueCmd(f *Factory) *cobra.Command {
	o := &pkiIssueOptions{f: f, lifetime: days(pki.DefaultLives().Leaf)}
	cmd := &cobra.Command{
		Use:   "issue --name NAME",
		Short: "Issue one certificate by hand, for a MongoDB router of your own for example",
		Long: `Issue one certificate by hand: NAME-cert.pem (with its chain), NAME-key.pem (encrypted) and NAME-full.pem (key and certificate in one, as
mongod takes it). The environment's System CA signs, unless --signing-cert and --signing-cert-key name another CA.`,
		Example: `  kubectl aporeto pki issue --auth-server --auth-client --algo rsa --org aporeto --org-unit service --name external-mongodb \
    --pass-file pass.txt --dns mongo1 --dns mongo2 --ip 10.0.0.5`,
		Args: cobra.NoArgs,
		RunE: func(_ *cobra.Command, _ []string) error {
			req, err := o.request()
			if err != nil {
				return err
			}
			return o.run(req)
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&o.server, "auth-server", false, "for a server; MongoDB routers need --auth-client as well")
	flags.BoolVar(&o.client, "auth-client", false, "for a client")
	flags.StringVar(&o.algorithm, "algo", string(pki.ECDSA), "`algorithm` of the key: ecdsa or rsa")
	flags.StringVar(&o.subject.Organization, "org", "", "O of the subject")
	flags.StringVar(&o.subject.OrganizationalUnit, "org-unit", "", "OU of the subject")
	flags.StringVar(&o.subject.CommonName, "common-name", "", "CN of the subject (default: NAME)")
	flags.StringVar(&o.name, "name", "", "`name` of the files")
	flags.StringSliceVar(&o.dns, "dns", nil, "DNS `name` of the server; may be given several times")
	flags.StringSliceVar(&o.ips, "ip", nil, "IP `address` of the server; may be given several times")
	flags.Var(&o.lifetime, "lifetime", "life of the certificate, at most its CA's")
	flags.StringVar(&o.signingCert, "signing-cert", "", "certificate `file` of the CA that signs (default: the System CA)")
	flags.StringVar(&o.signingKey, "signing-cert-key", "", "its key `file`")
	flags.StringVar(&o.out, "out", ".", "`directory` to write to")
	flags.BoolVar(&o.overwrite, "overwrite", false, "replace files that are there")
	o.pass.add(cmd, "pass", "the new key")
	o.signingPass.add(cmd, "signing-cert-key-pass", "the signing key")
	return cmd
}

// request turns the flags into what is asked of the CA, or a usage error.
func (o *pkiIssueOptions) request() (pki.Request, error) {
	req := pki.Request{
		Subject: o.subject, DNS: o.dns, Usage: pki.Usage{Server: o.server, Client: o.client},
		Algorithm: pki.Algorithm(o.algorithm), Lifetime: time.Duration(o.lifetime),
	}
	if err := errors.Join(o.pass.check(), o.signingPass.check()); err != nil {
		return req, err
	}
	switch {
	case o.name == "" || strings.ContainsAny(o.name, `/\`) || strings.HasPrefix(o.name, "."):
		return req, hint.Wrap(usagef("--name %q cannot begin the names of files", o.name), "--name external-mongodb")
	case !o.server && !o.client:
		return req, usagef("say what the certificate is for: --auth-server, --auth-client or both")
	case req.Algorithm != pki.ECDSA && req.Algorithm != pki.RSA:
		return req, usagef("unknown algorithm %q: --algo ecdsa or --algo rsa", o.algorithm)
	case (o.signingCert == "") != (o.signingKey == ""):
		return req, usagef("--signing-cert and --signing-cert-key belong together")
	case o.lifetime == 0:
		return req, usagef("--lifetime 0 is no life")
	case o.server && len(o.dns)+len(o.ips) == 0:
		return req, usagef("a server's certificate needs --dns or --ip")
	}
	for _, name := range o.dns {
		if _, err := netip.ParseAddr(name); err == nil {
			return req, hint.Wrap(usagef("--dns: %q is an IP address, which clients look for elsewhere in a certificate", name), "--ip %s", name)
		}
		if err := pki.ValidateDNS(name); err != nil {
			return req, usagef("--dns: %w", err)
		}
	}
	for _, text := range o.ips {
		ip, err := netip.ParseAddr(text)
		if err != nil {
			return req, usagef("--ip: %q is not an IP address", text)
		}
		req.IPs = append(req.IPs, ip)
	}
	if req.Subject.CommonName == "" {
		req.Subject.CommonName = o.name
	}
	return req, nil
}

func (o *pkiIssueOptions) run(req pki.Request) error {
	out := &envdir.Dir{Path: o.f.path(o.out)}
	files := []string{o.name + "-full.pem", o.name + "-key.pem", o.name + "-cert.pem"}
	for _, name := range files {
		if _, err := os.Lstat(out.File(name)); err == nil && !o.overwrite {
			return hint.New(fmt.Sprintf("%q is there already", out.File(name)), "--overwrite replaces it; --out DIR writes elsewhere")
		}
	}
	ca, err := o.authority()
	if err != nil {
		return err
	}
	passphrase, err := o.pass.read(o.f, true)
	if err != nil {
		return err
	}
	pair, err := pki.Issue(ca, req, o.f.Now(), rand.Reader)
	if err != nil {
		return err
	}
	key, err := pki.EncryptKey(pair.KeyPEM, passphrase, rand.Reader)
	if err != nil {
		return err
	}
	for i, data := range [][]byte{pki.Join(key, pair.CertPEM), key, pair.CertPEM} {
		mode := os.FileMode(0o600)
		if i == 2 {
			mode = 0o644
		}
		if err := out.Write(files[i], data, mode); err != nil {
			return err
		}
	}
	certs, err := pki.ParseCertificates(pair.CertPEM)
	if err != nil {
		return err
	}
	fmt.Fprintf(o.f.IO.Out, "issued %s by %s, valid until %s\n", pki.Name(certs[0]), pki.IssuerName(certs[0]), certs[0].NotAfter.UTC().Format(time.DateOnly))
	for _, name := range files {
		fmt.Fprintf(o.f.IO.Out, "  %s\n", filepath.Join(o.out, name))
	}
	if router := pki.RouterSubject(); !o.server && req.Subject.Organization == router.Organization && req.Subject.OrganizationalUnit == router.OrganizationalUnit {
		fmt.Fprintf(o.f.IO.ErrOut, "warning: with the O and OU of the routers' certificate MongoDB takes this client for a member of the cluster, with all rights\n")
	}
	return nil
}

// authority opens the CA that signs.
func (o *pkiIssueOptions) authority() (*pki.CA, error) {
	if o.signingCert == "" {
		dir, env, err := o.f.Load()
		if err != nil {
			return nil, hint.Wrap(err, "or name a CA: --signing-cert FILE --signing-cert-key FILE")
		}
		return o.f.certificates(dir, env, o.f.notify).SystemCA()
	}
	cert, err := os.ReadFile(o.f.path(o.signingCert))
	if err != nil {
		return nil, fmt.Errorf("read --signing-cert: %w", err)
	}
	key, err := os.ReadFile(o.f.path(o.signingKey))
	if err != nil {
		return nil, fmt.Errorf("read --signing-cert-key: %w", err)
	}
	passphrase, err := o.f.passphraseOf(o.signingKey, key, &o.signingPass)
	if err != nil {
		return nil, err
	}
	ca, err := pki.OpenCA(cert, key, passphrase)
	if err != nil {
		return nil, hint.Wrap(err, "check --signing-cert %s, --signing-cert-key %s and its passphrase", o.signingCert, o.signingKey)
	}
	return ca, nil
}
