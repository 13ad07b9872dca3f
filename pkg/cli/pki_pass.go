package cli

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/hint"
)

// passFlags say where one passphrase comes from: a file, an environment variable, or the terminal. There is no flag that takes the
// passphrase itself: command lines are read by everybody on a machine and kept in histories.
type passFlags struct {
	name      string // of the flag that the old tool had, without dashes
	what      string // what the passphrase is for, in messages
	file, env string
	argv      string // only to refuse it with a hint
}

func (p *passFlags) add(cmd *cobra.Command, name, what string) {
	p.name, p.what = name, what
	cmd.Flags().StringVar(&p.file, name+"-file", "", "`file` whose first line is the passphrase of "+what)
	cmd.Flags().StringVar(&p.env, name+"-env", "", "environment `variable` that holds the passphrase of "+what)
	cmd.Flags().StringVar(&p.argv, name, "", "")
	_ = cmd.Flags().MarkHidden(name)
}

// check refuses what cannot be meant, before anything is done.
func (p *passFlags) check() error {
	if p.argv != "" {
		return hint.Wrap(usagef("--%s is not taken from the command line, where others can read it", p.name),
			"--%s-file FILE or --%s-env VARIABLE, or none of them to be asked on the terminal", p.name, p.name)
	}
	if p.file != "" && p.env != "" {
		return usagef("--%s-file and --%s-env exclude each other", p.name, p.name)
	}
	return nil
}

func (p *passFlags) given() bool { return p.file != "" || p.env != "" }

// read returns the passphrase. From a terminal a new one is asked for twice.
func (p *passFlags) read(f *Factory, fresh bool) ([]byte, error) {
	switch {
	case p.file != "":
		path := f.path(p.file)
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("read passphrase of %s: %w", p.what, err)
		}
		line, _, _ := bytes.Cut(data, []byte("\n"))
		return notEmpty(bytes.TrimSuffix(line, []byte("\r")), p.what, path)
	case p.env != "":
		return notEmpty([]byte(f.Getenv(p.env)), p.what, "$"+p.env)
	}
	terminal, ok := f.IO.In.(*os.File)
	if !ok || !term.IsTerminal(int(terminal.Fd())) {
		return nil, hint.Wrap(usagef("the passphrase of %s is needed, and there is no terminal to ask on", p.what),
			"--%s-file FILE or --%s-env VARIABLE", p.name, p.name)
	}
	first, err := f.ask(terminal, "Passphrase of "+p.what+": ")
	if err != nil || !fresh {
		return first, err
	}
	second, err := f.ask(terminal, "The same again: ")
	if err == nil && !bytes.Equal(first, second) {
		err = errors.New("the two passphrases differ")
	}
	return first, err
}

func (f *Factory) ask(terminal *os.File, prompt string) ([]byte, error) {
	fmt.Fprint(f.IO.ErrOut, prompt)
	answer, err := term.ReadPassword(int(terminal.Fd()))
	fmt.Fprintln(f.IO.ErrOut)
	if err != nil {
		return nil, fmt.Errorf("read from the terminal: %w", err)
	}
	return notEmpty(answer, strings.TrimSuffix(prompt, ": "), "the terminal")
}

func notEmpty(passphrase []byte, what, from string) ([]byte, error) {
	if len(passphrase) == 0 {
		return nil, fmt.Errorf("passphrase of %s: %s holds none", what, from)
	}
	return passphrase, nil
}

// path returns name as a path from the working directory.
func (f *Factory) path(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(f.WorkDir, name)
}
