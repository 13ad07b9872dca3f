package cli

import (
	"crypto/rand"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/bootstrap"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/envdir"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/environment"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/pki"
)

// certificates returns the environment's certificates; nothing is read yet. say is told what a user should know.
func (f *Factory) certificates(dir *envdir.Dir, env *environment.Environment, say func(string)) *bootstrap.Certificates {
	return &bootstrap.Certificates{
		Files:       dir,
		Passphrases: dir.Secrets(envdir.SecretsOptions{Recipients: env.Recipients, Getenv: f.Getenv, UserConfigDir: f.UserConfigDir, Notify: say}),
		Environment: env,
		Now:         f.Now,
		Rand:        rand.Reader,
		Lives:       pki.DefaultLives(),
		Notify:      say,
	}
}
