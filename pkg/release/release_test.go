package release

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/aporeto-inc/kubectl-aporeto/charts"
)

func testChart(t *testing.T, templates string) *Chart {
	t.Helper()
	c, err := LoadChart(fstest.MapFS{
		"x/Chart.yaml":            &fstest.MapFile{Data: []byte("apiVersion: v2\nname: x\nversion: 1.2.3\n")},
		"x/values.yaml":           &fstest.MapFile{Data: []byte("a: default\nmap: {one: 1, two: 2}\n")},
		"x/templates/_helper.tpl": &fstest.MapFile{Data: []byte(`{{ define "name" }}{{ .Release.Name }}{{ end }}`)},
		"x/templates/all.yaml":    &fstest.MapFile{Data: []byte(templates)},
	}, "x")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const objects = `
apiVersion: v1
kind: ConfigMap
metadata: {name: '{{ include "name" . }}', namespace: {{ .Release.Namespace }}}
data:
  a: {{ .Values.a | quote }}
  keys: {{ keys .Values.map | sortAlpha | join "," | quote }}
  file: |
    one line
---
{{ if .Values.nothing }}{{ end }}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: second}
`

func TestRender(t *testing.T) {
	values := map[string]any{"a": "set", "map": map[string]any{"three": int64(3), "one": nil}}
	spec := Spec{Name: "rel", Namespace: "ns", Chart: testChart(t, objects), Values: values}
	first, err := Render(t.Context(), spec, Offline())
	if err != nil {
		t.Fatal(err)
	}
	if spec.Chart.Version != "1.2.3" || len(first.Objects) != 2 || first.Objects[0]["kind"] != "ServiceAccount" {
		t.Fatalf("chart %s, objects %v", spec.Chart.Version, first.Objects)
	}
	data := first.Objects[1]["data"].(map[string]any)
	if data["a"] != "set" || data["keys"] != "three,two" || data["file"] != "one line\n" {
		t.Errorf("data %v: a null deletes a default, and a last block scalar keeps its line end", data)
	}
	if len(values) != 2 || len(values["map"].(map[string]any)) != 2 {
		t.Errorf("rendering changed the caller's values: %v", values)
	}
	second, err := Render(t.Context(), spec, Offline())
	if err != nil || second.Text != first.Text {
		t.Errorf("twice is not twice the same: %v", err)
	}
	if !strings.HasPrefix(first.Text, "---\n# Source: x/templates/all.yaml\n") {
		t.Errorf("text begins %.60q", first.Text)
	}
	if _, err := Render(t.Context(), Spec{Name: "rel", Chart: testChart(t, `{{ fail "because" }}`)}, Offline()); err == nil || !strings.Contains(err.Error(), "because") {
		t.Errorf("a chart's refusal: %v", err)
	}
}

// The charts in the binary are loaded whole: without the prefix all: in go:embed their shared templates would be missing.
func TestEmbeddedCharts(t *testing.T) {
	for _, name := range []string{charts.ControlPlane, charts.AutoMaintenance} {
		c, err := LoadChart(charts.FS, name)
		if err != nil {
			t.Fatal(err)
		}
		values := map[string]any{"endpoint": "https://api.example.com", "global": map[string]any{"environment": "0b6e7a52-7f0e-4e6c-9f0f-0d4f0f6a2c11", "zone": "east",
			"database": map[string]any{"mongo": map[string]any{"host": "m:27017"}}}}
		if name == charts.ControlPlane {
			delete(values, "endpoint")
		}
		manifest, err := Render(t.Context(), Spec{Name: name, Namespace: "ns", Chart: c, Values: values}, Offline())
		if err != nil || c.Name != name || len(manifest.Objects) < 3 {
			t.Errorf("%s: %d objects, %v", name, len(manifest.Objects), err)
		}
	}
}

func TestMatches(t *testing.T) {
	spec := Spec{Name: "rel", Namespace: "ns", Chart: testChart(t, objects), Values: map[string]any{"a": "set", "n": int64(1)}}
	rendered, err := Render(t.Context(), spec, Offline())
	if err != nil {
		t.Fatal(err)
	}
	stored := NewStored(spec, rendered, 1)
	stored.values = map[string]any{"a": "set", "n": float64(1)} // as it comes back from the store
	if !stored.Matches(spec, rendered) {
		t.Error("the same does not match")
	}
	otherText, otherValues, otherChart := rendered, spec, spec
	otherText.Text += "\n"
	otherValues.Values = map[string]any{"a": "set", "n": int64(2)}
	otherChart.Chart = &Chart{Name: "x", Version: "1.2.4"}
	if stored.Matches(spec, otherText) || stored.Matches(otherValues, rendered) || stored.Matches(otherChart, rendered) {
		t.Error("another text, other values or another chart match")
	}
	if sameValues(nil, map[string]any{}) == false {
		t.Error("no values are not no values")
	}
}

func TestBounded(t *testing.T) {
	interrupted := errors.New("interrupt signal received")
	for name, tc := range map[string]struct {
		takes time.Duration
		after time.Duration // until it is interrupted
		want  error         // nil: the operation's own result counts
		lasts time.Duration
	}{
		"not interrupted":             {takes: time.Minute, after: time.Hour, lasts: time.Minute},
		"ends in its time of grace":   {takes: 5 * time.Second, after: time.Second, lasts: 5 * time.Second},
		"does not":                    {takes: time.Minute, after: time.Second, want: interrupted, lasts: 11 * time.Second},
		"was interrupted before it":   {takes: time.Second, after: 0, want: interrupted},
		"interrupted at the very end": {takes: time.Second, after: time.Second + time.Millisecond, lasts: time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				if tc.after == 0 {
					cancel(interrupted)
				}
				timer := time.AfterFunc(tc.after, func() { cancel(interrupted) })
				defer timer.Stop()
				begun := time.Now()
				got, err := bounded(ctx, "work", func() (int, error) { time.Sleep(tc.takes); return 7, nil })
				if !errors.Is(err, tc.want) || (tc.want == nil && got != 7) || time.Since(begun) != tc.lasts {
					t.Errorf("got %d, %v after %s", got, err, time.Since(begun))
				}
				time.Sleep(tc.takes) // what was left behind ends before the test does
			})
		})
	}
}
