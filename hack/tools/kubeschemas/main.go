// Command kubeschemas turns Kubernetes' own OpenAPI document into the JSON Schemas that kubeconform reads, so that
// charts are checked without a network, and against exactly the version of Kubernetes that the sandbox runs.
//
//	kubeschemas -swagger api/openapi-spec/swagger.json -out DIR
//
// It writes one file a kind, DIR/<kind>-<group>-<version>.json as kubeconform's template
// {{.ResourceKind}}{{.KindSuffix}} names it. The schemas are strict: a field that Kubernetes does not know is an error.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

func main() {
	swagger := flag.String("swagger", "", "Kubernetes' OpenAPI v2 document")
	out := flag.String("out", "", "directory to write the schemas to")
	flag.Parse()
	if err := run(*swagger, *out); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(swagger, out string) error {
	if swagger == "" || out == "" {
		return errors.New("-swagger and -out are required")
	}
	data, err := os.ReadFile(swagger)
	if err != nil {
		return fmt.Errorf("read OpenAPI document: %w", err)
	}
	schemas, err := convert(data)
	if err != nil {
		return fmt.Errorf("convert OpenAPI document %q: %w", swagger, err)
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return fmt.Errorf("make directory of schemas: %w", err)
	}
	for name, schema := range schemas {
		if err := os.WriteFile(filepath.Join(out, name+".json"), schema, 0o644); err != nil {
			return fmt.Errorf("write schema of %q: %w", name, err)
		}
	}
	return nil
}

const (
	gvkKey    = "x-kubernetes-group-version-kind"
	refPrefix = "#/definitions/"
)

// convert returns a schema for each kind of the OpenAPI document, by kubeconform's name of it.
func convert(data []byte) (map[string][]byte, error) {
	var document struct {
		Definitions map[string]map[string]any `json:"definitions"`
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	if err := decoder.Decode(&document); err != nil {
		return nil, err
	}
	kinds := map[string]string{} // kubeconform's name → definition
	for name, definition := range document.Definitions {
		// Only what belongs to one kind: DeleteOptions and the like are listed under every group.
		if gvks, _ := definition[gvkKey].([]any); len(gvks) == 1 {
			if gvk, ok := gvks[0].(map[string]any); ok {
				restrict(definition, gvk)
				kinds[fileName(gvk)] = name
			}
		}
	}
	if len(kinds) == 0 {
		return nil, errors.New("no kinds in it")
	}
	for name, definition := range document.Definitions {
		document.Definitions[name] = tighten(definition).(map[string]any)
	}
	// The document says string, the API server also takes "cpu: 1".
	document.Definitions["io.k8s.apimachinery.pkg.api.resource.Quantity"] = map[string]any{"type": []string{"number", "string"}}
	schemas := make(map[string][]byte, len(kinds))
	for file, name := range kinds {
		used := map[string]any{}
		collect(document.Definitions, name, used)
		schema, err := json.Marshal(map[string]any{
			"$schema":     "http://json-schema.org/draft-07/schema#",
			"$ref":        refPrefix + name,
			"definitions": used,
		})
		if err != nil {
			return nil, err
		}
		schemas[file] = schema
	}
	return schemas, nil
}

// fileName is kubeconform's {{.ResourceKind}}{{.KindSuffix}}: the group's first part only, and none for the core group.
func fileName(gvk map[string]any) string {
	group, _, _ := strings.Cut(text(gvk, "group"), ".")
	parts := []string{text(gvk, "kind"), group, text(gvk, "version")}
	if group == "" {
		parts = []string{parts[0], parts[2]}
	}
	return strings.ToLower(strings.Join(parts, "-"))
}

func text(m map[string]any, key string) string {
	s, _ := m[key].(string)
	return s
}

// restrict makes apiVersion and kind those of the kind; an object without them is no object.
func restrict(definition, gvk map[string]any) {
	properties, ok := definition["properties"].(map[string]any)
	if !ok || properties["apiVersion"] == nil || properties["kind"] == nil {
		return
	}
	properties["apiVersion"] = map[string]any{"const": strings.TrimPrefix(text(gvk, "group")+"/"+text(gvk, "version"), "/")}
	properties["kind"] = map[string]any{"const": text(gvk, "kind")}
	required, _ := definition["required"].([]any)
	definition["required"] = append([]any{"apiVersion", "kind"}, required...)
}

// tighten closes every object whose fields are listed, and drops what only documents as well as Kubernetes' own formats:
// the type says enough. A map under "properties" has
// fields' names for keys, not schema words, so a field named description or format stays.
func tighten(node any) any {
	switch node := node.(type) {
	case map[string]any:
		if text(node, "format") == "int-or-string" {
			return map[string]any{"type": []string{"integer", "string"}}
		}
		out := map[string]any{}
		for key, value := range node {
			switch {
			case key == "description" || key == "format" || strings.HasPrefix(key, "x-kubernetes-"):
			case key == "properties":
				fields := map[string]any{}
				for name, field := range value.(map[string]any) {
					fields[name] = tighten(field)
				}
				out[key] = fields
			default:
				out[key] = tighten(value)
			}
		}
		if out["properties"] != nil && out["additionalProperties"] == nil {
			out["additionalProperties"] = false
		}
		return out
	case []any:
		out := make([]any, len(node))
		for i, element := range node {
			out[i] = tighten(element)
		}
		return out
	}
	return node
}

// collect adds to used the named definition and all that it refers to, itself included where it is recursive.
func collect(definitions map[string]map[string]any, name string, used map[string]any) {
	if used[name] != nil || definitions[name] == nil {
		return
	}
	used[name] = definitions[name]
	var visit func(node any)
	visit = func(node any) {
		switch node := node.(type) {
		case map[string]any:
			if ref, ok := node["$ref"].(string); ok {
				collect(definitions, strings.TrimPrefix(ref, refPrefix), used)
			}
			for _, value := range node {
				visit(value)
			}
		case []any:
			for _, value := range node {
				visit(value)
			}
		}
	}
	visit(definitions[name])
}
