// Package yamledit changes one key of a YAML file and leaves every other byte of it as it was: comments, blank lines, order, quoting.
//
// A library's re-encoding would normalise the whole file, and a file kept in git would show a diff nobody made. So the parser is asked
// only where things are, and lines are replaced. Invariant: the result, parsed, is the former content with exactly that one change; an
// edit that cannot keep this (through an alias, say) is an error. The package knows nothing of what the keys mean.
package yamledit

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"

	yaml "go.yaml.in/yaml/v3"
)

// Set returns doc with value at path, whose elements are strings (keys of maps) and ints (indices of lists; a list's length appends).
// Maps that are missing on the way are made. value is a scalar, a map[string]any or a []any. Setting what is there already returns doc
// unchanged.
func Set(doc []byte, path []any, value any) ([]byte, error) {
	if len(path) == 0 {
		return nil, errors.New("edit YAML: empty path")
	}
	before, err := plain(doc)
	if err != nil {
		return nil, err
	}
	if old, ok := lookup(before, path); ok && reflect.DeepEqual(old, canonical(value)) {
		return doc, nil
	}
	want, err := assign(before, path, canonical(value))
	if err != nil {
		return nil, fmt.Errorf("edit YAML: %w", err)
	}
	e, err := newEditor(doc)
	if err != nil {
		return nil, err
	}
	if err := e.set(path, value); err != nil {
		return nil, fmt.Errorf("edit YAML: %w", err)
	}
	return e.verified(want)
}

// Unset returns doc without what is at path, and without the maps and lists that this empties. found is false, and doc as it was, when
// nothing is there. Comments stay.
func Unset(doc []byte, path []any) (out []byte, found bool, err error) {
	before, err := plain(doc)
	if err != nil {
		return nil, false, err
	}
	if _, ok := lookup(before, path); !ok || len(path) == 0 {
		return doc, false, nil
	}
	for len(path) > 1 && only(before, path[:len(path)-1]) {
		path = path[:len(path)-1]
	}
	want := remove(before, path)
	e, err := newEditor(doc)
	if err != nil {
		return nil, false, err
	}
	if err := e.unset(path); err != nil {
		return nil, false, fmt.Errorf("edit YAML: %w", err)
	}
	out, err = e.verified(want)
	return out, true, err
}

// only tells whether the map or list at path has one member, so that it goes with it. A list's element stays, as {}.
func only(v any, path []any) bool {
	if _, index := path[len(path)-1].(int); index {
		return false
	}
	v, _ = lookup(v, path)
	switch v := v.(type) {
	case map[string]any:
		return len(v) == 1
	case []any:
		return len(v) == 1
	}
	return false
}

// plain decodes doc for comparisons: maps with string keys, lists, scalars.
func plain(doc []byte) (any, error) {
	var v any
	if err := yaml.Unmarshal(doc, &v); err != nil {
		return nil, err
	}
	return canonical(v), nil
}

func canonical(v any) any {
	switch v := v.(type) {
	case map[string]any:
		m := make(map[string]any, len(v))
		for k, e := range v {
			m[k] = canonical(e)
		}
		return m
	case map[any]any:
		m := make(map[string]any, len(v))
		for k, e := range v {
			m[fmt.Sprint(k)] = canonical(e)
		}
		return m
	case []any:
		l := make([]any, len(v))
		for i, e := range v {
			l[i] = canonical(e)
		}
		return l
	case int64:
		return int(v)
	}
	return v
}

func lookup(v any, path []any) (any, bool) {
	for _, step := range path {
		switch s := step.(type) {
		case string:
			m, _ := v.(map[string]any)
			next, ok := m[s]
			if !ok {
				return nil, false
			}
			v = next
		case int:
			l, _ := v.([]any)
			if s >= len(l) {
				return nil, false
			}
			v = l[s]
		}
	}
	return v, true
}

// assign sets value at path in a copy-free way: v is the caller's own. It is what Set must amount to.
func assign(v any, path []any, value any) (any, error) {
	if len(path) == 0 {
		return value, nil
	}
	switch s := path[0].(type) {
	case string:
		m, ok := v.(map[string]any)
		if !ok && v != nil {
			return nil, fmt.Errorf("%q cannot be set below a %T", s, v)
		}
		if m == nil {
			m = map[string]any{}
		}
		next, err := assign(m[s], path[1:], value)
		m[s] = next
		return m, err
	case int:
		l, ok := v.([]any)
		if !ok && v != nil {
			return nil, fmt.Errorf("[%d] cannot be set in a %T", s, v)
		}
		if s > len(l) {
			return nil, fmt.Errorf("[%d] is past the end of a list of %d", s, len(l))
		}
		if s == len(l) {
			l = append(l, nil)
		}
		next, err := assign(l[s], path[1:], value)
		l[s] = next
		return l, err
	}
	return nil, fmt.Errorf("path element %v is neither a key nor an index", path[0])
}

func remove(v any, path []any) any {
	switch s := path[0].(type) {
	case string:
		m := v.(map[string]any)
		if len(path) == 1 {
			delete(m, s)
			return m
		}
		m[s] = remove(m[s], path[1:])
		return m
	case int:
		l := v.([]any)
		if len(path) == 1 {
			return append(l[:s:s], l[s+1:]...)
		}
		l[s] = remove(l[s], path[1:])
		return l
	}
	return v
}

// verified returns the edited text when it means want.
func (e *editor) verified(want any) ([]byte, error) {
	out := []byte(strings.Join(e.lines, ""))
	got, err := plain(out)
	if err != nil {
		return nil, fmt.Errorf("edit YAML: the file is written in a way that cannot be edited safely; edit it by hand: %w", err)
	}
	if m, ok := want.(map[string]any); ok && len(m) == 0 && got == nil {
		return out, nil
	}
	if !reflect.DeepEqual(got, want) {
		return nil, errors.New("edit YAML: the file is written in a way that cannot be edited safely (aliases?); edit it by hand")
	}
	return out, nil
}

func newEditor(doc []byte) (*editor, error) {
	e := &editor{lines: strings.SplitAfter(string(doc), "\n"), newline: "\n"}
	if strings.HasSuffix(e.lines[0], "\r\n") {
		e.newline = "\r\n"
	}
	if last := len(e.lines) - 1; e.lines[last] == "" {
		e.lines = e.lines[:last]
	} else {
		e.lines[last] += e.newline
	}
	dec := yaml.NewDecoder(strings.NewReader(string(doc)))
	var root, more yaml.Node
	if err := dec.Decode(&root); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if dec.Decode(&more) == nil {
		return nil, fmt.Errorf("edit YAML: line %d: a second document", more.Line)
	}
	if len(root.Content) > 0 && !isNull(root.Content[0]) {
		e.root = root.Content[0]
		e.compact = compactLists(e.root)
	}
	return e, nil
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

// compactLists tells whether the file's first list within a map is written with its dashes below the key's first letter.
func compactLists(n *yaml.Node) bool {
	for i, c := range n.Content {
		if n.Kind == yaml.MappingNode && i%2 == 1 && isBlock(c, yaml.SequenceNode) {
			return c.Column == n.Content[i-1].Column
		}
		if compactLists(c) {
			return true
		}
	}
	return false
}

func isBlock(n *yaml.Node, kind yaml.Kind) bool {
	return n.Kind == kind && n.Style&yaml.FlowStyle == 0 && len(n.Content) > 0
}
