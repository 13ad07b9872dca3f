// Package release installs, upgrades and renders the plugin's Helm charts; it is the only place that knows Helm.
//
// Every operation has an action.Configuration of its own (a configuration shared with a client-side dry run would leave later installs
// with the dry run's client: helm#11463), and rendering for comparison and rendering for installation are one function, so that
// "nothing would change" can be said of texts. Invariant: an operation that began is given time to end when its context is cancelled,
// so that an interrupted deploy does not leave a release pending. The package does not wait for pods and does not know zones.
package release

import (
	"fmt"
	"io/fs"
	"strings"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
)

// Chart is a loaded chart. It is loaded anew for each operation, since Helm changes what it renders.
type Chart struct {
	Name    string // also its folder
	Version string

	files []*loader.BufferedFile
}

// LoadChart reads the chart in folder dir of fsys.
func LoadChart(fsys fs.FS, dir string) (*Chart, error) {
	var files []*loader.BufferedFile
	err := fs.WalkDir(fsys, dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := fs.ReadFile(fsys, path)
		if err != nil {
			return err
		}
		files = append(files, &loader.BufferedFile{Name: strings.TrimPrefix(path, dir+"/"), Data: data})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read chart %q: %w", dir, err)
	}
	c := &Chart{files: files}
	loaded, err := c.load()
	if err != nil {
		return nil, err
	}
	c.Name, c.Version = loaded.Metadata.Name, loaded.Metadata.Version
	return c, nil
}

func (c *Chart) load() (*chart.Chart, error) {
	loaded, err := loader.LoadFiles(c.files)
	if err != nil {
		return nil, fmt.Errorf("load chart %q: %w", c.Name, err)
	}
	return loaded, nil
}
