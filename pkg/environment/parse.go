package environment

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	yaml "go.yaml.in/yaml/v3"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/hint"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/zone"
)

// file is aporeto.yaml as written; nodes keep the lines for the problems.
type file struct {
	APIVersion   yaml.Node `yaml:"apiVersion"`
	Kind         yaml.Node `yaml:"kind"`
	ID           yaml.Node `yaml:"id"`
	Recipients   yaml.Node `yaml:"recipients"`
	Certificates struct {
		Generation yaml.Node `yaml:"generation"`
	} `yaml:"certificates"`
	Zones []entry `yaml:"zones"`
}

type entry struct {
	line       int
	Name       yaml.Node `yaml:"name"`
	Context    yaml.Node `yaml:"k8s_context"`
	Namespace  yaml.Node `yaml:"k8s_namespace"`
	Kubeconfig yaml.Node `yaml:"kubeconfig"`
	ClusterUID yaml.Node `yaml:"cluster_uid"`
}

// UnmarshalYAML notes the line on which a zone begins.
func (e *entry) UnmarshalYAML(n *yaml.Node) error {
	type fields entry // without this method
	if err := n.Decode((*fields)(e)); err != nil {
		return err
	}
	e.line = n.Line
	return nil
}

// problems gathers what is wrong, so that one run shows all of it.
type problems []string

func (p *problems) add(line int, format string, args ...any) {
	*p = append(*p, fmt.Sprintf("%s:%d: ", File, line)+fmt.Sprintf(format, args...))
}

func (p problems) err() error {
	if len(p) == 0 {
		return nil
	}
	text := p[0]
	if len(p) > 1 {
		text = fmt.Sprintf("%d problems:\n  %s", len(p), strings.Join(p, "\n  "))
	}
	return hint.New(text, "edit "+File+" at the named lines; comments and further keys may stay")
}

// Parse reads and validates aporeto.yaml. All problems come in one error, each as "aporeto.yaml:line: key: what". Keys it does not know
// are left alone.
func Parse(data []byte) (*Environment, error) {
	dec := yaml.NewDecoder(strings.NewReader(string(data)))
	var f file
	if err := dec.Decode(&f); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, problems{File + ":1: the file is empty"}.err()
		}
		return nil, syntaxError(err)
	}
	var p problems
	env := &Environment{CertificateGeneration: 1}
	p.constant(&f.APIVersion, "apiVersion", APIVersion)
	p.constant(&f.Kind, "kind", Kind)
	if env.ID = p.text(&f.ID, "id"); env.ID == "" {
		p.add(max(f.ID.Line, 1), "id: missing; it is the identity that init gave the environment, take it from git")
	} else if !uuidForm.MatchString(env.ID) {
		p.add(f.ID.Line, "id: %q is not a UUID in lower case", env.ID)
	}
	if !absent(&f.Recipients) {
		if err := f.Recipients.Decode(&env.Recipients); err != nil {
			p.add(f.Recipients.Line, "recipients: not a list of age recipients")
		}
	}
	if g := &f.Certificates.Generation; !absent(g) {
		if err := g.Decode(&env.CertificateGeneration); err != nil || env.CertificateGeneration < 1 {
			p.add(g.Line, "certificates.generation: %q is not a number from 1", g.Value)
		}
	}
	for i := range f.Zones {
		env.Zones = append(env.Zones, p.zone(&f.Zones[i], fmt.Sprintf("zones[%d]", i)))
	}
	for i := range f.Zones {
		p.clashes(f.Zones[:i], env.Zones[:i], env.Zones[i], f.Zones[i].line)
	}
	if err := p.err(); err != nil {
		return nil, err
	}
	return env, nil
}

func (p *problems) zone(e *entry, at string) zone.Zone {
	z := zone.Zone{
		Name:       p.text(&e.Name, at+".name"),
		Context:    p.text(&e.Context, at+".k8s_context"),
		Namespace:  p.text(&e.Namespace, at+".k8s_namespace"),
		Kubeconfig: p.text(&e.Kubeconfig, at+".kubeconfig"),
		ClusterUID: p.text(&e.ClusterUID, at+".cluster_uid"),
	}
	line := func(n *yaml.Node) int {
		if n.Line > 0 {
			return n.Line
		}
		return e.line
	}
	if err := zone.ValidateName(z.Name); err != nil {
		p.add(line(&e.Name), "%s.name: %v", at, err)
	}
	if z.Context == "" {
		p.add(line(&e.Context), "%s.k8s_context: missing", at)
	}
	if err := ValidateNamespace(z.Namespace); err != nil {
		p.add(line(&e.Namespace), "%s.k8s_namespace: %v", at, err)
	}
	return z
}

// clashes reports what z may not share with the zones before it.
func (p *problems) clashes(before []entry, zones []zone.Zone, z zone.Zone, line int) {
	for i, other := range zones {
		if err := clash(other, z); err != nil {
			p.add(line, "%v (line %d)", err, before[i].line)
		}
	}
}

// clash returns why a and b cannot both be zones of one environment: one name, or one namespace of one cluster.
func clash(a, b zone.Zone) error {
	switch {
	case zone.Same(a.Name, b.Name):
		return fmt.Errorf("zone name %q is taken by zone %s (case does not count)", b.Name, a.Name)
	case a.Namespace != b.Namespace:
		return nil
	case a.ClusterUID != "" && a.ClusterUID == b.ClusterUID:
		return fmt.Errorf("zone %q is namespace %s of the cluster with UID %s, and so is zone %s", b.Name, b.Namespace, b.ClusterUID, a.Name)
	case a.Context == b.Context && a.Kubeconfig == b.Kubeconfig && (a.ClusterUID == "" || b.ClusterUID == ""):
		return fmt.Errorf("zone %q is namespace %s of context %q, and so is zone %s", b.Name, b.Namespace, b.Context, a.Name)
	}
	return nil
}

// text returns a scalar's text. Anything but text is a problem: an unquoted number or true would change its form on the way.
func (p *problems) text(n *yaml.Node, at string) string {
	if absent(n) {
		return ""
	}
	if n.Kind != yaml.ScalarNode {
		p.add(n.Line, "%s: not a text", at)
		return ""
	}
	return n.Value
}

func (p *problems) constant(n *yaml.Node, at, want string) {
	if got := p.text(n, at); got != want {
		p.add(max(n.Line, 1), "%s: %q, and this version of the plugin reads %q", at, got, want)
	}
}

func absent(n *yaml.Node) bool { return n.Kind == 0 || n.Tag == "!!null" }

var (
	uuidForm      = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)
	namespaceForm = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
)

// ValidateNamespace returns nil when name can be a zone's Kubernetes namespace: a DNS label (RFC 1123), and none of Kubernetes' own.
func ValidateNamespace(name string) error {
	switch {
	case name == "":
		return hint.New("the namespace is missing", "name it with --namespace, for example aporeto-svcs")
	case !namespaceForm.MatchString(name):
		return hint.New(fmt.Sprintf("namespace %q is malformed", name), "use at most 63 lower-case letters, digits and inner dashes, for example aporeto-svcs")
	case slices.Contains([]string{"kube-system", "kube-public", "kube-node-lease"}, name):
		return hint.New(fmt.Sprintf("namespace %q is Kubernetes' own", name), "use a namespace of its own, for example aporeto-svcs")
	}
	return nil
}

var yamlLine = regexp.MustCompile(`line (\d+): `)

func syntaxError(err error) error {
	text := strings.TrimPrefix(strings.TrimPrefix(err.Error(), "yaml: "), "unmarshal errors:\n  ")
	text = yamlLine.ReplaceAllString(text, File+":$1: ")
	if !strings.HasPrefix(text, File) {
		text = File + ": " + text
	}
	return hint.New(text, "check the file's indentation, or take the last good one from git")
}
