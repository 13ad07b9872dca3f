package yamledit

import (
	"strings"
	"testing"
)

const file = `# About this file.

global: # shared
  database:
    mongo:
      # Routers.
      host: 'mongo1:27017'   # quoted
  public: {api: "https://a", ui: ""}

# The gateway.
gateway:
    replicas: 2

services:
  squall:
    args: ["-a", "b # not a comment"] # args
    script: |
      # first

      echo hi

    routes:
      - host: a.example.com # first
        path: /
      # second
      - path: /x

  # none yet
`

func TestSet(t *testing.T) {
	tests := map[string]struct {
		doc   string
		path  []any
		value any
		// want is the changed file as "-old line" and "+new line" pairs; every other line must be as it was.
		want string
	}{
		"quoted scalar keeps the comment": {file, []any{"global", "database", "mongo", "host"}, "m1:27017,m2:27017",
			"-      host: 'mongo1:27017'   # quoted\n+      host: m1:27017,m2:27017   # quoted"},
		"number":               {file, []any{"gateway", "replicas"}, int64(3), "-    replicas: 2\n+    replicas: 3"},
		"new key takes indent": {file, []any{"gateway", "service", "type"}, "NodePort", "+    service:\n+      type: NodePort"},
		"new top key":          {file, []any{"mongodb-shard", "enabled"}, false, "+mongodb-shard:\n+  enabled: false"},
		"flow map":             {file, []any{"global", "public", "ui"}, "https://u", "-  public: {api: \"https://a\", ui: \"\"}\n+  public: {api: \"https://a\", ui: 'https://u'}"},
		"flow list":            {file, []any{"services", "squall", "args", 0}, "-z", "-    args: [\"-a\", \"b # not a comment\"] # args\n+    args: [-z, \"b # not a comment\"] # args"},
		"flow list replaced":   {file, []any{"services", "squall", "args"}, "x", "-    args: [\"-a\", \"b # not a comment\"] # args\n+    args: x # args"},
		"in a list's element":  {file, []any{"services", "squall", "routes", 0, "host"}, "b", "-      - host: a.example.com # first\n+      - host: b # first"},
		"new in an element":    {file, []any{"services", "squall", "routes", 0, "port"}, int64(80), "+        port: 80"},
		"append to a list":     {file, []any{"services", "squall", "routes", 2, "path"}, "/y", "+      - path: /y"},
		"old boolean quoted":   {file, []any{"gateway", "redirect"}, "yes", "+    redirect: \"yes\""},
		"digits quoted":        {file, []any{"gateway", "redirect"}, "0123", "+    redirect: \"0123\""},
		"date quoted":          {file, []any{"gateway", "redirect"}, "2020-01-01", "+    redirect: \"2020-01-01\""},
		"hash quoted":          {file, []any{"gateway", "redirect"}, "a #b", "+    redirect: 'a #b'"},
		"empty file":           {"", []any{"a", "b"}, true, "+a:\n+  b: true"},
		"comments only":        {"# one\n\n# two\n", []any{"a"}, "x", "+a: x"},
		"null value":           {"a: # none\nb: 1\n", []any{"a", "c"}, "x", "+  c: x"},
		"null":                 {"a: 1\n", []any{"a"}, nil, "-a: 1\n+a: null"},
		"empty map":            {"a: {}\n", []any{"a", "b"}, "x", "-a: {}\n+a:\n+  b: x"},
		"no newline at end":    {"a: 1", []any{"b"}, int64(2), "-a: 1\n+a: 1\n+b: 2"},
		"compact lists kept":   {"a:\n- x\n", []any{"b", 0}, "z", "+b:\n+- z"},
		"after a block scalar": {"a: |\n  # text\n\n  x\n\n\n# end\n", []any{"b"}, "z", "+b: z"},
		"kept block scalar":    {"a: |+\n  x\n\n\n", []any{"b"}, "z", "+b: z"},
		"many lines":           {"a: 1\nb: 2\n", []any{"a"}, "x\ny\n", "-a: 1\n+a: |\n+  x\n+  y"},
		"same value":           {file, []any{"gateway", "replicas"}, int64(2), ""},
		"quoted key":           {"\"a:b\": 1 # c\n", []any{"a:b"}, int64(2), "-\"a:b\": 1 # c\n+\"a:b\": 2 # c"},
		"wide characters":      {"é: {ü: 1}\nlist:\n  - ä: 'ö' # ß\n", []any{"list", 0, "ä"}, "x", "-  - ä: 'ö' # ß\n+  - ä: x # ß"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := Set([]byte(tt.doc), tt.path, tt.value)
			if err != nil {
				t.Fatal(err)
			}
			if d := diff(tt.doc, string(got)); d != tt.want {
				t.Errorf("changed lines:\n%s\nwant:\n%s\nfile:\n%s", d, tt.want, got)
			}
			again, err := Set(got, tt.path, tt.value)
			if err != nil || string(again) != string(got) {
				t.Errorf("a second Set changed the file (%v):\n%s", err, again)
			}
		})
	}
}

func TestSetKeepsLineEnds(t *testing.T) {
	got, err := Set([]byte("a: 1\r\nb: 2\r\n"), []any{"c", "d"}, "x")
	if want := "a: 1\r\nb: 2\r\nc:\r\n  d: x\r\n"; err != nil || string(got) != want {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
}

func TestSetRefuses(t *testing.T) {
	tests := map[string]struct {
		doc  string
		path []any
	}{
		"below a scalar":       {"a: 1\n", []any{"a", "b"}},
		"past a list's end":    {"a: [1]\n", []any{"a", 2}},
		"through an alias":     {"a: &x {k: 1}\nb: *x\n", []any{"b", "k"}},
		"what an alias shares": {"a: &x {k: 1}\nb: *x\n", []any{"a", "k"}},
		"the anchor in use":    {"a: &x 1\nb: *x\n", []any{"a"}},
		"a file of two":        {"a: 1\n---\nb: 1\n", []any{"a"}},
		"malformed":            {"a: [\n", []any{"a"}},
		"a list, not an entry": {"- a\n", []any{"a"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got, err := Set([]byte(tt.doc), tt.path, "new"); err == nil {
				t.Errorf("Set gave\n%s\nwant an error", got)
			}
		})
	}
}

func TestUnset(t *testing.T) {
	tests := map[string]struct {
		doc  string
		path []any
		want string
	}{
		"scalar and emptied maps": {file, []any{"global", "database", "mongo", "host"}, "-  database:\n-    mongo:\n-      # Routers.\n-      host: 'mongo1:27017'   # quoted"},
		"one of two":              {"a:\n  b: 1 # x\n  # y\n  c: 2\n", []any{"a", "b"}, "-  b: 1 # x"},
		"only key":                {"# head\na: 1\n", []any{"a"}, "-a: 1"},
		"flow":                    {file, []any{"global", "public", "ui"}, "-  public: {api: \"https://a\", ui: \"\"}\n+  public: {api: \"https://a\"}"},
		"first key of an element": {file, []any{"services", "squall", "routes", 0, "host"}, "-      - host: a.example.com # first\n-        path: /\n+      - path: /"},
		"element":                 {file, []any{"services", "squall", "routes", 0}, "-      - host: a.example.com # first\n-        path: /"},
		"last element":            {"a:\n  - 1\nb: 1\n", []any{"a", 0}, "-a:\n-  - 1"},
		"block scalar":            {file, []any{"services", "squall", "script"}, "-    script: |\n-      # first\n-\n-      echo hi"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, found, err := Unset([]byte(tt.doc), tt.path)
			if err != nil || !found {
				t.Fatal(found, err)
			}
			if d := diff(tt.doc, string(got)); d != tt.want {
				t.Errorf("changed lines:\n%s\nwant:\n%s\nfile:\n%s", d, tt.want, got)
			}
		})
	}
	if got, found, err := Unset([]byte(file), []any{"no", "such"}); found || err != nil || string(got) != file {
		t.Errorf("unset of nothing: found %v, %v\n%s", found, err, got)
	}
}

// diff returns the lines that differ between the common head and the common tail, old ones with "-", new ones with "+".
func diff(before, after string) string {
	a, b := strings.SplitAfter(before, "\n"), strings.SplitAfter(after, "\n")
	for len(a) > 0 && len(b) > 0 && a[0] == b[0] {
		a, b = a[1:], b[1:]
	}
	for len(a) > 0 && len(b) > 0 && a[len(a)-1] == b[len(b)-1] {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	var lines []string
	for _, l := range a {
		if l != "" {
			lines = append(lines, "-"+strings.TrimRight(l, "\n"))
		}
	}
	for _, l := range b {
		if l != "" {
			lines = append(lines, "+"+strings.TrimRight(l, "\n"))
		}
	}
	return strings.Join(lines, "\n")
}
