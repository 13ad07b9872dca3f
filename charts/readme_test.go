package charts_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aporeto-inc/kubectl-aporeto/charts"
)

// schemaNode is what this test reads of a values.schema.json.
type schemaNode struct {
	Ref                  string                 `json:"$ref"`
	Defs                 map[string]*schemaNode `json:"$defs"`
	Description          string                 `json:"description"`
	Type                 any                    `json:"type"` // a string or a list of them
	Enum                 []any                  `json:"enum"`
	AnyOf                []*schemaNode          `json:"anyOf"`
	Properties           map[string]*schemaNode `json:"properties"`
	AdditionalProperties json.RawMessage        `json:"additionalProperties"` // a boolean or a schema
	Items                *schemaNode            `json:"items"`
}

// TestReadme holds each chart's README.md to its schema and defaults, and the schema to having both for every key.
func TestReadme(t *testing.T) {
	for _, name := range []string{charts.ControlPlane, charts.AutoMaintenance} {
		t.Run(name, func(t *testing.T) {
			var root schemaNode
			unmarshal(t, read(t, name, "values.schema.json"), &root)
			var defaults map[string]any
			unmarshal(t, read(t, name, "values.yaml"), &defaults)

			g := generator{t: t, defs: root.Defs}
			g.properties("", &root, defaults, true)
			metadata := load(t, name).Metadata
			text := fmt.Sprintf(readmeHead, metadata.Name, metadata.Description) + strings.Join(g.rows, "\n") + "\n"
			compareOrUpdate(t, filepath.Join(name, "README.md"), []byte(text))
		})
	}
}

const readmeHead = `# %s

%s

kubectl aporeto installs it; what a plain Helm user needs is in docs/charts.md. This table is made from
values.schema.json and values.yaml: ` + "`go test ./charts -update`" + `.

| key | type | default | what |
|---|---|---|---|
`

// generator collects the rows of a chart's table.
type generator struct {
	t    *testing.T
	defs map[string]*schemaNode
	rows []string
}

// properties writes a row for each key of an object, sorted, and of what is below it. Where withDefaults is true, every key
// has a default in values.yaml; a map's elements, which the user names, have none.
func (g *generator) properties(prefix string, node *schemaNode, defaults map[string]any, withDefaults bool) {
	for _, key := range slices.Sorted(maps.Keys(node.Properties)) {
		value, found := defaults[key]
		// Its absence means something: values.yaml says so in a comment.
		if withDefaults && !found && key != "topologySpreadConstraints" {
			g.t.Errorf("%s%s has no default in values.yaml", prefix, key)
		}
		g.node(prefix+key, node.Properties[key], value, withDefaults)
	}
}

func (g *generator) node(path string, node *schemaNode, value any, withDefaults bool) {
	node = g.resolve(node)
	if node.Description == "" {
		g.t.Errorf("%s has no description", path)
	}
	if len(node.Properties) > 0 && !open(node) {
		below, _ := value.(map[string]any)
		g.properties(path+".", node, below, withDefaults)
		return
	}
	if withDefaults {
		g.row(path, node, value)
	} else {
		g.row(path, node, nil)
	}
	below, _ := value.(map[string]any)
	g.properties(path+".", node, below, withDefaults)
	if element := g.element(node); element != nil && len(element.Properties) > 0 {
		if node.Items != nil {
			g.properties(path+"[].", element, nil, false)
		} else {
			g.properties(path+".<name>.", element, nil, false)
		}
	}
}

func (g *generator) row(path string, node *schemaNode, value any) {
	fallback := ""
	if value != nil {
		data, err := json.Marshal(value)
		if err != nil {
			g.t.Fatal(err)
		}
		fallback = "`" + string(data) + "`"
	}
	g.rows = append(g.rows, fmt.Sprintf("| `%s` | %s | %s | %s |", path, typeName(node), fallback, inCell.Replace(node.Description)))
}

// inCell makes a description safe in a cell of a Markdown table.
var inCell = strings.NewReplacer("|", `\|`, "<", "&lt;")

// resolve follows a reference into the schema's own definitions.
func (g *generator) resolve(node *schemaNode) *schemaNode {
	if name, ok := strings.CutPrefix(node.Ref, "#/$defs/"); ok {
		return g.defs[name]
	}
	return node
}

// element is the schema of a list's or of an open map's elements, if they have one.
func (g *generator) element(node *schemaNode) *schemaNode {
	if node.Items != nil {
		return g.resolve(node.Items)
	}
	var schema schemaNode
	if err := json.Unmarshal(node.AdditionalProperties, &schema); err != nil {
		return nil // absent, or a boolean
	}
	return g.resolve(&schema)
}

// open tells whether an object takes keys beyond those it names.
func open(node *schemaNode) bool { return string(node.AdditionalProperties) != "false" }

func typeName(node *schemaNode) string {
	switch kind := node.Type.(type) {
	case string:
		if len(node.Enum) == 0 {
			return kind
		}
	case []any:
		names := make([]string, len(kind))
		for i, k := range kind {
			names[i] = fmt.Sprint(k)
		}
		return strings.Join(names, " or ")
	}
	if len(node.Enum) > 0 {
		values := make([]string, len(node.Enum))
		for i, v := range node.Enum {
			values[i] = fmt.Sprintf("`%v`", v)
			if v == "" {
				values[i] = "`\"\"`"
			}
		}
		return strings.Join(slices.Compact(slices.Sorted(slices.Values(values))), ", ")
	}
	names := make([]string, 0, len(node.AnyOf))
	for _, alternative := range node.AnyOf {
		if alternative.Type == nil {
			names = append(names, "object")
			continue
		}
		names = append(names, typeName(alternative))
	}
	return strings.Join(names, " or ")
}
