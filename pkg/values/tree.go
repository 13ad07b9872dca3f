// Package values turns the layers of a zone's settings into one tree, knowing which layer each key came from, and edits the files of a
// layer without disturbing what it does not change.
//
// It takes bytes and gives bytes: no file, cluster or clock. Merging follows Helm's rules (maps merge, lists and scalars replace, null
// deletes), so that `helm install -f` on a rendered tree means the same. Invariants: a merge never loses a stronger layer's word, and an
// edit either changes exactly the key it was asked for or returns an error. It does not render templates.
package values

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"sigs.k8s.io/yaml"
)

// Layer is one source of values. Later layers are stronger.
type Layer struct {
	Name   string // what a reader knows it by: a file's path in the environment, "facts of the zone", "--set"
	Values map[string]any

	lines map[string]int // line of each key, by Path.String; nil where the layer is no file
}

// ParseLayer reads a values file as Helm does (YAML 1.1 scalars), with integers kept as int64. A file that is empty or all comments is an
// empty layer. Errors begin with "name:line:"; a key given twice and a second document are errors.
func ParseLayer(name string, data []byte) (Layer, error) {
	doc, err := checkSyntax(name, data)
	if err != nil {
		return Layer{}, err
	}
	var v any
	if err := yaml.UnmarshalStrict(data, &v, func(d *json.Decoder) *json.Decoder { d.UseNumber(); return d }); err != nil {
		return Layer{}, fmt.Errorf("%s: %w", name, err)
	}
	switch m := normalize(v).(type) {
	case nil:
		return Layer{Name: name, Values: map[string]any{}}, nil
	case map[string]any:
		lines := map[string]int{}
		lineNumbers(doc, nil, lines)
		return Layer{Name: name, Values: m, lines: lines}, nil
	default:
		return Layer{}, fmt.Errorf("%s:1: the file holds a %s, not a map of values", name, kindOf(m))
	}
}

// normalize gives every integer the type int64 and every other number float64, and copies maps and lists.
func normalize(v any) any {
	switch v := v.(type) {
	case json.Number:
		if i, err := v.Int64(); err == nil {
			return i
		}
		f, err := v.Float64()
		if err != nil {
			return v.String()
		}
		return f
	case int:
		return int64(v)
	case int32:
		return int64(v)
	case []string:
		l := make([]any, len(v))
		for i, e := range v {
			l[i] = e
		}
		return l
	case map[string]any:
		m := make(map[string]any, len(v))
		for k, e := range v {
			m[k] = normalize(e)
		}
		return m
	case []any:
		l := make([]any, len(v))
		for i, e := range v {
			l[i] = normalize(e)
		}
		return l
	}
	return v
}

// Tree is merged layers. It is not changed after Merge.
type Tree struct {
	// values keeps a null wherever a layer deleted a key: handed to Helm, it deletes the chart's default there too.
	values map[string]any
	// origin names the layer of each leaf, by Path.String.
	origin map[string]string
	// lines are those of the layers' keys, by the layer's name and Path.String.
	lines map[string]map[string]int
}

// Merge lays layers over each other, the first the weakest.
func Merge(layers ...Layer) *Tree {
	t := &Tree{values: map[string]any{}, origin: map[string]string{}, lines: map[string]map[string]int{}}
	for _, l := range layers {
		t.lines[l.Name] = l.lines
		t.merge(t.values, l.Values, nil, l.Name)
	}
	return t
}

func (t *Tree) merge(dst, src map[string]any, at Path, name string) {
	for k, v := range src {
		path := at.with(k)
		from, isMap := v.(map[string]any)
		into, wasMap := dst[k].(map[string]any)
		if isMap && wasMap {
			t.merge(into, from, path, name)
			continue
		}
		if wasMap {
			each(into, path, func(p Path, _ any) { delete(t.origin, p.String()) })
		}
		delete(t.origin, path.String())
		dst[k] = normalize(v)
		each(dst[k], path, func(p Path, _ any) { t.origin[p.String()] = name })
	}
}

// each calls do for every leaf below v: scalars, lists and empty maps, in the order of their keys.
func each(v any, at Path, do func(Path, any)) {
	m, ok := v.(map[string]any)
	if !ok || (len(m) == 0 && len(at) > 0) {
		do(at, v)
		return
	}
	for _, k := range slices.Sorted(maps.Keys(m)) {
		each(m[k], at.with(k), do)
	}
}

// Values returns a copy of the tree, without the nulls that deleted something.
func (t *Tree) Values() map[string]any { return prune(t.values).(map[string]any) }

// prune copies v without null members of maps. Nulls within lists are values and stay.
func prune(v any) any {
	m, ok := v.(map[string]any)
	if !ok {
		return normalize(v)
	}
	out := make(map[string]any, len(m))
	for k, e := range m {
		if e != nil {
			out[k] = prune(e)
		}
	}
	return out
}

// Lookup returns a copy of what is at path; a null counts as absent.
func (t *Tree) Lookup(path Path) (any, bool) {
	var v any = t.values
	for _, step := range path {
		switch s := step.(type) {
		case string:
			m, ok := v.(map[string]any)
			if !ok {
				return nil, false
			}
			v = m[s]
		case int:
			l, ok := v.([]any)
			if !ok || s >= len(l) {
				return nil, false
			}
			v = l[s]
		}
		if v == nil {
			return nil, false
		}
	}
	return prune(v), true
}

// Entry is one leaf of a tree.
type Entry struct {
	Key    string // as ParsePath reads it
	Value  any    // scalar, list or empty map
	Origin string // name of the layer
}

// List returns the leaves at path and below, in the order of their keys. The empty path lists the whole tree.
func (t *Tree) List(path Path) []Entry {
	v, ok := t.Lookup(path)
	if !ok {
		return nil
	}
	var entries []Entry
	each(v, path, func(p Path, v any) {
		entries = append(entries, Entry{Key: p.String(), Value: v, Origin: t.originOf(p)})
	})
	return entries
}

// originOf returns the layer of a leaf, or of the list or map that holds it.
func (t *Tree) originOf(p Path) string {
	for ; len(p) > 0; p = p[:len(p)-1] {
		if o, ok := t.origin[p.String()]; ok {
			return o
		}
	}
	return ""
}

// whereOf returns "layer:line" of what is at p or, where that is a map, of its first leaf; of what is absent, of the nearest key above.
func (t *Tree) whereOf(p Path) string {
	if below := t.List(p); len(below) > 0 {
		if _, ok := t.origin[below[0].Key]; ok {
			return t.withLine(below[0].Origin, below[0].Key)
		}
	}
	for q := p; len(q) > 0; q = q[:len(q)-1] {
		origin, ok := t.origin[q.String()]
		if !ok {
			continue
		}
		for ; len(p) >= len(q); p = p[:len(p)-1] {
			if t.lines[origin][p.String()] > 0 {
				break
			}
		}
		return t.withLine(origin, p.String())
	}
	return ""
}

func (t *Tree) withLine(origin, key string) string {
	if n := t.lines[origin][key]; n > 0 {
		return fmt.Sprintf("%s:%d", origin, n)
	}
	return origin
}

func kindOf(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case map[string]any:
		return "map"
	case []any:
		return "list"
	case bool:
		return "bool"
	case int64, json.Number:
		return "integer"
	case float64:
		return "number"
	}
	return "string"
}
