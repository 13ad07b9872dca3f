package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// execShell turns this process into the shell at path, which finds certificate and key in a file. It returns only with an error.
func execShell(become func(path string, argv []string) error, path string, s shellCommand, key []byte) error {
	name, err := memoryFile(key)
	if err != nil {
		return execThroughFolder(become, path, s, key)
	}
	if err := become(path, slices.Concat([]string{s.program}, s.before, []string{name}, s.after)); err != nil {
		return fmt.Errorf("start %q: %w", path, err)
	}
	return nil
}

// keeper is a POSIX shell that waits for the MongoDB shell and removes the folder with the key. Signals of the terminal reach both, and
// it does nothing on them, so the MongoDB shell decides; one that is sent to it alone waits until that has ended.
const keeper = `d=$1; shift; trap : INT QUIT TERM HUP; "$@"; s=$?; rm -rf "$d"; exit $s`

// execThroughFolder is for systems without files in memory: the key lies in a folder that only the user can read while the shell runs.
func execThroughFolder(become func(path string, argv []string) error, path string, s shellCommand, key []byte) error {
	dir, err := os.MkdirTemp("", "aporeto-mongo-") // 0700
	if err != nil {
		return fmt.Errorf("make a folder for the key: %w", err)
	}
	name := filepath.Join(dir, "full.pem")
	if err = os.WriteFile(name, key, 0o600); err == nil {
		err = become("/bin/sh", slices.Concat([]string{"sh", "-c", keeper, "sh", dir, path}, s.before, []string{name}, s.after))
	}
	_ = os.RemoveAll(dir) // the first error counts
	return fmt.Errorf("start %q: %w", path, err)
}
