// Package agentcli is the command tree of aporeto-agent, the small program in the zones' image: one command, one file.
//
// A command parses, validates everything at once, makes one call into a use case, and ends. Logs are JSON lines on stderr; mistakes in
// the command line are plain text there. Nothing in here exits: Main returns the exit code.
package agentcli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/hint"
)

// Exit codes.
const (
	ExitOK    = 0
	ExitError = 1
	ExitUsage = 2
)

// Env is what a command has of the world.
type Env struct {
	In      io.Reader
	Out     io.Writer // results
	ErrOut  io.Writer // logs and errors
	Getenv  func(string) string
	Version string
}

// logger returns the log of the command name.
func (e *Env) logger(name string) *slog.Logger {
	return slog.New(slog.NewJSONHandler(e.ErrOut, nil)).With("program", "aporeto-agent "+name, "version", e.Version)
}

// Main runs the command line args (without the program's name) and returns the exit code. ctx ends when the process is asked to.
func Main(ctx context.Context, env *Env, args []string) int {
	cmd := newRootCmd(env) //nolint:contextcheck // commands get ctx from ExecuteContext
	cmd.SetArgs(args)
	err := cmd.ExecuteContext(ctx)
	if err == nil {
		return ExitOK
	}
	if exit, found := errors.AsType[*exitError](err); found {
		if exit.err != nil {
			env.logger("").Error("ended", "error", exit.err.Error())
		}
		return exit.code
	}
	if _, usage := errors.AsType[*usageError](err); !usage {
		env.logger("").Error("ended", "error", err.Error(), "hint", hint.Of(err))
		return ExitError
	}
	fmt.Fprintf(env.ErrOut, "error: %v\n", err)
	if h := hint.Of(err); h != "" {
		fmt.Fprintf(env.ErrOut, "hint: %s\n", h)
	}
	return ExitUsage
}

func newRootCmd(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:               "aporeto-agent",
		Short:             "The part of kubectl aporeto that runs in the zones: gateway, auto-maintenance, held services",
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
		Args:              noArgs,
		RunE: func(*cobra.Command, []string) error {
			return hint.Wrap(usagef("no command given"), "aporeto-agent help lists them")
		},
	}
	cmd.SetOut(env.Out)
	cmd.SetErr(env.ErrOut)
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usagef("%w", err) })
	cmd.AddCommand(
		newAutoMaintenanceCmd(env),
		newGatewayCmd(env),
		newHoldCmd(env),
		newMongoDBViewCmd(env),
		newRelayCmd(env),
		newVersionCmd(env),
	)
	return cmd
}

// exitError ends with a code that is another program's.
type exitError struct {
	code int
	err  error // nil when there is nothing to add to the code
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}
func (e *exitError) Unwrap() error { return e.err }

// usageError is a mistake in the command line.
type usageError struct{ err error }

func (u *usageError) Error() string { return u.err.Error() }
func (u *usageError) Unwrap() error { return u.err }

// usagef returns an error that exits with ExitUsage.
func usagef(format string, args ...any) error { return &usageError{err: fmt.Errorf(format, args...)} }

// noArgs refuses arguments that are no flags.
func noArgs(cmd *cobra.Command, args []string) error {
	if err := cobra.NoArgs(cmd, args); err != nil {
		return usagef("%w", err)
	}
	return nil
}
