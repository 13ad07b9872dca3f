package hold

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Install copies the running program to the file at path, executable by everyone, so that a container of another image can run it. A
// file that is there is replaced whole.
func Install(path string) error {
	own, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	from, err := os.Open(own)
	if err != nil {
		return fmt.Errorf("read this program: %w", err)
	}
	defer from.Close()
	to, err := os.CreateTemp(filepath.Dir(path), ".agent-")
	if err != nil {
		return fmt.Errorf("install: %w", err)
	}
	defer func() { _ = os.Remove(to.Name()) }() // gone when all is well
	_, err = io.Copy(to, from)
	if err = errors.Join(err, to.Chmod(0o555), to.Close()); err != nil {
		return fmt.Errorf("install %q: %w", path, err)
	}
	if err := os.Rename(to.Name(), path); err != nil {
		return fmt.Errorf("install: %w", err)
	}
	return nil
}
