package envdir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/environment"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/hint"
)

// Load reads and validates aporeto.yaml. A zone's kubeconfig with a relative path is meant from the directory, and comes back absolute.
func (d *Dir) Load() (*environment.Environment, error) {
	data, err := d.Read(environment.File)
	if err != nil {
		return nil, err
	}
	env, err := environment.Parse(data)
	if err != nil {
		return nil, fmt.Errorf("environment %s: %w", d.Path, err)
	}
	for i, z := range env.Zones {
		if z.Kubeconfig != "" && !filepath.IsAbs(z.Kubeconfig) {
			env.Zones[i].Kubeconfig = d.File(z.Kubeconfig)
		}
	}
	return env, nil
}

// Create makes a new environment with the given id (a UUID in lower case) in the folder path, which may exist and hold other things,
// and returns it with the names of what was made. A folder that is an environment already is refused.
func Create(ctx context.Context, path, id string) (*Dir, []string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, nil, fmt.Errorf("make environment: %w", err)
	}
	d := &Dir{Path: path}
	if err := os.MkdirAll(path, 0o755); err != nil {
		return nil, nil, fmt.Errorf("make environment: %w", err)
	}
	unlock, err := d.Lock(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer unlock()
	if _, err := os.Lstat(d.File(environment.File)); !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, hint.New(fmt.Sprintf("%q is an environment already", path),
			"kubectl aporeto zone list --env "+path+" shows it; kubectl aporeto init OTHER-DIR makes another")
	}
	var made []string
	for _, folder := range []string{environment.ValuesDir, environment.CertsDir} {
		if err := os.Mkdir(d.File(folder), 0o755); err == nil {
			made = append(made, folder+"/")
		} else if !errors.Is(err, fs.ErrExist) {
			return nil, nil, fmt.Errorf("make environment: %w", err)
		}
	}
	if name, err := d.writeNew(ValuesName(nil), environment.NewValues("")); err != nil {
		return nil, nil, err
	} else if name != "" {
		made = append(made, name)
	}
	// Last, for it is what makes the folder an environment.
	if err := d.Write(environment.File, environment.New(id), 0o644); err != nil {
		return nil, nil, err
	}
	return d, append([]string{environment.File}, made...), nil
}

// writeNew writes a file unless it is there, and returns its name when it was written.
func (d *Dir) writeNew(name string, data []byte) (string, error) {
	if _, err := os.Lstat(d.File(name)); err == nil {
		return "", nil
	}
	return name, d.Write(name, data, 0o644)
}

// CreateZoneValues makes the values file of a zone unless it is there, and returns its name.
func (d *Dir) CreateZoneValues(name string) (string, error) {
	file := zoneValues(name)
	_, err := d.writeNew(file, environment.NewValues(name))
	return file, err
}
