package main

import (
	"encoding/json"
	"reflect"
	"testing"
)

const document = `{"definitions": {
  "b.Thing": {
    "type": "object", "description": "A thing.",
    "required": ["spec"],
    "properties": {
      "apiVersion": {"type": "string"}, "kind": {"type": "string"},
      "spec": {"$ref": "#/definitions/b.Spec", "description": "The spec."}
    },
    "x-kubernetes-group-version-kind": [{"group": "batch.k8s.io", "version": "v1", "kind": "Thing"}]
  },
  "b.Spec": {
    "type": "object",
    "properties": {
      "description": {"type": "string", "format": "int64"},
      "port": {"type": "string", "format": "int-or-string"},
      "labels": {"type": "object", "additionalProperties": {"type": "string"}},
      "size": {"$ref": "#/definitions/io.k8s.apimachinery.pkg.api.resource.Quantity"},
      "children": {"type": "array", "items": {"$ref": "#/definitions/b.Spec"}}
    }
  },
  "b.Unused": {"type": "object"},
  "m.Options": {"type": "object", "x-kubernetes-group-version-kind": [
    {"group": "", "version": "v1", "kind": "Options"}, {"group": "apps", "version": "v1", "kind": "Options"}]}
}}`

const want = `{
  "$schema": "http://json-schema.org/draft-07/schema#",
  "$ref": "#/definitions/b.Thing",
  "definitions": {
    "b.Thing": {
      "type": "object", "additionalProperties": false,
      "required": ["apiVersion", "kind", "spec"],
      "properties": {
        "apiVersion": {"const": "batch.k8s.io/v1"}, "kind": {"const": "Thing"},
        "spec": {"$ref": "#/definitions/b.Spec"}
      }
    },
    "b.Spec": {
      "type": "object", "additionalProperties": false,
      "properties": {
        "description": {"type": "string"},
        "port": {"type": ["integer", "string"]},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "size": {"$ref": "#/definitions/io.k8s.apimachinery.pkg.api.resource.Quantity"},
        "children": {"type": "array", "items": {"$ref": "#/definitions/b.Spec"}}
      }
    },
    "io.k8s.apimachinery.pkg.api.resource.Quantity": {"type": ["number", "string"]}
  }
}`

func TestConvert(t *testing.T) {
	schemas, err := convert([]byte(document))
	if err != nil {
		t.Fatal(err)
	}
	if len(schemas) != 1 {
		t.Errorf("got %d schemas, want that of Thing only", len(schemas))
	}
	var got, expected any
	if err := json.Unmarshal(schemas["thing-batch-v1"], &got); err != nil {
		t.Fatalf("schema of Thing: %v", err)
	}
	if err := json.Unmarshal([]byte(want), &expected); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, expected) {
		t.Errorf("got  %s\nwant %s", schemas["thing-batch-v1"], want)
	}
}

func TestConvertNoKinds(t *testing.T) {
	if _, err := convert([]byte(`{"definitions": {}}`)); err == nil {
		t.Error("a document without kinds must be an error, or every chart would pass")
	}
}
