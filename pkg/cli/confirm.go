package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/hint"
)

// errDeclined means that the user answered no.
var errDeclined = errors.New("not confirmed: nothing was changed")

// askable returns a usage error where a command must ask before it acts, and cannot: without --yes, and without a terminal.
func (f *Factory) askable(yes bool) error {
	if in, ok := f.IO.In.(*os.File); yes || ok && term.IsTerminal(int(in.Fd())) {
		return nil
	}
	return hint.Wrap(usagef("this asks before it acts, and there is no terminal to ask on"), "the same command with --yes")
}

// confirm asks, unless yes, and returns nil on y or yes.
func (f *Factory) confirm(ctx context.Context, yes bool, question string) error {
	if yes {
		return nil
	}
	fmt.Fprintf(f.IO.ErrOut, "%s [y/N] ", question)
	line := make(chan string, 1)
	go func() {
		text, _ := bufio.NewReader(f.IO.In).ReadString('\n') // the end of the input is a no
		line <- text
	}()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case text := <-line:
		if answer := strings.ToLower(strings.TrimSpace(text)); answer == "y" || answer == "yes" {
			return nil
		}
		return errDeclined
	}
}
