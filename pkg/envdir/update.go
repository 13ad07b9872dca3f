package envdir

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/hint"
)

const (
	lockWait = 10 * time.Second      // edits take milliseconds; longer means somebody holds the lock who should not
	lockPoll = 10 * time.Millisecond // flock has no form that a context could end
)

// Lock takes the environment directory for one writer and returns what gives it back. It waits for another process at most 10 s. The
// lock is a flock(2) on the directory itself, so that nothing is left behind when a process dies and no lock file gets into git.
func (d *Dir) Lock(ctx context.Context) (unlock func(), err error) {
	f, err := os.Open(d.Path)
	if err != nil {
		return nil, fmt.Errorf("lock environment %q: %w", d.Path, err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, lockWait, fmt.Errorf("another process has held it for %s", lockWait))
	defer cancel()
	poll := time.NewTicker(lockPoll)
	defer poll.Stop()
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == nil:
			return func() { _ = f.Close() }, nil // closing the only descriptor gives the lock back
		case !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR):
			_ = f.Close()
			return nil, hint.Wrap(fmt.Errorf("lock environment %q: %w", d.Path, err), "keep the environment on a file system with flock(2), a local disk for example")
		}
		select {
		case <-ctx.Done():
			_ = f.Close()
			return nil, hint.Wrap(fmt.Errorf("lock environment %q: %w", d.Path, context.Cause(ctx)), "wait for the other kubectl aporeto, or look for it with: fuser -v %s", d.Path)
		case <-poll.C:
		}
	}
}

// Update replaces the file name by what edit makes of its content (nil for a file that is not there), under the lock, so that two
// writers at once lose nothing. When edit returns the content it was given, or an error, the file is not touched.
func (d *Dir) Update(ctx context.Context, name string, mode fs.FileMode, edit func([]byte) ([]byte, error)) (changed bool, err error) {
	unlock, err := d.Lock(ctx)
	if err != nil {
		return false, err
	}
	defer unlock()
	before, err := d.ReadOptional(name)
	if err != nil {
		return false, err
	}
	after, err := edit(before)
	if err != nil {
		return false, err
	}
	if before != nil && bytes.Equal(before, after) {
		return false, nil
	}
	return true, d.Write(name, after, mode)
}
