package values

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"

	yaml3 "go.yaml.in/yaml/v3"
)

// checkSyntax finds what the decoder would report without a line of its own, or not at all, and returns the document's nodes; nil
// for an empty one.
func checkSyntax(name string, data []byte) (*yaml3.Node, error) {
	dec := yaml3.NewDecoder(bytes.NewReader(data))
	var first, second yaml3.Node
	if err := dec.Decode(&first); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, nil
		}
		return nil, syntaxError(name, err)
	}
	switch err := dec.Decode(&second); {
	case err == nil:
		return nil, fmt.Errorf("%s:%d: a second YAML document; a values file has one", name, second.Line)
	case !errors.Is(err, io.EOF):
		return nil, syntaxError(name, err)
	}
	if dup := duplicate(&first); dup != nil {
		return nil, fmt.Errorf("%s:%d: key %q is given twice", name, dup.Line, dup.Value)
	}
	return first.Content[0], nil
}

// duplicate returns the second of two equal keys in one map.
func duplicate(n *yaml3.Node) *yaml3.Node {
	seen := map[string]bool{}
	for i, c := range n.Content {
		if n.Kind == yaml3.MappingNode && i%2 == 0 && c.Kind == yaml3.ScalarNode {
			if seen[c.Value] {
				return c
			}
			seen[c.Value] = true
		}
		if d := duplicate(c); d != nil {
			return d
		}
	}
	return nil
}

// lineNumbers records the line of every key and list element below n.
func lineNumbers(n *yaml3.Node, at Path, lines map[string]int) {
	if n == nil {
		return
	}
	switch n.Kind {
	case yaml3.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			path := at.with(n.Content[i].Value)
			lines[path.String()] = n.Content[i].Line
			lineNumbers(n.Content[i+1], path, lines)
		}
	case yaml3.SequenceNode:
		for i, c := range n.Content {
			path := at.with(i)
			lines[path.String()] = c.Line
			lineNumbers(c, path, lines)
		}
	}
}

var yamlLine = regexp.MustCompile(`^yaml: (?:unmarshal errors:\n\s*)?line (\d+): `)

// syntaxError gives a YAML library's error the form "name:line: what".
func syntaxError(name string, err error) error {
	text := err.Error()
	if m := yamlLine.FindStringSubmatch(text); m != nil {
		return fmt.Errorf("%s:%s: %s", name, m[1], text[len(m[0]):])
	}
	return fmt.Errorf("%s: %w", name, err)
}
