package envdir

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"filippo.io/age"
	"filippo.io/age/armor"
	"go.yaml.in/yaml/v3"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/environment"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/hint"
)

// Other sources of passphrases, both stronger than the encrypted file: a plain YAML map of the same keys, and one environment
// variable a key.
const (
	SecretsFileVariable = "APORETO_SECRETS_FILE"
	secretPrefix        = "APORETO_SECRET_" // APORETO_SECRET_GLOBAL_CERTS_CA_SYSTEM_PASS for global.certs.ca.system.pass
)

// SecretsOptions is what Secrets needs besides the directory.
type SecretsOptions struct {
	Recipients    []string // those of aporeto.yaml
	Getenv        func(string) string
	UserConfigDir func() (string, error)
	Notify        func(string) // says that an identity was made
}

// Secrets are the passphrases of an environment: secrets.yaml.age, an armored age file that holds a YAML map from keys such as
// global.certs.ca.system.pass to passphrases. Nothing is read before the first call, so that work which needs no passphrase needs no
// identity. Not for use by several goroutines at once.
type Secrets struct {
	dir     *Dir
	options SecretsOptions

	opened  bool
	exists  bool              // the encrypted file does
	values  map[string]string // its content
	madeFor []string          // the recipients it is encrypted to, as its first lines say
	plain   map[string]string // APORETO_SECRETS_FILE's content
}

// Secrets returns the directory's passphrases; nothing is read or written yet.
func (d *Dir) Secrets(o SecretsOptions) *Secrets {
	if o.Notify == nil {
		o.Notify = func(string) {}
	}
	return &Secrets{dir: d, options: o}
}

func (s *Secrets) file() string { return s.dir.File(environment.SecretsFile) }

// SecretVariable is the name of the environment variable that may hold the passphrase of key.
func SecretVariable(key string) string {
	return secretPrefix + strings.ToUpper(strings.NewReplacer(".", "_", "-", "_").Replace(key))
}

// Get returns the passphrase recorded under key: from the key's environment variable, else from the file APORETO_SECRETS_FILE, else
// from secrets.yaml.age. found is false when none has it. A lost identity is an error with a hint.
func (s *Secrets) Get(key string) (value string, found bool, err error) {
	if value := s.options.Getenv(SecretVariable(key)); value != "" {
		return value, true, nil
	}
	if err := s.readPlain(); err != nil {
		return "", false, err
	}
	if value, found := s.plain[key]; found {
		return value, true, nil
	}
	if err := s.open(); err != nil {
		return "", false, err
	}
	value, found = s.values[key]
	return value, found, nil
}

// Put records the passphrases in secrets.yaml.age, in one write; what is recorded already changes no byte. It also encrypts the file
// anew when the recipients in aporeto.yaml are not those it was made for. The first call makes the user's identity where there is
// none, and lists it in aporeto.yaml when no recipient is listed there.
//
// Without anything to add, and with the file not read so far, nothing is done: what needed no identity goes on needing none.
func (s *Secrets) Put(add map[string]string) error {
	if len(add) == 0 && !s.opened {
		return nil
	}
	if err := s.open(); err != nil {
		return err
	}
	merged := maps.Clone(s.values)
	maps.Copy(merged, add)
	same := maps.Equal(merged, s.values)
	if same && (!s.exists || slices.Equal(s.madeFor, sorted(s.options.Recipients))) {
		return nil
	}
	ids, err := s.identities()
	if errors.Is(err, fs.ErrNotExist) && !s.exists && len(s.options.Recipients) == 0 && s.options.Getenv(IdentityVariable) == "" {
		ids, err = s.makeIdentity()
	}
	if path, named, _ := s.identityPath(); named && errors.Is(err, fs.ErrNotExist) && !s.exists && len(s.options.Recipients) == 0 {
		return hint.Wrap(err, "make one: age-keygen -o %s", hint.Quote(path))
	}
	if err != nil {
		return hint.Wrap(err, "recipients in aporeto.yaml belong to an identity: put it back, or name it: export %s=FILE", IdentityVariable)
	}
	if err := s.recordRecipients(ids); err != nil {
		return err
	}
	data, err := s.encrypt(merged)
	if err != nil {
		return err
	}
	// What nobody here can open again must not replace anything.
	if _, err := decrypt(data, ids); err != nil {
		return hint.Wrap(fmt.Errorf("write %q: none of the recipients in aporeto.yaml belongs to your age identity", s.file()),
			"add yours to recipients in aporeto.yaml: %s", strings.Join(recipientsOf(ids), ", "))
	}
	if err := s.dir.Write(environment.SecretsFile, data, 0o600); err != nil {
		return err
	}
	s.values, s.exists, s.madeFor = merged, true, sorted(s.options.Recipients)
	return nil
}

// recordRecipients lists the identity's public half in aporeto.yaml when nobody's is.
func (s *Secrets) recordRecipients(ids []age.Identity) error {
	if len(s.options.Recipients) > 0 {
		return nil
	}
	data, err := s.dir.Read(environment.File)
	if err != nil {
		return err
	}
	recipients := recipientsOf(ids)
	if data, err = environment.SetRecipients(data, recipients); err != nil {
		return err
	}
	if err := s.dir.Write(environment.File, data, 0o644); err != nil {
		return err
	}
	s.options.Recipients = recipients
	return nil
}

// open reads and decrypts the file, once. A missing file is an empty map.
func (s *Secrets) open() error {
	if s.opened {
		return nil
	}
	data, err := s.dir.ReadOptional(environment.SecretsFile)
	if err != nil {
		return err
	}
	s.values = map[string]string{}
	if data != nil {
		ids, err := s.identities()
		if err != nil {
			return s.lost(err)
		}
		text, err := decrypt(data, ids)
		if err != nil {
			return s.lost(err)
		}
		if yaml.Unmarshal(text, &s.values) != nil { // the library's text would quote passphrases
			return fmt.Errorf("open %q: its content is not a YAML map of passphrases", s.file())
		}
		s.madeFor = madeFor(text)
	}
	s.opened, s.exists = true, data != nil
	return nil
}

func (s *Secrets) readPlain() error {
	path := s.options.Getenv(SecretsFileVariable)
	if path == "" || s.plain != nil {
		return nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read %s: %w", SecretsFileVariable, err)
	}
	plain := map[string]string{}
	if yaml.Unmarshal(data, &plain) != nil {
		return hint.New(fmt.Sprintf("read %s: %q is not a YAML map of passphrases", SecretsFileVariable, path), "lines of the form: global.certs.ca.system.pass: …")
	}
	s.plain = plain
	return nil
}

// madeForMark begins the line that remembers the recipients: an age file does not tell.
const madeForMark = "# encrypted to: "

func madeFor(text []byte) []string {
	for line := range strings.Lines(string(text)) {
		if list, ok := strings.CutPrefix(line, madeForMark); ok {
			return strings.Fields(list)
		}
	}
	return nil
}

func sorted(list []string) []string { return slices.Sorted(slices.Values(list)) }

func (s *Secrets) encrypt(values map[string]string) ([]byte, error) {
	var to []age.Recipient
	for _, r := range s.options.Recipients {
		list, err := age.ParseRecipients(strings.NewReader(r))
		if err != nil {
			return nil, hint.Wrap(fmt.Errorf("recipient %q in aporeto.yaml: %w", r, err), "a recipient is a line that begins with age1, the public key age-keygen prints")
		}
		to = append(to, list...)
	}
	body, err := yaml.Marshal(values)
	if err != nil {
		return nil, fmt.Errorf("encode passphrases: %w", err)
	}
	var out bytes.Buffer
	armored := armor.NewWriter(&out)
	w, err := age.Encrypt(armored, to...)
	if err != nil {
		return nil, fmt.Errorf("encrypt %q: %w", s.file(), err)
	}
	_, err = fmt.Fprintf(w, "# Passphrases of the keys in certs/.\n%s%s\n%s", madeForMark, strings.Join(sorted(s.options.Recipients), " "), body)
	if err := errors.Join(err, w.Close(), armored.Close()); err != nil {
		return nil, fmt.Errorf("encrypt %q: %w", s.file(), err)
	}
	return out.Bytes(), nil
}

func decrypt(data []byte, ids []age.Identity) ([]byte, error) {
	r, err := age.Decrypt(armor.NewReader(bytes.NewReader(data)), ids...)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}
