package cli

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/bootstrap"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/environment"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/hint"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongo"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/pki"
)

// The shells, the newer first.
const (
	mongosh  = "mongosh"
	oldShell = "mongo"
)

type mongoShellOptions struct {
	f     *Factory
	mongo mongoFlags
	with  string
	print bool
}

func newMongoShellCmd(f *Factory) *cobra.Command {
	o := &mongoShellOptions{f: f}
	cmd := &cobra.Command{
		Use:   "shell [-- ARGUMENT...]",
		Short: "Open a MongoDB shell as the administrator",
		Long: `Open a MongoDB shell as the administrator: mongosh, or else the older mongo, whichever is on PATH, with the flags that each of them wants.
The program becomes the shell: terminal, signals and exit code are the shell's own. Arguments after -- are passed to it.

The passphrase of the administrator's key is never on a command line. The shell gets the key without encryption in memory, as a file
that nobody else can open and that ends with it; where the system has no such files, in a folder that only you can read and that is
removed when the shell ends. --print prints a command that does the same by hand.`,
		Example: `  kubectl aporeto mongo shell
  kubectl aporeto mongo shell -- --quiet --eval 'sh.status()'
  kubectl aporeto mongo shell --with mongo --print`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 && cmd.ArgsLenAtDash() != 0 {
				return hint.Wrap(usagef("unknown argument %q", args[0]), "what the shell is to get goes after --")
			}
			return o.run(cmd.Context(), args)
		},
	}
	// No --via: the traffic would have to go through this program, which is no longer there.
	cmd.Flags().StringVar(&o.with, "with", "", "the shell, `mongosh|mongo`, or a path to one (default: the first of them on PATH)")
	cmd.Flags().BoolVar(&o.print, "print", false, "print the command instead")
	return cmd
}

func (o *mongoShellOptions) run(ctx context.Context, args []string) error {
	db, err := o.mongo.open(o.f)
	if err != nil {
		return err
	}
	program, path, lookErr := o.program()
	shell, err := db.shell(program, args)
	if err != nil {
		return err
	}
	if o.print {
		fmt.Fprint(o.f.IO.Out, shell.script())
		return nil
	}
	if lookErr != nil {
		fmt.Fprint(o.f.IO.Out, shell.script())
		return hint.Wrap(lookErr, "install mongosh (https://www.mongodb.com/try/download/shell), or run the command above where one is")
	}
	// The shells' own words for TLS trouble help nobody.
	client, err := db.any(ctx)
	if err != nil {
		return err
	}
	_ = client.Close(ctx) // nothing was written
	key, err := db.certificates.AdminPEM()
	if err != nil {
		return err
	}
	return execShell(o.f.Exec, path, shell, key)
}

// program returns the shell's name and where it is. Without one on PATH the name is that of the newer.
func (o *mongoShellOptions) program() (name, path string, err error) {
	names := []string{mongosh, oldShell}
	if o.with != "" {
		names = []string{o.with}
	}
	for _, name := range names {
		if path, err = exec.LookPath(name); err == nil {
			return name, path, nil
		}
	}
	return names[0], "", fmt.Errorf("no %s is on PATH", strings.Join(names, " or "))
}

// shellCommand is a shell's command line without the file of certificate and key, which is still to be made.
type shellCommand struct {
	program  string
	before   []string // what precedes the file's name; its flag is the last
	after    []string
	certFile string // of the environment, for those who make the file themselves
	keyFile  string
	envDir   string
}

// shell returns the command line in the dialect of program.
func (d *database) shell(program string, args []string) (shellCommand, error) {
	trust, err := d.certificates.MongoTrustFile()
	if err != nil {
		return shellCommand{}, err
	}
	trust = d.dir.File(trust)
	stem := d.dir.File(environment.CertsDir + "/" + pki.Admin)
	s := shellCommand{program: program, after: args, certFile: stem + "-cert.pem", keyFile: stem + "-key.pem", envDir: d.dir.Path}
	if filepath.Base(program) == oldShell {
		// The flags that every one of its versions knows.
		s.before = []string{"--host", d.hosts[0], "--ssl", "--sslCAFile", trust, "--authenticationDatabase", mongo.External,
			"--authenticationMechanism", "MONGODB-X509", "--username", bootstrap.AdminUser().Name, "--sslPEMKeyFile"}
		return s, nil
	}
	uri, err := mongo.URI(d.hosts[0], "")
	s.before = []string{uri, "--tls", "--tlsCAFile", trust, "--tlsCertificateKeyFile"}
	return s, err
}

// script writes the command for a POSIX shell. It makes the file with the key in a folder of its own and removes it afterwards.
func (s shellCommand) script() string {
	var b strings.Builder
	fmt.Fprintf(&b, "(umask 077; d=$(mktemp -d) && trap 'rm -rf \"$d\"' EXIT &&\n")
	fmt.Fprintf(&b, "{ kubectl aporeto pki decrypt %s --env %s && cat %s; } > \"$d/full.pem\" &&\n", hint.Quote(s.keyFile), hint.Quote(s.envDir), hint.Quote(s.certFile))
	b.WriteString(hint.Quote(s.program))
	for _, a := range s.before {
		b.WriteString(" " + hint.Quote(a))
	}
	b.WriteString(" \"$d/full.pem\"")
	for _, a := range s.after {
		b.WriteString(" " + hint.Quote(a))
	}
	b.WriteString(")\n")
	return b.String()
}
