package cli

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/envdir"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/environment"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/hint"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/pki"
)

func newPKIEncryptCmd(f *Factory) *cobra.Command {
	var pass passFlags
	cmd := &cobra.Command{
		Use:   "encrypt KEY-FILE",
		Short: "Encrypt a private key in its file",
		Long: `Encrypt a private key in its file, as PKCS#8 (PBES2). A file whose key is encrypted already is left as it is. Certificates in the same
file stay, after the key.`,
		Example: `  kubectl aporeto pki encrypt customer-key.pem --pass-file pass.txt`,
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := pass.check(); err != nil {
				return err
			}
			return runPKIEncrypt(f, args[0], &pass)
		},
	}
	pass.add(cmd, "pass", "the key")
	return cmd
}

func runPKIEncrypt(f *Factory, name string, pass *passFlags) error {
	path := f.path(name)
	data, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read key: %w", err)
	}
	encrypted, err := pki.Encrypted(data)
	if err != nil {
		return fmt.Errorf("%q: %w", name, err)
	}
	if encrypted {
		fmt.Fprintf(f.IO.Out, "%s is encrypted already\n", name)
		return nil
	}
	passphrase, err := pass.read(f, true)
	if err != nil {
		return err
	}
	out, err := pki.EncryptKey(data, passphrase, rand.Reader)
	if err != nil {
		return fmt.Errorf("%q: %w", name, err)
	}
	if bytes.Contains(data, []byte("BEGIN CERTIFICATE")) {
		certs, err := pki.ParseCertificates(data)
		if err != nil {
			return fmt.Errorf("%q: %w", name, err)
		}
		out = pki.Join(out, pki.EncodeCertificates(certs...))
	}
	if err := (&envdir.Dir{Path: filepath.Dir(path)}).Write(filepath.Base(path), out, 0o600); err != nil {
		return err
	}
	fmt.Fprintf(f.IO.Out, "%s encrypted\n", name)
	return nil
}

func newPKIDecryptCmd(f *Factory) *cobra.Command {
	var pass passFlags
	var out string
	cmd := &cobra.Command{
		Use:   "decrypt KEY-FILE",
		Short: "Write a private key without encryption",
		Long: `Write a private key without encryption, to standard output or with --out to a file (0600). For a key of the environment its recorded
passphrase is used. Legacy PEM encryption (DEK-Info) is understood.`,
		Example: `  kubectl aporeto pki decrypt certs/mongodb-router-key.pem --out /etc/mongodb/router-key.pem`,
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := pass.check(); err != nil {
				return err
			}
			return runPKIDecrypt(f, args[0], out, &pass)
		},
	}
	pass.add(cmd, "pass", "the key")
	cmd.Flags().StringVar(&out, "out", "", "`file` to write")
	return cmd
}

func runPKIDecrypt(f *Factory, name, out string, pass *passFlags) error {
	data, err := os.ReadFile(f.path(name))
	if err != nil {
		return fmt.Errorf("read key: %w", err)
	}
	passphrase, err := f.passphraseOf(name, data, pass)
	if err != nil {
		return err
	}
	plain, err := pki.DecryptKey(data, passphrase)
	if err != nil {
		return hint.Wrap(fmt.Errorf("%q: %w", name, err), "check the passphrase: --pass-file FILE or --pass-env VARIABLE")
	}
	if out == "" {
		_, err = f.IO.Out.Write(plain)
		return err
	}
	path := f.path(out)
	return (&envdir.Dir{Path: filepath.Dir(path)}).Write(filepath.Base(path), plain, 0o600)
}

// passphraseOf returns the passphrase of the key in data, which is the file name: nil for a plain key, what the flags say, what the
// environment recorded when it is one of its own keys, else what is typed.
func (f *Factory) passphraseOf(name string, data []byte, pass *passFlags) ([]byte, error) {
	encrypted, err := pki.Encrypted(data)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", name, err)
	}
	if !encrypted {
		return nil, nil
	}
	if pass.given() {
		return pass.read(f, false)
	}
	dir, env, err := f.Load()
	if err == nil && filepath.Dir(f.path(name)) == dir.File(environment.CertsDir) {
		stem := strings.TrimSuffix(strings.TrimSuffix(filepath.Base(name), "-key.pem"), "-full.pem")
		if key, ok := passphraseKey(env, stem); ok {
			value, found, err := f.secrets(dir, env).Get(key)
			if found || err != nil {
				return []byte(value), err
			}
		}
	}
	return pass.read(f, false)
}

// passphraseKey returns under which key the environment records the passphrase of a certificate's key.
func passphraseKey(env *environment.Environment, stem string) (string, bool) {
	for _, a := range pki.Authorities(env.ID, pki.DefaultLives()) {
		if a.Name == stem {
			return a.Passphrase, true
		}
	}
	leaves, err := pki.Leaves(env.Zones, nil, pki.DefaultLives())
	if err != nil {
		return "", false
	}
	for _, leaf := range leaves {
		if leaf.Name == stem {
			return leaf.Passphrase, true
		}
	}
	return "", false
}
