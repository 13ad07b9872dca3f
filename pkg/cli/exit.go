package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/spf13/cobra"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/hint"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/zone"
)

// Exit codes, the whole of them. ExitCode is the one place that chooses.
const (
	ExitOK          = 0
	ExitError       = 1
	ExitUsage       = 2 // also: plan --exit-code found changes
	ExitNothing     = 3 // nothing was selected
	ExitSomeZones   = 4 // some zones failed, the others were finished
	ExitInterrupted = 130
)

var (
	// errNothing marks an error that means the selection was empty.
	errNothing = errors.New("nothing selected")
	// errSomeZones marks the failure of some zones whose records were already printed.
	errSomeZones = errors.New("some zones failed")
)

// usageError is a mistake in the command line itself.
type usageError struct{ err error }

func (u *usageError) Error() string { return u.err.Error() }
func (u *usageError) Unwrap() error { return u.err }

// usagef returns an error that exits with ExitUsage.
func usagef(format string, args ...any) error { return &usageError{err: fmt.Errorf(format, args...)} }

// ExitCode maps a command's error to the process's exit code.
func ExitCode(err error) int {
	var usage *usageError
	var zones zone.Failures
	switch {
	case err == nil:
		return ExitOK
	case errors.Is(err, context.Canceled):
		return ExitInterrupted
	case errors.As(err, &usage):
		return ExitUsage
	case errors.Is(err, errNothing):
		return ExitNothing
	case errors.Is(err, errSomeZones), errors.As(err, &zones):
		return ExitSomeZones
	}
	return ExitError
}

// usualHint adds the hint that is always true to an error of cmd that has none: a command line's help, a file's rights.
func usualHint(cmd *cobra.Command, err error) error {
	var usage *usageError
	var file *fs.PathError
	switch {
	case errors.As(err, &usage):
		return hint.Wrap(err, "%s --help", cmd.CommandPath())
	case errors.As(err, &file) && file.Path != "":
		return hint.Wrap(err, "ls -ld %s", hint.Quote(file.Path))
	}
	return err
}

// printError writes err and its hint to stderr, in the form every command shares. Each zone's failure gets a line and a hint of its own.
func (f *Factory) printError(err error) {
	var zones zone.Failures
	if errors.As(err, &zones) {
		for _, z := range zones {
			fmt.Fprintf(f.IO.ErrOut, "error: zone %s: %v\n", z.Zone.Name, z.Err)
			f.printHint(hint.Of(z.Err))
		}
		return
	}
	fmt.Fprintf(f.IO.ErrOut, "error: %v\n", err)
	f.printHint(hint.Of(err))
}

func (f *Factory) printHint(h string) {
	if h != "" {
		fmt.Fprintf(f.IO.ErrOut, "hint: %s\n", h)
	}
}
