package values

import (
	"reflect"
	"strings"
	"testing"
)

func layer(t *testing.T, name, text string) Layer {
	t.Helper()
	l, err := ParseLayer(name, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func path(t *testing.T, key string) Path {
	t.Helper()
	p, err := ParsePath(key)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPath(t *testing.T) {
	for key, want := range map[string]Path{
		"a":                 {"a"},
		"a.b.c":             {"a", "b", "c"},
		`a.b\.c/d`:          {"a", "b.c/d"},
		`a\\.b`:             {`a\`, "b"},
		"a[0].b[12][3]":     {"a", 0, "b", 12, 3},
		`a\[0]`:             {"a[0]"},
		"mongodb-shard.é x": {"mongodb-shard", "é x"},
	} {
		got, err := ParsePath(key)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("ParsePath(%q) = %#v, %v; want %#v", key, got, err, want)
		}
		if got.String() != key {
			t.Errorf("%#v prints as %q, want %q", got, got.String(), key)
		}
	}
	for _, key := range []string{"", ".", "a.", ".a", "a..b", "[0]", "a[", "a[x]", "a[-1]", "a[0]b", `a\`, "a.[0]", "a[99999999999]"} {
		if got, err := ParsePath(key); err == nil {
			t.Errorf("ParsePath(%q) = %#v, want an error", key, got)
		}
	}
}

func TestLiteral(t *testing.T) {
	// As Helm's strvals gives them.
	for word, want := range map[string]any{
		"true": true, "True": true, "FALSE": false, "null": nil, "Null": nil, "0": int64(0), "7": int64(7), "-7": int64(-7), "+7": int64(7),
		"": "", "007": "007", "00": "00", "1.5": "1.5", "1e3": "1e3", "yes": "yes", "0x1F": "0x1F", "9223372036854775808": "9223372036854775808",
		"a,b": "a,b", "{a,b}": "{a,b}", "a=b": "a=b", "~": "~",
	} {
		if got := Literal(word); got != want {
			t.Errorf("Literal(%q) = %#v, want %#v", word, got, want)
		}
	}
}

func TestMerge(t *testing.T) {
	tests := map[string]struct {
		layers []string
		want   string
	}{
		"maps merge":                    {[]string{"a: {x: 1, y: 2}", "a: {y: 3, z: 4}"}, "a: {x: 1, y: 3, z: 4}"},
		"lists replace":                 {[]string{"a: [1, 2]", "a: [3]"}, "a: [3]"},
		"empty list replaces":           {[]string{"a: [1, 2]", "a: []"}, "a: []"},
		"empty map keeps":               {[]string{"a: {x: 1}", "a: {}"}, "a: {x: 1}"},
		"null deletes":                  {[]string{"a: {x: 1, y: 2}", "a: {x: null}"}, "a: {y: 2}"},
		"null deletes a map":            {[]string{"a: {x: 1}\nb: 1", "a: null"}, "b: 1"},
		"set again after null":          {[]string{"a: {x: 1, y: 1}", "a: null", "a: {y: 2}"}, "a: {y: 2}"},
		"scalar over map":               {[]string{"a: {x: 1}", "a: 5"}, "a: 5"},
		"map over scalar":               {[]string{"a: 5", "a: {x: 1}"}, "a: {x: 1}"},
		"a null in a list stays":        {[]string{"a: [null, 1]"}, "a: [null, 1]"},
		"old YAML booleans as Helm's":   {[]string{"a: yes\nb: 'yes'"}, "a: true\nb: 'yes'"},
		"dates are text, as for Helm's": {[]string{"a: 2020-01-01"}, "a: '2020-01-01'"},
		"big integers keep their value": {[]string{"a: 9007199254740993"}, "a: 9007199254740993"},
		"comments only":                 {[]string{"# nothing", "a: 1"}, "a: 1"},
		"anchors and merge keys":        {[]string{"a: &x {k: 1}\nb:\n  <<: *x\n  l: 2"}, "a: {k: 1}\nb: {k: 1, l: 2}"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var layers []Layer
			for _, l := range tt.layers {
				layers = append(layers, layer(t, "l", l))
			}
			if got, want := Merge(layers...).Values(), layer(t, "want", tt.want).Values; !reflect.DeepEqual(got, want) {
				t.Errorf("got %#v, want %#v", got, want)
			}
		})
	}
}

func TestMergeSharesNothing(t *testing.T) {
	a, b := layer(t, "a", "m: {l: [{x: 1}]}"), layer(t, "b", "m: {k: {v: 1}}")
	tree := Merge(a, b)
	tree.Values()["m"].(map[string]any)["l"].([]any)[0].(map[string]any)["x"] = "changed"
	cp, _ := tree.Charts()
	cp["m"].(map[string]any)["k"].(map[string]any)["v"] = "changed"
	if got := Merge(a, b).Values(); !reflect.DeepEqual(got, tree.Values()) {
		t.Errorf("a copy was none: %v", tree.Values())
	}
	if _, ok := Merge(a).Lookup(Path{"m", "k"}); ok {
		t.Error("merging changed a layer")
	}
}

func TestOrigin(t *testing.T) {
	tree := Merge(layer(t, "weak", "a: {x: 1, z: 1}\nb: {x: 1}\nc: [1]\nd: {x: 1}"), layer(t, "strong", "a: {z: 2}\nb: 5\nc: [{k: 1}]\nd: null"))
	got := map[string]string{}
	for _, e := range tree.List(nil) {
		got[e.Key] = e.Origin
	}
	want := map[string]string{"a.x": "weak", "a.z": "strong", "b": "strong", "c": "strong"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if e := tree.List(path(t, "c[0].k")); len(e) != 1 || e[0].Origin != "strong" || e[0].Key != "c[0].k" {
		t.Errorf("within a list: %+v", e)
	}
}

// TestWhere: a problem is laid to the layer that holds now, not to one whose word was replaced.
func TestWhere(t *testing.T) {
	tree := Merge(layer(t, "weak", "a: 5\nb: {x: 1}\nc: {x: 1}"), layer(t, "strong", "\na: {x: 1}\nb: 5\nc: {l: [{k: 1}]}"))
	for key, want := range map[string]string{
		"a.x": "strong:2", "a": "strong:2", "a.none": "", "b": "strong:3", "b.x": "strong:3", "c.x": "weak:3", "c.l[0].k": "strong:4", "none": "",
	} {
		if got := tree.whereOf(path(t, key)); got != want {
			t.Errorf("%s: got %q, want %q", key, got, want)
		}
	}
}

func TestParseLayerErrors(t *testing.T) {
	for text, want := range map[string]string{
		"a: 1\nb: c: d\n":            "f.yaml:2: ",
		"a: 1\nb: 1\na: 2\n":         `f.yaml:3: key "a" is given twice`,
		"a: 1\n---\nb: 2\n":          "f.yaml:2: a second YAML document",
		"- a\n":                      "f.yaml:1: the file holds a list, not a map",
		"text\n":                     "f.yaml:1: the file holds a string, not a map",
		"a: {b: 1, c: {d: 1, d: 2}}": `f.yaml:1: key "d" is given twice`,
		"a: *none\n":                 "f.yaml: ",
	} {
		if _, err := ParseLayer("f.yaml", []byte(text)); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
}

func TestCharts(t *testing.T) {
	defaults, err := ChartDefaults([]byte("global: {a: 1, b: 1}\ngateway: {replicas: 2, gone: 1}\n"), []byte("global: {a: 1}\nwindow: 55s\nendpoint: ''\n"))
	if err != nil {
		t.Fatal(err)
	}
	facts := Facts{Environment: "id", Zone: "z", Zones: 2, Generation: 3}
	tree := Merge(append(defaults, layer(t, "conf.d/values.yaml", "global: {b: 2, zone: lie}\ngateway: {gone: null}\nauto-maintenance: {endpoint: https://x}"), facts.Layer())...)
	cp, am := tree.Charts()
	global := map[string]any{"a": int64(1), "b": int64(2), "environment": "id", "zone": "z", "zones": int64(2), "certificates": map[string]any{"generation": int64(3)}}
	// The null stays: Helm must delete the chart's default too.
	if want := (map[string]any{"global": global, "gateway": map[string]any{"replicas": int64(2), "gone": nil}}); !reflect.DeepEqual(cp, want) {
		t.Errorf("control-plane: got %v, want %v", cp, want)
	}
	if want := (map[string]any{"global": global, "window": "55s", "endpoint": "https://x"}); !reflect.DeepEqual(am, want) {
		t.Errorf("auto-maintenance: got %v, want %v", am, want)
	}
}

func TestResolve(t *testing.T) {
	tree := Merge(layer(t, "l", "services: {squall: {image: a}, gateway: {image: b}}"))
	tests := map[[2]string]string{
		{"a.b", ""}:                      "a.b",
		{"a.b", "control-plane"}:         "a.b",
		{"enabled", "mongodb-shard"}:     "mongodb-shard.enabled",
		{"replicas", "gateway"}:          "gateway.replicas",
		{"endpoint", "auto-maintenance"}: "auto-maintenance.endpoint",
		{"public.api", "global"}:         "global.public.api",
		{"global.public.api", "global"}:  "global.public.api",
		{"global", "global"}:             "global.global",
		{"image", "squall"}:              "services.squall.image",
	}
	for in, want := range tests {
		if got, err := tree.Resolve(in[0], in[1]); err != nil || got.String() != want {
			t.Errorf("%v: got %s, %v; want %s", in, got, err, want)
		}
	}
	if _, err := tree.Resolve("image", "squal"); err == nil {
		t.Error("an unknown scope was taken")
	}
}

func TestSetAndUnset(t *testing.T) {
	doc := []byte("# ours\na: {b: 1}\n")
	out, old, err := Set("f.yaml", doc, path(t, "a.b"), int64(2))
	if err != nil || old != int64(1) || string(out) != "# ours\na: {b: 2}\n" {
		t.Errorf("Set: %q, %v, %v", out, old, err)
	}
	out, old, found, err := Unset("f.yaml", out, path(t, "a.b"))
	if err != nil || !found || old != int64(2) || string(out) != "# ours\n" {
		t.Errorf("Unset: %q, %v, %v, %v", out, old, found, err)
	}
	if _, _, err := Set("f.yaml", []byte("a: [\n"), path(t, "a"), "x"); err == nil || !strings.HasPrefix(err.Error(), "f.yaml:") {
		t.Errorf("a malformed file: %v", err)
	}
}
