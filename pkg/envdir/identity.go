package envdir

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"filippo.io/age"
	"github.com/google/renameio/v2"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/environment"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/hint"
)

// IdentityVariable is the environment variable that names the file of the user's age identity.
const IdentityVariable = "APORETO_AGE_IDENTITY"

// identityPath returns where the user's age identity is, and whether the user named that file.
func (s *Secrets) identityPath() (path string, named bool, err error) {
	if path := s.options.Getenv(IdentityVariable); path != "" {
		return path, true, nil
	}
	dir, err := s.options.UserConfigDir()
	if err != nil {
		return "", false, hint.Wrap(fmt.Errorf("find the age identity: %w", err), "name a file: export %s=FILE", IdentityVariable)
	}
	return filepath.Join(dir, "kubectl-aporeto", "age-identity.txt"), false, nil
}

// identities reads the user's age identity. A file that is not there gives an error for which errors.Is(err, fs.ErrNotExist) holds.
func (s *Secrets) identities() ([]age.Identity, error) {
	path, named, err := s.identityPath()
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		if named {
			return nil, fmt.Errorf("read the age identity that $%s names: %w", IdentityVariable, err)
		}
		return nil, fmt.Errorf("read age identity: %w", err)
	}
	ids, err := age.ParseIdentities(bytes.NewReader(data))
	if err != nil {
		// The library's text quotes no line of the file, only its number.
		return nil, hint.Wrap(fmt.Errorf("read age identity %q: %w", path, err), "the file must hold lines that begin with AGE-SECRET-KEY-1, as age-keygen writes them")
	}
	return ids, nil
}

// makeIdentity writes a new identity where none is, and says so. It is never called while something is encrypted to a former one.
func (s *Secrets) makeIdentity() ([]age.Identity, error) {
	path, _, err := s.identityPath()
	if err != nil {
		return nil, err
	}
	id, err := age.GenerateX25519Identity()
	if err != nil {
		return nil, fmt.Errorf("make age identity: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("make age identity: %w", err)
	}
	text := fmt.Sprintf("# age identity of kubectl aporeto: opens secrets.yaml.age of your environments. Keep a copy in a safe place.\n# public key: %s\n%s\n", id.Recipient(), id)
	if err := renameio.WriteFile(path, []byte(text), 0o600, renameio.IgnoreUmask()); err != nil {
		return nil, fmt.Errorf("make age identity: %w", err)
	}
	s.options.Notify(fmt.Sprintf("made an age identity in %s (public key %s): it opens the passphrases of this environment, keep a copy in a safe place", path, id.Recipient()))
	return []age.Identity{id}, nil
}

// recipientsOf returns the public halves of identities, as age writes them.
func recipientsOf(ids []age.Identity) []string {
	var out []string
	for _, id := range ids {
		switch id := id.(type) {
		case *age.X25519Identity:
			out = append(out, id.Recipient().String())
		case *age.HybridIdentity:
			out = append(out, id.Recipient().String())
		}
	}
	return out
}

// lost words the two ways in which the encrypted file cannot be opened, with what helps.
func (s *Secrets) lost(err error) error {
	path, _, pathErr := s.identityPath()
	if pathErr != nil {
		return pathErr
	}
	var none *age.NoIdentityMatchError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return hint.Wrap(fmt.Errorf("open %q: the age identity is missing: %w", s.file(), err),
			"put the identity back at %s, or name it: export %s=FILE; nothing was changed", hint.Quote(path), IdentityVariable)
	case errors.As(err, &none):
		return hint.Wrap(fmt.Errorf("open %q: it is not encrypted to the age identity in %q", s.file(), path),
			"use the identity it was made with (export %s=FILE), or have somebody who can open it add your recipient to aporeto.yaml and run kubectl aporeto pki init; nothing was changed", IdentityVariable)
	}
	if hint.Of(err) != "" { // about the identity
		return fmt.Errorf("open %q: %w", s.file(), err)
	}
	// Not the library's text, which quotes what it read.
	return hint.New(fmt.Sprintf("open %q: it is damaged, or not a file that age wrote", s.file()),
		fmt.Sprintf("put it back: git -C %s checkout %s; nothing was changed", hint.Quote(s.dir.Path), environment.SecretsFile))
}
