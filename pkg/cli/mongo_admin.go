package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/bootstrap"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/hint"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongo"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/pki"
)

// adminFlags say how the environment's administrator is made in the database: printed, or run without a login, with a password, or with
// another certificate.
type adminFlags struct {
	print, localhost bool
	router           string
	user, database   string
	userPass         passFlags
	cert             string
	certPass         passFlags
}

func (a *adminFlags) add(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&a.print, "print-admin", false, "print the command that makes the administrator, for a shell on a router, and do nothing else")
	cmd.Flags().BoolVar(&a.localhost, "localhost", false, "make the administrator first, without a login, through a router's localhost exception")
	cmd.Flags().StringVar(&a.router, "router", "", "where that router is reached, `HOST:PORT` (default with --localhost: localhost:27017; else global.database.mongo.host)")
	cmd.Flags().StringVar(&a.user, "login-user", "", "make the administrator first, logged in as this `user` by its password")
	cmd.Flags().StringVar(&a.database, "login-db", "admin", "the `database` of that user")
	a.userPass.add(cmd, "login-pass", "the user of --login-user")
	cmd.Flags().StringVar(&a.cert, "login-cert", "", "make the administrator first, logged in by the certificate and key in this PEM `file`")
	a.certPass.add(cmd, "login-cert-pass", "the key of --login-cert")
}

func (a *adminFlags) check() error {
	ways := 0
	for _, given := range []bool{a.print, a.localhost, a.user != "", a.cert != ""} {
		if given {
			ways++
		}
	}
	switch {
	case ways > 1:
		return usagef("--print-admin, --localhost, --login-user and --login-cert exclude each other")
	case a.router != "" && (ways == 0 || a.print):
		return usagef("--router goes with --localhost, --login-user or --login-cert")
	case a.userPass.given() && a.user == "":
		return usagef("--login-pass-file and --login-pass-env go with --login-user")
	case a.certPass.given() && a.cert == "":
		return usagef("--login-cert-pass-file and --login-cert-pass-env go with --login-cert")
	}
	return errors.Join(a.userPass.check(), a.certPass.check())
}

// ensure makes the administrator where a way was given. Making it again changes nothing.
func (a *adminFlags) ensure(ctx context.Context, db *database, dryRun bool) error {
	if !a.localhost && a.user == "" && a.cert == "" {
		return nil
	}
	if dryRun {
		db.f.say("to be run first: " + bootstrap.AdminCommand())
		return nil
	}
	host := a.router
	if host == "" && a.localhost {
		host = "localhost:27017"
	}
	if host == "" {
		host = db.hosts[0]
	}
	client, err := a.connect(ctx, db, host)
	if err != nil {
		return err
	}
	defer func() { _ = client.Close(context.WithoutCancel(ctx)) }() // what was written is acknowledged
	made, err := bootstrap.EnsureAdmin(ctx, client)
	switch {
	case err != nil:
		return a.explain(err)
	case made:
		db.f.say("user " + bootstrap.AdminUser().Name + " created (root@admin)")
	default:
		db.f.say("user " + bootstrap.AdminUser().Name + " exists")
	}
	return nil
}

func (a *adminFlags) connect(ctx context.Context, db *database, host string) (*mongo.Client, error) {
	if a.router != "" {
		if err := mongo.CheckHosts(a.router); err != nil {
			return nil, usagef("--router: %w", err)
		}
	}
	o, err := db.options(host)
	if err != nil {
		return nil, err
	}
	switch {
	case a.localhost:
		o.Login = &mongo.Login{}
	case a.user != "":
		password, err := a.userPass.read(db.f, false)
		if err != nil {
			return nil, err
		}
		o.Login = &mongo.Login{User: a.user, Password: string(password), Database: a.database}
	default:
		pair, err := a.certificate(db.f)
		if err != nil {
			return nil, err
		}
		o.Certificate = func() (*tls.Certificate, error) { return pair, nil }
	}
	client, err := mongo.Reach(ctx, o)
	if err != nil && a.localhost {
		// Not Reach's hint, which is about the routers of global.database.mongo.host.
		return nil, hint.Replace(err, "on the router's own host as it is; elsewhere through a tunnel to it: ssh -N -L 27017:localhost:27017 ROUTER; where the router or the tunnel has another port: --router localhost:PORT")
	}
	if err != nil && a.router != "" {
		return nil, hint.Replace(err, "check --router %s: a router (mongos) as it is reached from here, HOST:PORT", hint.Quote(a.router))
	}
	return client, err
}

// certificate reads --login-cert. A key that needs no passphrase is not asked for one.
func (a *adminFlags) certificate(f *Factory) (*tls.Certificate, error) {
	data, err := os.ReadFile(f.path(a.cert))
	if err != nil {
		return nil, fmt.Errorf("--login-cert: %w", err)
	}
	key, cert, err := pki.Split(data)
	if err != nil {
		return nil, fmt.Errorf("--login-cert %q: %w", a.cert, err)
	}
	locked, err := pki.Encrypted(key)
	if err != nil {
		return nil, fmt.Errorf("--login-cert %q: %w", a.cert, err)
	}
	if locked {
		passphrase, err := a.certPass.read(f, false)
		if err != nil {
			return nil, err
		}
		if key, err = pki.DecryptKey(key, passphrase); err != nil {
			return nil, fmt.Errorf("--login-cert %q: %w", a.cert, err)
		}
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("--login-cert %q: %w", a.cert, err)
	}
	return &pair, nil
}

func (a *adminFlags) explain(err error) error {
	switch {
	case a.localhost && mongo.Unauthorized(err):
		return hint.Wrap(fmt.Errorf("the router lets nobody in without a login: %w", err),
			"the exception holds on the router's own host alone, or through a tunnel to it (ssh -N -L 27017:localhost:27017 ROUTER), and while the database admin "+
				"has no user; else log in: --login-user NAME or --login-cert FILE; or run in a shell there: %s", bootstrap.AdminCommand())
	case mongo.Unauthorized(err):
		return hint.Wrap(fmt.Errorf("this login may not make users: %w", err), "use one with the role userAdminAnyDatabase@admin or root@admin")
	case mongo.NoUser(err):
		return hint.Wrap(fmt.Errorf("the login was refused: %w", err), "check --login-user and --login-db, or the subject of --login-cert")
	}
	return err
}

// explainBootstrap turns the refusal of our own login into what ends it.
func explainBootstrap(err error) error {
	admin := bootstrap.AdminUser().Name
	switch {
	case errors.Is(err, context.Canceled): // by who pressed Ctrl-C, not by the database
		return err
	case mongo.NoUser(err):
		return hint.Wrap(fmt.Errorf("the database has no user %s, the environment's administrator: %w", admin, err),
			"in a shell on a router run: %s\nhint: or let this program do it: kubectl aporeto mongo bootstrap --localhost (through a tunnel to a router), --login-user NAME or --login-cert FILE",
			bootstrap.AdminCommand())
	case mongo.Passing(err):
		return hint.Wrap(fmt.Errorf("the database stopped answering, by an election, a router or the network: %w", err),
			"run the same command again: what was done stays; kubectl aporeto mongo status shows who answers")
	case mongo.Unauthorized(err):
		return hint.Wrap(fmt.Errorf("%s may not do this: %w", admin, err), "in a shell on a router run: db.getSiblingDB('%s').grantRolesToUser('%s', [ { role: 'root', db: 'admin' } ])",
			mongo.External, admin)
	}
	return err
}
