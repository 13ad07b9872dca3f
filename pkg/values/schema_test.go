package values

import (
	"strings"
	"testing"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/hint"
)

const controlPlaneSchema = `{
  "type": "object", "additionalProperties": false,
  "properties": {
    "global": {"$ref": "#/$defs/global"},
    "gateway": {"type": "object", "additionalProperties": false, "required": ["image"], "properties": {
      "image": {"type": "string"},
      "replicas": {"type": "integer", "minimum": 0},
      "redirect": {"enum": ["", 307]},
      "tag": {"type": "string"},
      "hosts": {"type": "array", "items": {"type": "object", "additionalProperties": false, "properties": {"name": {"type": "string"}}}},
      "annotations": {"type": "object", "additionalProperties": {"type": "string"}},
      "free": {"type": "object"}}},
    "services": {"type": "object", "propertyNames": {"pattern": "^[a-z]+$"}, "additionalProperties": {"$ref": "#/$defs/service"}}
  },
  "$defs": {
    "global": {"type": "object", "additionalProperties": false, "properties": {"host": {"type": "string"}, "only": {"type": "string"}}},
    "service": {"type": "object", "additionalProperties": false, "required": ["image"], "properties": {"image": {"type": "string"}, "replicas": {"type": "integer"}}}
  }
}`

const autoMaintenanceSchema = `{
  "type": "object", "additionalProperties": false,
  "properties": {
    "global": {"type": "object", "properties": {"host": {"type": "string"}}},
    "endpoint": {"type": "string", "pattern": "^https://"},
    "threshold": {"type": "integer"}
  }
}`

func schemas(t *testing.T) *Schemas {
	t.Helper()
	s, err := ParseSchemas([]byte(controlPlaneSchema), []byte(autoMaintenanceSchema))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSchemaLiteral(t *testing.T) {
	s := schemas(t)
	tests := map[string]struct {
		key, word string
		want      any
		err, hint string
	}{
		"integer":                    {"gateway.replicas", "3", int64(3), "", ""},
		"text where text is due":     {"gateway.tag", "3", "3", "", ""},
		"true where text is due":     {"gateway.annotations.a", "true", "true", "", ""},
		"a choice":                   {"gateway.redirect", "307", int64(307), "", ""},
		"no choice":                  {"gateway.redirect", "308", nil, "key gateway.redirect: ", ""},
		"too small":                  {"gateway.replicas", "-1", nil, "minimum", ""},
		"null at any known key":      {"gateway.replicas", "null", nil, "", ""},
		"null at an unknown key":     {"gateway.replcas", "null", nil, "unknown key gateway.replcas", "the nearest known key is gateway.replicas"},
		"what lacks is no concern":   {"services.squall.replicas", "2", int64(2), "", ""},
		"free below":                 {"gateway.free.any.thing", "x", "x", "", ""},
		"in a list":                  {"gateway.hosts[0].name", "x", "x", "", ""},
		"unknown in a list":          {"gateway.hosts[0].nam", "x", nil, "unknown key gateway.hosts[0].nam", "the nearest known key is gateway.hosts[0].name"},
		"below a scalar":             {"gateway.replicas.x", "1", nil, "gateway.replicas is of type integer, not a map", ""},
		"index into a map":           {"gateway[0]", "1", nil, "gateway is of type object, not a list", ""},
		"a map's place":              {"gateway", "1", nil, "got number, want object", ""},
		"unknown at the root":        {"gatway.replicas", "1", nil, "unknown key gatway", "the nearest known key is gateway.replicas"},
		"in another place":           {"host", "x", nil, "unknown key host", "the nearest known key is global.host"},
		"a service's unknown key":    {"services.squall.imag", "x", nil, "unknown key services.squall.imag", "the nearest known key is services.squall.image"},
		"an impossible service":      {"services.Bad.image", "x", nil, `"Bad" is not a possible name here`, ""},
		"the other chart":            {"auto-maintenance.endpoint", "https://x", "https://x", "", ""},
		"the other chart's pattern":  {"auto-maintenance.endpoint", "http://x", nil, "key auto-maintenance.endpoint: ", ""},
		"the other chart's unknown":  {"auto-maintenance.treshold", "3", nil, "unknown key auto-maintenance.treshold", "the nearest known key is auto-maintenance.threshold"},
		"global of one chart":        {"global.only", "x", "x", "", ""},
		"global both know otherwise": {"global.host", "5", "5", "", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := s.Literal(path(t, tt.key), tt.word)
			switch {
			case tt.err == "":
				if err != nil || got != tt.want {
					t.Errorf("got %#v, %v; want %#v", got, err, tt.want)
				}
			case err == nil || !strings.Contains(err.Error(), tt.err) || !strings.Contains(hint.Of(err), tt.hint):
				t.Errorf("got %#v, %v (hint %q); want %q, hint %q", got, err, hint.Of(err), tt.err, tt.hint)
			}
		})
	}
}

func TestValidate(t *testing.T) {
	s := schemas(t)
	good := layer(t, "conf.d/values.yaml", "gateway: {image: a, replicas: 1}\nservices: {squall: {image: a}}\nauto-maintenance: {endpoint: https://x}\nglobal: {host: h}\n")
	if err := s.Validate(Merge(good)); err != nil {
		t.Errorf("a good tree: %v", err)
	}
	// A null deletes before the schema is asked.
	if err := s.Validate(Merge(good, layer(t, "x", "gateway: {replicas: null}"))); err != nil {
		t.Errorf("a deleted default: %v", err)
	}
	bad := layer(t, "conf.d/B/values.yaml", "gateway:\n  replicas: many\n  hosts:\n  - name: 5\n  colour: x\nservices:\n  squall:\n    image: null\n    replicas: 1\nauto-maintenance:\n  treshold: 1\nglobal:\n  other: 1\n")
	err := s.Validate(Merge(good, bad))
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		"6 problem(s) in the values:",
		"conf.d/B/values.yaml:2: gateway.replicas: got string, want integer",
		"conf.d/B/values.yaml:4: gateway.hosts[0].name: got number, want string",
		"conf.d/B/values.yaml:5: gateway.colour: unknown key, the nearest known key is gateway.hosts",
		"services.squall.image: required, and not set",
		"conf.d/B/values.yaml:11: auto-maintenance.treshold: unknown key, the nearest known key is auto-maintenance.threshold",
		"conf.d/B/values.yaml:13: global.other: unknown key",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error\n%v\nlacks %q", err, want)
		}
	}
}

func TestCheckOwner(t *testing.T) {
	for key, ok := range map[string]bool{
		"global.zone": false, "global.zones": false, "global.certificates.generation": false, "global.certs.ca.root.pass": false,
		"global.zoned": true, "global.public.api": true, "zone": true,
	} {
		if err := CheckOwner(path(t, key)); (err == nil) != ok || (err != nil && hint.Of(err) == "") {
			t.Errorf("%s: %v", key, err)
		}
	}
}
