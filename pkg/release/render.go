package release

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chartutil"
	kubefake "helm.sh/helm/v3/pkg/kube/fake"
	"helm.sh/helm/v3/pkg/release"
	"helm.sh/helm/v3/pkg/storage"
	"helm.sh/helm/v3/pkg/storage/driver"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

// Spec is one release as it should be.
type Spec struct {
	Name      string
	Namespace string
	Chart     *Chart
	Values    map[string]any // over the chart's defaults, as Helm merges them
}

// Manifest is a rendered release.
type Manifest struct {
	Text    string           // YAML documents, each begun by "---" and "# Source: chart/templates/file", in the order of installation
	Objects []map[string]any // the same, parsed; without hooks and tests
}

// Capabilities are what a cluster can do, as templates see it.
type Capabilities struct{ helm *chartutil.Capabilities }

// Offline returns the capabilities that rendering without a cluster assumes: every API of this program's client library.
func Offline() Capabilities { return Capabilities{helm: chartutil.DefaultCapabilities.Copy()} }

// Render renders spec without a cluster. Two renders of one spec give the same bytes.
func Render(ctx context.Context, spec Spec, caps Capabilities) (Manifest, error) {
	rel, err := dryRun(ctx, spec, caps)
	if err != nil {
		return Manifest{}, err
	}
	return parseManifest(rel.Manifest)
}

// dryRun renders through Helm's own install action, against an empty store and a client that does nothing.
func dryRun(ctx context.Context, spec Spec, caps Capabilities) (*release.Release, error) {
	ch, err := spec.Chart.load()
	if err != nil {
		return nil, err
	}
	memory := driver.NewMemory()
	memory.SetNamespace(spec.Namespace)
	install := action.NewInstall(&action.Configuration{
		Capabilities: caps.helm.Copy(),
		KubeClient:   &kubefake.PrintingKubeClient{Out: io.Discard},
		Releases:     storage.Init(memory),
		Log:          func(string, ...any) {},
	})
	install.DryRun = true
	install.ReleaseName, install.Namespace = spec.Name, spec.Namespace
	rel, err := install.RunWithContext(ctx, ch, deepCopy(spec.Values))
	if err != nil {
		return nil, fmt.Errorf("render release %q: %w", spec.Name, tidy(err))
	}
	return rel, nil
}

// parseManifest reads a manifest as Helm's Kubernetes client does. (Helm's own splitter trims each document, and with it the line end
// of a block scalar that comes last.)
func parseManifest(text string) (Manifest, error) {
	m := Manifest{Text: text}
	documents := utilyaml.NewYAMLReader(bufio.NewReader(strings.NewReader(text)))
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return m, nil
		}
		if err != nil {
			return Manifest{}, fmt.Errorf("parse rendered objects: %w", err)
		}
		var object map[string]any
		if err := yaml.Unmarshal(document, &object); err != nil {
			return Manifest{}, fmt.Errorf("parse rendered object: %w", err)
		}
		if len(object) > 0 {
			m.Objects = append(m.Objects, object)
		}
	}
}

// tidy makes one line of the schema errors that Helm spreads over several, and drops its chart prefix.
func tidy(err error) error {
	lines := strings.FieldsFunc(err.Error(), func(r rune) bool { return r == '\n' || r == '\r' })
	if len(lines) < 2 {
		return err
	}
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return errors.New(strings.Join(lines, " "))
}

// deepCopy protects the caller's values: Helm merges the chart's defaults into the maps it is given.
func deepCopy(values map[string]any) map[string]any {
	out := make(map[string]any, len(values))
	for k, v := range values {
		out[k] = copyValue(v)
	}
	return out
}

func copyValue(v any) any {
	switch v := v.(type) {
	case map[string]any:
		return deepCopy(v)
	case []any:
		list := make([]any, len(v))
		for i, e := range v {
			list[i] = copyValue(e)
		}
		return list
	}
	return v
}

// sameValues compares values by their JSON form: what comes back from the store has float64 where an int64 went in.
func sameValues(a, b map[string]any) bool {
	left, errLeft := json.Marshal(a)
	right, errRight := json.Marshal(b)
	if errLeft != nil || errRight != nil {
		return false
	}
	if len(a) == 0 && len(b) == 0 {
		return true
	}
	return string(left) == string(right)
}
