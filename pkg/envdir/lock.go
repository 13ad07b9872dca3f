package envdir

import (
	"context"
	"fmt"
	"os"

	"github.com/rogpeppe/go-internal/lockedfile"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/environment"
)

// lockFile stays in the directory, empty: removing a lock file that somebody waits for would let two processes hold it.
const lockFile = environment.CertsDir + "/.lock"

// LockCertificates makes this process the only one on the machine that changes certificates and passphrases, until unlock is called or
// the process ends. It waits for another holder as long as ctx lets it.
func (d *Dir) LockCertificates(ctx context.Context) (unlock func(), err error) {
	if err := os.MkdirAll(d.File(environment.CertsDir), 0o755); err != nil {
		return nil, fmt.Errorf("lock certificates: %w", err)
	}
	type outcome struct {
		unlock func()
		err    error
	}
	got := make(chan outcome, 1)
	go func() {
		unlock, err := lockedfile.MutexAt(d.File(lockFile)).Lock()
		got <- outcome{unlock, err}
	}()
	select {
	case o := <-got:
		if o.err != nil {
			return nil, fmt.Errorf("lock certificates: %w", o.err)
		}
		return o.unlock, nil
	case <-ctx.Done():
		go func() { // the lock may still be given; nobody wants it any more
			if o := <-got; o.err == nil {
				o.unlock()
			}
		}()
		return nil, fmt.Errorf("wait for another command that changes certificates: %w", context.Cause(ctx))
	}
}
