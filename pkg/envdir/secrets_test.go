package envdir

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/environment"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/hint"
)

// desk is one user's workstation: a configuration directory and environment variables.
type desk struct {
	config string
	env    map[string]string
	said   []string
}

func (k *desk) secrets(d *Dir, recipients ...string) *Secrets {
	return d.Secrets(SecretsOptions{
		Recipients: recipients, Getenv: func(n string) string { return k.env[n] },
		UserConfigDir: func() (string, error) { return k.config, nil },
		Notify:        func(s string) { k.said = append(k.said, s) },
	})
}

func (k *desk) identity() string {
	return filepath.Join(k.config, "kubectl-aporeto", "age-identity.txt")
}

func newDesk(t *testing.T) (*desk, *Dir) {
	d := &Dir{Path: t.TempDir()}
	check(t, d.Write(environment.File, environment.New("6b1c0f1e-7a52-4a55-9d0c-2f1a3f3f7b11"), 0o644))
	return &desk{config: t.TempDir(), env: map[string]string{}}, d
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// recipients reads back what Put listed in aporeto.yaml.
func recipients(t *testing.T, d *Dir) []string {
	t.Helper()
	data, err := d.Read(environment.File)
	check(t, err)
	env, err := environment.Parse(data)
	check(t, err)
	return env.Recipients
}

const key = "global.certs.ca.system.pass"

func TestSecretsFirstUse(t *testing.T) {
	k, d := newDesk(t)
	s := k.secrets(d)
	if _, found, err := s.Get(key); found || err != nil {
		t.Fatalf("empty environment: %v, %v", found, err)
	}
	if _, err := os.Stat(k.identity()); err == nil {
		t.Fatal("reading made an identity")
	}
	check(t, s.Put(map[string]string{key: "hush"}))
	info, err := os.Stat(k.identity())
	check(t, err)
	if info.Mode().Perm() != 0o600 || len(k.said) != 1 || !strings.Contains(k.said[0], k.identity()) || strings.Contains(k.said[0], "SECRET") {
		t.Errorf("identity has mode %s, said %q", info.Mode(), k.said)
	}
	first, err := d.Read(environment.SecretsFile)
	check(t, err)
	if strings.Contains(string(first), "hush") || !strings.HasPrefix(string(first), "-----BEGIN AGE") {
		t.Errorf("not encrypted: %s", first)
	}
	again := k.secrets(d, recipients(t, d)...)
	if v, found, err := again.Get(key); v != "hush" || !found || err != nil {
		t.Errorf("read back %v, %v", found, err)
	}
	check(t, again.Put(map[string]string{key: "hush"}))
	if second, _ := d.Read(environment.SecretsFile); string(second) != string(first) {
		t.Error("recording the same passphrase wrote the file")
	}
}

// An identity that is lost, foreign, damaged or misnamed is an error with a hint, and no file changes.
func TestSecretsLostIdentity(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(t *testing.T, k *desk)
		want  string
	}{
		"removed": {func(t *testing.T, k *desk) { check(t, os.Remove(k.identity())) }, "identity is missing"},
		"another": {func(t *testing.T, k *desk) {
			id, err := age.GenerateX25519Identity()
			check(t, err)
			check(t, os.WriteFile(k.identity(), []byte(id.String()+"\n"), 0o600))
		}, "not encrypted to"},
		"damaged": {func(t *testing.T, k *desk) {
			check(t, os.WriteFile(k.identity(), []byte("AGE-SECRET-KEY-1HUSH\n"), 0o600))
		}, "read age identity"},
		"misnamed": {func(_ *testing.T, k *desk) { k.env[IdentityVariable] = "/nowhere/id" }, "/nowhere/id"},
	} {
		t.Run(name, func(t *testing.T) {
			k, d := newDesk(t)
			check(t, k.secrets(d).Put(map[string]string{key: "hush"}))
			before, _ := d.Read(environment.SecretsFile)
			c.spoil(t, k)
			s := k.secrets(d, recipients(t, d)...)
			_, _, getErr := s.Get(key)
			putErr := s.Put(map[string]string{"other": "x"})
			for _, err := range []error{getErr, putErr} {
				if err == nil || hint.Of(err) == "" || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "HUSH") {
					t.Errorf("error %v, hint %q", err, hint.Of(err))
				}
			}
			if after, _ := d.Read(environment.SecretsFile); string(after) != string(before) {
				t.Error("the file was overwritten")
			}
		})
	}
}

// aporeto.yaml lists recipients, the encrypted file is not there yet, and this user is none of them.
func TestSecretsOfForeignRecipients(t *testing.T) {
	other, err := age.GenerateX25519Identity()
	check(t, err)
	k, d := newDesk(t)
	if err := k.secrets(d, other.Recipient().String()).Put(map[string]string{key: "hush"}); err == nil || hint.Of(err) == "" {
		t.Errorf("without an identity: %v", err)
	}
	if _, err := os.Stat(k.identity()); err == nil {
		t.Error("an identity was made that could open nothing")
	}
	_, err = (&Secrets{dir: d, options: k.secrets(d).options}).makeIdentity()
	check(t, err)
	if err := k.secrets(d, other.Recipient().String()).Put(map[string]string{key: "hush"}); err == nil || !strings.Contains(hint.Of(err), "age1") {
		t.Errorf("with one: %v", err)
	}
	if data, _ := d.ReadOptional(environment.SecretsFile); data != nil {
		t.Error("a file was written that its writer cannot open")
	}
}

func TestSecretsNewColleague(t *testing.T) {
	k, d := newDesk(t)
	check(t, k.secrets(d).Put(map[string]string{key: "hush"}))
	id, err := age.GenerateX25519Identity()
	check(t, err)
	colleague := &desk{config: t.TempDir(), env: map[string]string{IdentityVariable: filepath.Join(t.TempDir(), "id")}}
	check(t, os.WriteFile(colleague.env[IdentityVariable], []byte(id.String()+"\n"), 0o600))
	both := append(recipients(t, d), id.Recipient().String())
	if _, _, err := colleague.secrets(d, both...).Get(key); err == nil {
		t.Fatal("opens before it was encrypted to the colleague")
	}
	mine := k.secrets(d, both...)
	_, _, err = mine.Get(key)
	check(t, err)
	check(t, mine.Put(nil))
	if v, _, err := colleague.secrets(d, both...).Get(key); v != "hush" || err != nil {
		t.Errorf("colleague reads: %v", err)
	}
}

func TestSecretsFromElsewhere(t *testing.T) {
	k, d := newDesk(t)
	file := filepath.Join(t.TempDir(), "plain.yaml")
	check(t, os.WriteFile(file, []byte(key+": from-file\nother-key: b\n"), 0o600))
	k.env[SecretsFileVariable] = file
	if v, _, err := k.secrets(d).Get(key); v != "from-file" || err != nil {
		t.Errorf("file: %q, %v", v, err)
	}
	k.env["APORETO_SECRET_GLOBAL_CERTS_CA_SYSTEM_PASS"] = "from-variable"
	if v, _, err := k.secrets(d).Get(key); v != "from-variable" || err != nil {
		t.Errorf("variable: %q, %v", v, err)
	}
	check(t, os.WriteFile(file, []byte("- hush\n"), 0o600))
	if _, _, err := k.secrets(d).Get("x"); err == nil || strings.Contains(err.Error(), "hush") {
		t.Errorf("malformed file: %v", err)
	}
}
