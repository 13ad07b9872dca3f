package yamledit

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	yaml "go.yaml.in/yaml/v3"
	sigs "sigs.k8s.io/yaml"
)

// editor is a file as lines, each with its end, and as nodes.
type editor struct {
	lines   []string
	newline string
	root    *yaml.Node // nil for a file without content
	compact bool
}

// slot is where a value stands in the text: after "key:" or after "-".
type slot struct {
	node   *yaml.Node
	start  int // first line, from 0
	end    int // line after the last one
	from   int // byte in the first line where the value's place begins, just after the colon or the dash
	indent int // column of the key or the dash, from 0
	item   bool
}

func (e *editor) set(path []any, value any) error {
	if e.root == nil {
		e.insert(len(e.lines), 0, entry(path[0], valueNode(path[1:], value)))
		return nil
	}
	s, rest, err := e.find(path)
	if err != nil {
		return err
	}
	if s == nil && !isBlock(e.root, yaml.MappingNode) {
		if err := setNode(e.root, path, value); err != nil {
			return err
		}
		return e.reencodeAll()
	}
	at, end := e.root, len(e.lines)
	if s != nil {
		at, end = s.node, s.end
	}
	switch {
	case len(rest) == 0:
		return e.replace(s, valueNode(nil, value))
	case canInsert(at, rest[0]):
		e.insert(e.contentEnd(at, 0, end), at.Column-1, entry(rest[0], valueNode(rest[1:], value)))
		return nil
	}
	if err := setNode(at, rest, value); err != nil {
		return err
	}
	return e.replace(s, at)
}

func (e *editor) unset(path []any) error {
	s, rest, err := e.find(path)
	if err != nil {
		return err
	}
	if s == nil || len(rest) > 0 {
		return e.unsetNode(s, rest, path)
	}
	if !s.item && strings.TrimSpace(e.lines[s.start][:s.indent]) != "" {
		// The first key of a list's element shares its line with the dash.
		parent, _, err := e.find(path[:len(path)-1])
		if err != nil {
			return err
		}
		return e.unsetNode(parent, path[len(path)-1:], path)
	}
	e.lines = slices.Delete(e.lines, s.start, s.end)
	return nil
}

func (e *editor) unsetNode(s *slot, rest, path []any) error {
	if s == nil {
		unsetIn(e.root, path)
		return e.reencodeAll()
	}
	unsetIn(s.node, rest)
	return e.replace(s, s.node)
}

// find follows path through block maps and lists as far as the text has them, and returns the slot it arrived at (nil for the root)
// and the steps that are left.
func (e *editor) find(path []any) (*slot, []any, error) {
	var at *slot
	node, end := e.root, len(e.lines)
	for i, step := range path {
		if node.Kind == yaml.AliasNode {
			return nil, nil, fmt.Errorf("line %d: the value is an alias (*%s); edit the file by hand", node.Line, node.Value)
		}
		var next *slot
		switch s := step.(type) {
		case string:
			if isBlock(node, yaml.MappingNode) {
				next = e.entrySlot(node, s, end)
			}
		case int:
			if isBlock(node, yaml.SequenceNode) && s < len(node.Content) {
				next = e.itemSlot(node, s, end)
			}
		}
		if next == nil {
			return at, path[i:], nil
		}
		at, node, end = next, next.node, next.end
	}
	return at, nil, nil
}

func (e *editor) entrySlot(m *yaml.Node, key string, end int) *slot {
	for i := 0; i+1 < len(m.Content); i += 2 {
		k := m.Content[i]
		if k.Value != key {
			continue
		}
		if i+2 < len(m.Content) {
			end = m.Content[i+2].Line - 1
		}
		s := &slot{node: m.Content[i+1], start: k.Line - 1, indent: m.Column - 1}
		line := e.lines[s.start]
		s.from = keyEnd(line, byteOf(line, k.Column-1))
		s.end = e.contentEnd(s.node, s.start, end)
		return s
	}
	return nil
}

func (e *editor) itemSlot(list *yaml.Node, i, end int) *slot {
	if i+1 < len(list.Content) {
		end = list.Content[i+1].Line - 1
	}
	s := &slot{node: list.Content[i], start: list.Content[i].Line - 1, indent: list.Column - 1, item: true}
	s.from = byteOf(e.lines[s.start], list.Column-1) + 1
	s.end = e.contentEnd(s.node, s.start, end)
	return s
}

// contentEnd returns the line after the last one of n's text, given that the next thing begins at line end: blank and comment lines
// before it belong to what follows, unless a block scalar has them as its text.
func (e *editor) contentEnd(n *yaml.Node, start, end int) int {
	last, indent := n, n.Column-1
	for len(last.Content) > 0 && last.Style&yaml.FlowStyle == 0 {
		indent = last.Column - 1
		last = last.Content[len(last.Content)-1]
	}
	text := last.Kind == yaml.ScalarNode && last.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0
	for ; end > start+1; end-- {
		line := strings.TrimRight(e.lines[end-1], " \t\r\n")
		trimmed := strings.TrimLeft(line, " \t")
		switch {
		case trimmed == "" && text && strings.HasSuffix(last.Value, "\n\n"):
			return end
		case trimmed == "", trimmed == "...":
		case strings.HasPrefix(trimmed, "#") && (!text || len(line)-len(trimmed) <= indent):
		default:
			return end
		}
	}
	return end
}

// replace puts n's text into the slot, keeping the comment at the end of its first line.
func (e *editor) replace(s *slot, n *yaml.Node) error {
	if s == nil {
		return errors.New("nothing to replace")
	}
	var wrapped *yaml.Node
	if s.item {
		wrapped = entry(0, n)
	} else {
		wrapped = entry("k", n)
	}
	fresh := e.encode(wrapped, s.indent)
	head := strings.TrimSpace(fresh[0])
	if s.item {
		head = strings.TrimPrefix(head, "-")
	} else {
		head = strings.TrimPrefix(head, "k:")
	}
	line := strings.TrimRight(e.lines[s.start], "\r\n")
	space, tail := splitValue(line[s.from:])
	if space == "" || strings.TrimSpace(head) == "" {
		space = ""
	} else {
		head = strings.TrimLeft(head, " ")
	}
	if _, own := splitValue(head); own != "" || (s.item && isBlock(s.node, yaml.MappingNode)) {
		tail = "" // the nodes carry that comment themselves
	}
	fresh[0] = line[:s.from] + space + head + tail + e.newline
	e.lines = slices.Replace(e.lines, s.start, s.end, fresh...)
	return nil
}

func (e *editor) insert(at, indent int, n *yaml.Node) {
	e.lines = slices.Insert(e.lines, at, e.encode(n, indent)...)
}

func (e *editor) reencodeAll() error {
	e.lines = e.encode(e.root, 0)
	return nil
}

// encode returns n's lines, indented.
func (e *editor) encode(n *yaml.Node, indent int) []string {
	var b strings.Builder
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if e.compact {
		enc.CompactSeqIndent()
	}
	if err := enc.Encode(n); err != nil {
		return []string{"# " + err.Error() + e.newline} // verified() then refuses the edit
	}
	lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
	for i, l := range lines {
		if l != "" {
			l = strings.Repeat(" ", indent) + l
		}
		lines[i] = l + e.newline
	}
	return lines
}

func canInsert(n *yaml.Node, step any) bool {
	switch s := step.(type) {
	case string:
		return isBlock(n, yaml.MappingNode)
	case int:
		return isBlock(n, yaml.SequenceNode) && s == len(n.Content)
	}
	return false
}

// entry returns a map or a list of one member.
func entry(step any, value *yaml.Node) *yaml.Node {
	if key, ok := step.(string); ok {
		return &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Content: []*yaml.Node{scalar(key), value}}
	}
	return &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq", Content: []*yaml.Node{value}}
}

// valueNode returns the nodes of value below the maps and lists that path names.
func valueNode(path []any, value any) *yaml.Node {
	if len(path) > 0 {
		return entry(path[0], valueNode(path[1:], value))
	}
	if s, ok := value.(string); ok {
		return scalar(s)
	}
	n := &yaml.Node{}
	if err := n.Encode(value); err != nil {
		return scalar(fmt.Sprint(value))
	}
	quoteOld(n)
	return n
}

func quoteOld(n *yaml.Node) {
	if n.Kind == yaml.ScalarNode && n.Tag == "!!str" {
		*n = *scalar(n.Value)
	}
	for _, c := range n.Content {
		quoteOld(c)
	}
}

// scalar returns a string's node, quoted wherever a parser of YAML 1.1, as Helm's and kubectl's are, would read something else.
func scalar(s string) *yaml.Node {
	n := &yaml.Node{}
	n.SetString(s)
	if out, err := yaml.Marshal(n); err == nil {
		var back any
		if err := sigs.Unmarshal(out, &back); err == nil && back == any(s) {
			return n
		}
	}
	n.Style = yaml.DoubleQuotedStyle
	return n
}

func setNode(n *yaml.Node, path []any, value any) error {
	if len(path) == 0 {
		v := valueNode(nil, value)
		v.LineComment, v.HeadComment, v.FootComment = n.LineComment, n.HeadComment, n.FootComment
		*n = *v
		return nil
	}
	if isNull(n) {
		*n = *valueNode(path, value)
		return nil
	}
	switch s := path[0].(type) {
	case string:
		if n.Kind != yaml.MappingNode {
			return fmt.Errorf("line %d: not a map, so it has no key %q", n.Line, s)
		}
		if len(n.Content) == 0 {
			n.Style &^= yaml.FlowStyle
		}
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == s {
				return setNode(n.Content[i+1], path[1:], value)
			}
		}
		n.Content = append(n.Content, scalar(s), valueNode(path[1:], value))
	case int:
		if n.Kind != yaml.SequenceNode {
			return fmt.Errorf("line %d: not a list, so it has no element [%d]", n.Line, s)
		}
		if len(n.Content) == 0 {
			n.Style &^= yaml.FlowStyle
		}
		if s < len(n.Content) {
			return setNode(n.Content[s], path[1:], value)
		}
		n.Content = append(n.Content, valueNode(path[1:], value))
	}
	return nil
}

func unsetIn(n *yaml.Node, path []any) {
	switch s := path[0].(type) {
	case string:
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == s {
				if len(path) > 1 {
					unsetIn(n.Content[i+1], path[1:])
				} else {
					n.Content = slices.Delete(n.Content, i, i+2)
				}
				return
			}
		}
	case int:
		if len(path) > 1 {
			unsetIn(n.Content[s], path[1:])
		} else {
			n.Content = slices.Delete(n.Content, s, s+1)
		}
	}
}
