package values

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"golang.org/x/text/language"
	"golang.org/x/text/message"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/hint"
)

// Validate holds the whole tree against both schemas and returns all problems in one error, one a line, each with the layer (with the
// line, where the layer is a file) and the key, and for an unknown key the nearest known one.
func (s *Schemas) Validate(t *Tree) error {
	cp, am := t.Charts()
	var problems []string
	add := func(root *jsonschema.Schema, instance map[string]any, prefix Path) {
		var invalid *jsonschema.ValidationError
		if err := root.Validate(prune(instance)); errors.As(err, &invalid) {
			for _, leaf := range leaves(invalid) {
				problems = append(problems, s.describe(t, root, leaf, instance, prefix)...)
			}
		} else if err != nil {
			problems = append(problems, err.Error())
		}
	}
	add(s.controlPlane, cp, nil)
	add(s.autoMaintenance, am, Path{AutoMaintenance})
	if problems == nil {
		return nil
	}
	slices.Sort(problems)
	problems = slices.Compact(problems)
	return hint.Wrap(fmt.Errorf("%d problem(s) in the values:\n  %s", len(problems), strings.Join(problems, "\n  ")),
		"kubectl aporeto value list shows every key and the layer it comes from")
}

func (s *Schemas) describe(t *Tree, root *jsonschema.Schema, leaf *jsonschema.ValidationError, instance map[string]any, prefix Path) []string {
	path := location(leaf.InstanceLocation, instance)
	if k, is := leaf.ErrorKind.(*kind.PropertyNames); is {
		path = holderOf([]*jsonschema.Schema{root}, instance, leaf.SchemaURL, k.Property, nil)
	}
	if len(path) == 0 || path[0] != Global {
		path = prefix.with(path...)
	}
	line := func(p Path, what string) string {
		where := t.whereOf(p)
		if where != "" {
			where += ": "
		}
		return where + p.String() + ": " + what
	}
	switch k := leaf.ErrorKind.(type) {
	case *kind.AdditionalProperties:
		var lines []string
		for _, name := range k.Properties {
			p := path.with(name)
			what := "unknown key"
			if _, err := s.at(p); err != nil && hint.Of(err) != "" {
				what += ", " + hint.Of(err)
			}
			lines = append(lines, line(p, what))
		}
		return lines
	case *kind.Required:
		var lines []string
		for _, name := range k.Missing {
			lines = append(lines, line(path.with(name), "required, and not set"))
		}
		return lines
	}
	if k, is := leaf.ErrorKind.(*kind.PropertyNames); is {
		return []string{line(path.with(k.Property), badName(k.Property, leaf.Causes))}
	}
	return []string{line(path, text(leaf))}
}

// holderOf returns where, below path, instance has a map with the key name and a schema of names whose place is url: of such an error the
// library's own InstanceLocation is that of whatever was validated last.
func holderOf(here []*jsonschema.Schema, instance any, url, name string, path Path) Path {
	here = expand(here)
	switch v := instance.(type) {
	case map[string]any:
		if _, has := v[name]; has && slices.ContainsFunc(here, func(s *jsonschema.Schema) bool { return s.PropertyNames != nil && s.PropertyNames.Location == url }) {
			return path
		}
		for _, key := range slices.Sorted(maps.Keys(v)) {
			next, _ := property(here, key)
			if found := holderOf(next, v[key], url, name, path.with(key)); found != nil {
				return found
			}
		}
	case []any:
		for i, item := range v {
			if found := holderOf(items(here, i), item, url, name, path.with(i)); found != nil {
				return found
			}
		}
	}
	return nil
}

// badName says why name is none that a key may have here.
func badName(name string, causes []*jsonschema.ValidationError) string {
	var why []string
	for _, cause := range causes {
		for _, leaf := range leaves(cause) {
			if _, reserved := leaf.ErrorKind.(*kind.Not); reserved {
				why = append(why, "it is reserved")
				continue
			}
			why = append(why, text(leaf))
		}
	}
	return fmt.Sprintf("%q is not a possible name here: %s", name, strings.Join(slices.Compact(why), "; "))
}

// location turns a JSON pointer's tokens into a path, with numbers where the instance has a list.
func location(tokens []string, instance any) Path {
	var path Path
	for _, tok := range tokens {
		switch v := instance.(type) {
		case []any:
			if i, err := strconv.Atoi(tok); err == nil && i < len(v) {
				path, instance = append(path, i), v[i]
				continue
			}
		case map[string]any:
			instance = v[tok]
		}
		path = append(path, tok)
	}
	return path
}

// leaves returns the errors that have no cause of their own. Of a choice (anyOf, oneOf) every branch's errors come, but for those of branches
// for another type where one for this type is there.
func leaves(e *jsonschema.ValidationError) []*jsonschema.ValidationError {
	if _, name := e.ErrorKind.(*kind.PropertyNames); name || len(e.Causes) == 0 { // what is wrong with a name, its causes say without its place
		return []*jsonschema.ValidationError{e}
	}
	var all, ofType []*jsonschema.ValidationError
	for _, c := range e.Causes {
		branch := leaves(c)
		if _, other := branch[0].ErrorKind.(*kind.Type); !other || len(branch) > 1 || len(branch[0].InstanceLocation) > len(e.InstanceLocation) {
			ofType = append(ofType, branch...)
		}
		all = append(all, branch...)
	}
	switch e.ErrorKind.(type) {
	case *kind.AnyOf, *kind.OneOf:
		if len(ofType) > 0 {
			return ofType
		}
	}
	return all
}

func leafTexts(err error) []string {
	var invalid *jsonschema.ValidationError
	if !errors.As(err, &invalid) {
		return []string{err.Error()}
	}
	var texts []string
	for _, l := range leaves(invalid) {
		t := text(l)
		if at := location(l.InstanceLocation, nil).String(); at != "" {
			t = at + ": " + t
		}
		texts = append(texts, t)
	}
	return slices.Compact(texts)
}

// longPattern is the length from which a pattern explains nothing to a person.
const longPattern = 80

func text(e *jsonschema.ValidationError) string {
	if k, is := e.ErrorKind.(*kind.Pattern); is && len(k.Want) > longPattern {
		return fmt.Sprintf("'%s' does not have the form that is needed", k.Got)
	}
	return e.ErrorKind.LocalizedString(message.NewPrinter(language.English))
}
