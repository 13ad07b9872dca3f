package cli

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/bootstrap"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/envdir"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/environment"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/pki"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/values"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/zone"
)

func newPKICmd(f *Factory) *cobra.Command {
	return newGroup("pki", "Make, renew and check the environment's certificates",
		`The environment's certificates are in certs/: a root CA, the System CA that signs everything MongoDB sees, and what they signed.

Keys there are encrypted; the passphrases are in secrets.yaml.age, encrypted to the age recipients in aporeto.yaml, so the whole
directory can be kept in git. Your age identity opens them: $APORETO_AGE_IDENTITY, or kubectl-aporeto/age-identity.txt in your
configuration directory. Passphrases may also come from a YAML file named in $APORETO_SECRETS_FILE, or one by one from variables such as
$APORETO_SECRET_GLOBAL_CERTS_CA_SYSTEM_PASS. They are never taken from the command line.`,
		newPKIInitCmd(f), newPKIRegenCmd(f), newPKICheckCmd(f), newPKITrustCmd(f), newPKIIssueCmd(f), newPKIEncryptCmd(f), newPKIDecryptCmd(f))
}

// secrets returns the environment's passphrases; nothing is read yet.
func (f *Factory) secrets(dir *envdir.Dir, env *environment.Environment) *envdir.Secrets {
	return dir.Secrets(envdir.SecretsOptions{Recipients: env.Recipients, Getenv: f.Getenv, UserConfigDir: f.UserConfigDir, Notify: f.notify})
}

func (f *Factory) notify(text string) { fmt.Fprintln(f.IO.ErrOut, text) }

// ensureCertificates makes the environment's certificates what they shall be, under the directory's lock, and returns what it did and
// the certificates as they are then. force is as in bootstrap.Desired.
func (f *Factory) ensureCertificates(ctx context.Context, dir *envdir.Dir, force []string) ([]bootstrap.Change, *bootstrap.Certificates, error) {
	unlock, err := dir.Lock(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer unlock()
	env, err := dir.Load() // only now: another command may have changed it before the lock was given
	if err != nil {
		return nil, nil, err
	}
	hosts, err := f.mongoHosts(dir, env)
	if err != nil {
		return nil, nil, err
	}
	certificates := f.certificates(dir, env, f.notify)
	changes, err := certificates.Ensure(ctx, bootstrap.Desired{Hosts: hosts, Force: force})
	return changes, certificates, err
}

// mongoHosts returns global.database.mongo.host as it holds in every zone, "" where it is not set, or in the environment while it has no zones.
func (f *Factory) mongoHosts(dir *envdir.Dir, env *environment.Environment) ([]string, error) {
	zones := []*zone.Zone{nil}
	if len(env.Zones) > 0 {
		zones = nil
		for _, z := range env.Zones {
			zones = append(zones, &z)
		}
	}
	var hosts []string
	for _, z := range zones {
		tree, err := f.tree(dir, env, z)
		if err != nil {
			return nil, err
		}
		host, ok := tree.Lookup(values.Path{"global", "database", "mongo", "host"})
		if !ok {
			host = ""
		}
		hosts = append(hosts, fmt.Sprint(host))
	}
	return hosts, nil
}

// days is a flag that counts days ("30d") or shorter units ("36h").
type days time.Duration

func (d *days) String() string {
	if v := time.Duration(*d); v%(24*time.Hour) != 0 {
		return v.String()
	}
	return strconv.Itoa(pki.Days(time.Duration(*d))) + "d"
}

func (d *days) Type() string { return "duration" }

// Set takes a number of days with d, or what time.ParseDuration does.
func (d *days) Set(text string) error {
	v, err := time.ParseDuration(text)
	if number, ok := strings.CutSuffix(text, "d"); ok {
		var n uint64
		n, err = strconv.ParseUint(number, 10, 16)
		v = time.Duration(n) * 24 * time.Hour
	}
	if err != nil || v < 0 {
		return fmt.Errorf("write days as 30d, or hours as 36h")
	}
	*d = days(v)
	return nil
}
