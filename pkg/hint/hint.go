// Package hint attaches to an error the one next command that helps its reader.
//
// An error says what went wrong and names the thing; a hint says what to type next. The two travel together through every layer and
// are parted again only in pkg/cli, which prints "error: …" and "hint: …" on lines of their own. The package prints nothing itself.
package hint

import (
	"errors"
	"fmt"
	"strings"
)

type hinted struct {
	err  error
	hint string
}

func (h *hinted) Error() string { return h.err.Error() }
func (h *hinted) Unwrap() error { return h.err }

// Wrap returns err with a hint formatted from format and args. A nil err stays nil. Where err already carries a hint the inner one
// stays, since it was given nearest to the cause.
func Wrap(err error, format string, args ...any) error {
	if err == nil || Of(err) != "" {
		return err
	}
	return &hinted{err: err, hint: fmt.Sprintf(format, args...)}
}

// Replace is Wrap, but its hint is the one that counts: for a caller who knows better than the cause what its user asked for.
func Replace(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return &hinted{err: err, hint: fmt.Sprintf(format, args...)}
}

// New returns an error with the text msg and the given hint.
func New(msg, hint string) error { return &hinted{err: errors.New(msg), hint: hint} }

// Quote makes one word of a POSIX shell out of s.
func Quote(s string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:,=+@%"
	if s != "" && strings.Trim(s, plain) == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// Of returns the hint that err carries, "" when it has none.
func Of(err error) string {
	var h *hinted
	if errors.As(err, &h) {
		return h.hint
	}
	return ""
}
