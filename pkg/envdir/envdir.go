// Package envdir is an environment directory on disk: it finds, reads and writes the files that pkg/environment, pkg/values and
// pkg/pki give meaning to.
//
// Invariant: a file is replaced whole or not at all (temporary file, fsync, rename), and private files are 0600 from the first byte.
package envdir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/environment"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/hint"
)

// Variable is the environment variable that names the environment directory.
const Variable = "APORETO_ENV"

// Dir is one environment directory.
type Dir struct {
	Path string // absolute
}

// Find returns the environment directory: flag when given, else variable (the value of APORETO_ENV), else the first folder from start
// upwards that holds an aporeto.yaml. A directory named by flag or variable must hold one.
func Find(start, flag, variable string) (*Dir, error) {
	for _, named := range []struct{ from, path string }{{"--env", flag}, {Variable, variable}} {
		if named.path == "" {
			continue
		}
		path := named.path
		if !filepath.IsAbs(path) {
			path = filepath.Join(start, path)
		}
		if _, err := os.Stat(filepath.Join(path, environment.File)); err != nil {
			return nil, hint.Wrap(fmt.Errorf("no environment in %q (from %s): %w", path, named.from, err), "kubectl aporeto init %s", hint.Quote(named.path))
		}
		return &Dir{Path: filepath.Clean(path)}, nil
	}
	for path := filepath.Clean(start); ; path = filepath.Dir(path) {
		if _, err := os.Stat(filepath.Join(path, environment.File)); err == nil {
			return &Dir{Path: path}, nil
		}
		if filepath.Dir(path) == path {
			return nil, hint.New(fmt.Sprintf("no %s in %q or any folder above it", environment.File, start),
				"kubectl aporeto init DIR makes an environment; --env DIR or "+Variable+" names one")
		}
	}
}

// File returns the absolute path of name, a slash-separated path relative to the directory.
func (d *Dir) File(name string) string { return filepath.Join(d.Path, filepath.FromSlash(name)) }

// Read returns the content of name; a file that is not there gives an error for which errors.Is(err, fs.ErrNotExist) holds.
func (d *Dir) Read(name string) ([]byte, error) {
	data, err := os.ReadFile(d.File(name))
	if err != nil {
		return nil, fmt.Errorf("read %q: %w", name, err)
	}
	return data, nil
}

// ReadOptional is Read, with nil for a file that is not there.
func (d *Dir) ReadOptional(name string) ([]byte, error) {
	data, err := d.Read(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return data, err
}

// Write replaces name by data in one step, making the folders above it. On an error (a full disk, say) the former content stays. Where
// name is a symbolic link, the file it leads to is replaced.
func (d *Dir) Write(name string, data []byte, mode fs.FileMode) error {
	path := d.File(name)
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("write %q: %w", name, err)
	}
	if err := renameio.WriteFile(path, data, mode, renameio.IgnoreUmask()); err != nil {
		return hint.Wrap(fmt.Errorf("write %q: %w", name, err), "the former content was kept; check space and rights with: df -h %s; ls -ld %s", hint.Quote(d.Path), hint.Quote(filepath.Dir(path)))
	}
	return nil
}
