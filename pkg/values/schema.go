package values

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/agext/levenshtein"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/hint"
)

// Schemas are the values.schema.json of the two charts, compiled; together they say which keys a zone's tree may have.
type Schemas struct {
	controlPlane, autoMaintenance *jsonschema.Schema
}

// ParseSchemas compiles the charts' schemas (JSON Schema, any draft that Helm takes).
func ParseSchemas(controlPlane, autoMaintenance []byte) (*Schemas, error) {
	compile := func(chart string, data []byte) (*jsonschema.Schema, error) {
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
		if err != nil {
			return nil, fmt.Errorf("schema of chart %s: %w", chart, err)
		}
		name := "chart:///" + chart
		c := jsonschema.NewCompiler()
		if err := c.AddResource(name, doc); err != nil {
			return nil, fmt.Errorf("schema of chart %s: %w", chart, err)
		}
		s, err := c.Compile(name)
		if err != nil {
			return nil, fmt.Errorf("schema of chart %s: %w", chart, err)
		}
		return s, nil
	}
	cp, err := compile("control-plane", controlPlane)
	if err != nil {
		return nil, err
	}
	am, err := compile(AutoMaintenance, autoMaintenance)
	if err != nil {
		return nil, err
	}
	return &Schemas{controlPlane: cp, autoMaintenance: am}, nil
}

// Check tells whether value may stand at path, looking at this key only: what else a tree lacks is no concern of one edit. An unknown
// key gives an error whose hint names the nearest known one. A null may stand at every known key: it deletes the chart's default.
func (s *Schemas) Check(path Path, value any) error {
	subs, err := s.at(path)
	if err != nil {
		return err
	}
	if value == nil {
		return nil
	}
	for _, sub := range subs {
		if err := sub.Validate(normalize(value)); err != nil {
			err := fmt.Errorf("key %s: %s", path, strings.Join(leafTexts(err), "; "))
			if sub.Description == "" {
				return err
			}
			return hint.Wrap(err, "%s is: %s", path, sub.Description)
		}
	}
	return nil
}

// at returns the subschemas that a value at path must satisfy; none where the charts leave it open.
func (s *Schemas) at(path Path) ([]*jsonschema.Schema, error) {
	if len(path) == 0 {
		return nil, nil
	}
	switch path[0] {
	case AutoMaintenance:
		return s.walk(s.autoMaintenance, path, 1)
	case Global:
		// Both charts get it, so one that knows the key is enough; Validate asks both about the whole tree.
		cp, errCP := s.walk(s.controlPlane, path, 0)
		am, errAM := s.walk(s.autoMaintenance, path, 0)
		if errCP != nil && errAM != nil {
			return nil, errCP
		}
		return append(cp, am...), nil
	}
	return s.walk(s.controlPlane, path, 0)
}

// walk follows path from its element i, which root describes.
func (s *Schemas) walk(root *jsonschema.Schema, path Path, i int) ([]*jsonschema.Schema, error) {
	here := []*jsonschema.Schema{root}
	for ; i < len(path); i++ {
		here = expand(here)
		var next []*jsonschema.Schema
		var closed bool
		switch step := path[i].(type) {
		case string:
			if want := otherKind(here, "object"); want != "" {
				return nil, fmt.Errorf("key %s: %s is of type %s, not a map", path, path[:i], want)
			}
			next, closed = property(here, step)
			for _, sub := range here {
				if sub.PropertyNames == nil {
					continue
				}
				var invalid *jsonschema.ValidationError
				if errors.As(sub.PropertyNames.Validate(step), &invalid) {
					return nil, hint.Wrap(fmt.Errorf("key %s: %s", path, badName(step, []*jsonschema.ValidationError{invalid})), "take another name")
				}
			}
		case int:
			if want := otherKind(here, "array"); want != "" {
				return nil, fmt.Errorf("key %s: %s is of type %s, not a list", path, path[:i], want)
			}
			next = items(here, step)
		}
		if len(next) == 0 {
			if closed {
				return nil, s.unknown(path, i, here)
			}
			return nil, nil
		}
		here = next
	}
	return here, nil
}

// expand adds to the schemas those they refer to or are composed of.
func expand(in []*jsonschema.Schema) []*jsonschema.Schema {
	var out []*jsonschema.Schema
	for queue := slices.Clone(in); len(queue) > 0; queue = queue[1:] {
		s := queue[0]
		if s == nil || slices.Contains(out, s) {
			continue
		}
		out = append(out, s)
		queue = append(queue, s.Ref, s.Then, s.Else)
		queue = slices.Concat(queue, s.AllOf, s.AnyOf, s.OneOf)
	}
	return out
}

func property(here []*jsonschema.Schema, name string) (next []*jsonschema.Schema, closed bool) {
	for _, s := range here {
		known := false
		if p := s.Properties[name]; p != nil {
			next, known = append(next, p), true
		}
		for re, p := range s.PatternProperties {
			if re.MatchString(name) {
				next, known = append(next, p), true
			}
		}
		if known {
			continue
		}
		switch more := s.AdditionalProperties.(type) {
		case bool:
			closed = closed || !more
		case *jsonschema.Schema:
			next = append(next, more)
		}
	}
	return next, closed
}

func items(here []*jsonschema.Schema, i int) (next []*jsonschema.Schema) {
	for _, s := range here {
		if i < len(s.PrefixItems) {
			next = append(next, s.PrefixItems[i])
			continue
		}
		if s.Items2020 != nil {
			next = append(next, s.Items2020)
		}
		if one, ok := s.Items.(*jsonschema.Schema); ok {
			next = append(next, one)
		}
	}
	return next
}

// otherKind returns the types that the schemas name when they name some and kind is never among them.
func otherKind(here []*jsonschema.Schema, kind string) string {
	var named []string
	for _, s := range here {
		if s.Types != nil {
			named = append(named, s.Types.ToStrings()...)
		}
	}
	if len(named) == 0 || slices.Contains(named, kind) {
		return ""
	}
	slices.Sort(named)
	return strings.Join(slices.Compact(named), " or ")
}

// unknown is the error for the element i of path, which none of the schemas here knows.
func (s *Schemas) unknown(path Path, i int, here []*jsonschema.Schema) error {
	err := fmt.Errorf("unknown key %s", path[:i+1])
	if near := s.nearest(path, i, here); near != "" {
		return hint.Wrap(err, "the nearest known key is %s", near)
	}
	return err
}

// nearest prefers a known key that ends just as path does (somebody forgot where it lives) over one spelt alike.
func (s *Schemas) nearest(path Path, i int, here []*jsonschema.Schema) string {
	names := propertyNames(here)
	if i == 0 {
		names = append(names, AutoMaintenance)
	}
	step := path[i].(string)
	best := Nearest(step, names)
	if i == 0 && (best == "" || levenshtein.Distance(step, best, nil) > 2) {
		if k := Nearest(path.String(), s.endingIn(path)); k != "" {
			return k
		}
	}
	if best == "" {
		return ""
	}
	mended := path[:i].with(best)
	if whole := mended.with(path[i+1:]...); len(whole) > len(mended) {
		if _, err := s.at(whole); err == nil {
			return whole.String()
		}
	}
	return mended.String()
}

// endingIn returns the known keys whose last elements are those of path.
func (s *Schemas) endingIn(path Path) []string {
	var keys []string
	suffix := "." + path.String()
	known := func(root *jsonschema.Schema, at Path) {
		for _, k := range knownKeys(root, at, 0) {
			if strings.HasSuffix(k, suffix) {
				keys = append(keys, k)
			}
		}
	}
	known(s.controlPlane, nil)
	known(s.autoMaintenance, Path{AutoMaintenance})
	return keys
}

// knownKeys lists the keys a schema names, to a depth that stops recursive schemas.
func knownKeys(s *jsonschema.Schema, at Path, depth int) []string {
	if depth > 6 || (len(at) > 1 && at[0] == AutoMaintenance && at[1] == Global) {
		return nil
	}
	var keys []string
	here := expand([]*jsonschema.Schema{s})
	for _, name := range propertyNames(here) {
		path := at.with(name)
		keys = append(keys, path.String())
		next, _ := property(here, name)
		for _, n := range next {
			keys = append(keys, knownKeys(n, path, depth+1)...)
		}
	}
	return keys
}

func propertyNames(here []*jsonschema.Schema) []string {
	var names []string
	for _, s := range here {
		names = slices.AppendSeq(names, maps.Keys(s.Properties))
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Like returns the one of known that name is a typing mistake of, "" when it is like none.
func Like(name string, known []string) string {
	best := Nearest(name, known)
	if strings.HasPrefix(best, name) && name != "" || distance(name, best) <= max(1, len(best)/3) {
		return best
	}
	return ""
}

func distance(a, b string) int {
	return levenshtein.Distance(strings.ToLower(a), strings.ToLower(b), nil)
}

// Nearest returns the one of known whose edit distance from name is least, however great; "" when there is none.
func Nearest(name string, known []string) string {
	best, least := "", 0
	for _, k := range known {
		d := distance(name, k)
		if best == "" || d < least {
			best, least = k, d
		}
	}
	return best
}
