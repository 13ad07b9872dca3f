package charts_test

import (
	"bytes"
	"cmp"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"sigs.k8s.io/yaml"

	"github.com/aporeto-inc/kubectl-aporeto/charts"
)

var update = flag.Bool("update", false, "rewrite the golden renders and the charts' README files")

// TestGolden renders testdata/<chart>-<case>.values.yaml and compares the objects with the golden file beside it.
func TestGolden(t *testing.T) {
	for _, file := range valuesFiles(t) {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".values.yaml"), func(t *testing.T) {
			got, err := render(t, chartOf(file), readValues(t, file))
			if err != nil {
				t.Fatal(err)
			}
			again, err := render(t, chartOf(file), readValues(t, file))
			if err != nil {
				t.Fatal(err)
			}
			if got != again {
				t.Error("two renders of the same values differ")
			}
			golden := strings.TrimSuffix(file, ".values.yaml") + ".golden.yaml"
			compareOrUpdate(t, golden, []byte(got))
		})
	}
}

// TestRefused holds the messages for values that must stop a render; nothing is ignored in silence.
func TestRefused(t *testing.T) {
	const facts = "global: {environment: e, zone: z, database: {mongo: {host: 'm:27017'}}}\n"
	const ports = "ports: [{name: http, containerPort: 8080}]"
	tests := []struct {
		name, chart, values, want string
	}{
		{"no environment", charts.ControlPlane, "global: {zone: z, database: {mongo: {host: m}}}", "global.environment is required"},
		{"no zone", charts.ControlPlane, "global: {environment: e, database: {mongo: {host: m}}}", "global.zone is required"},
		{"no routers", charts.ControlPlane, "global: {environment: e, zone: z}", "global.database.mongo.host is required"},
		{"routers as a URI", charts.ControlPlane, "global: {database: {mongo: {host: 'mongodb://m/'}}}", "/global/database/mongo/host"},
		{"held without a command", charts.ControlPlane, facts + "services: {s: {image: i, activeOnly: true}}", "services.s.command is required with activeOnly"},
		{"held on the holder's port", charts.ControlPlane, facts + "services: {s: {image: i, activeOnly: true, command: [x], ports: [{containerPort: 9091}]}}", "containerPort 9091"},
		{"held with another probe", charts.ControlPlane, facts + "services: {s: {image: i, activeOnly: true, command: [x], probes: {liveness: {grpc: {port: 1}}}}}", "services.s.probes.liveness: a held service's probes are"},
		{"held with a probe of no port", charts.ControlPlane, facts + "services: {s: {image: i, activeOnly: true, command: [x], probes: {liveness: {tcpSocket: {port: web}}}}}", `services.s.probes.liveness: the service has no port "web"`},
		{"in-cluster database of two zones", charts.ControlPlane, "global: {environment: e, zone: z, zones: 2, database: {mongo: {host: m}}}\nmongodb-shard: {enabled: true, image: {repository: i}}", "kubectl aporeto value set enabled false mongodb-shard"},
		{"in-cluster database without an image", charts.ControlPlane, facts + "mongodb-shard: {enabled: true}", "mongodb-shard.image.repository is required"},
		{"in-cluster database of an even number", charts.ControlPlane, facts + "mongodb-shard: {enabled: true, image: {repository: i}, config: {replicas: 2}}", "/mongodb-shard/config/replicas"},
		{"version as a number", charts.ControlPlane, facts + "mongodb-shard: {enabled: true, image: {repository: i}, version: 4.0}", "/mongodb-shard/version"},
		{"version too old", charts.ControlPlane, facts + "mongodb-shard: {enabled: true, image: {repository: i}, version: '3.6'}", "/mongodb-shard/version"},
		{"no image", charts.ControlPlane, facts + "services: {s: {}}", "services.s.image is required"},
		{"image in upper case", charts.ControlPlane, facts + "services: {s: {image: 'Ledger:1'}}", "/services/s/image"},
		{"image with two tags", charts.ControlPlane, facts + "services: {s: {image: {repository: 'a/s:1', tag: '2'}}}", `services.s.image: "a/s:1:2" is not the name of an image`},
		{"image with a blank", charts.ControlPlane, facts + "services: {s: {image: 's:1 '}}", "/services/s/image"},
		{"agent's image as a URL", charts.AutoMaintenance, "endpoint: https://a.example\nglobal: {environment: e, zone: z, database: {mongo: {host: m}}, agent: {image: {repository: 'https://r/a'}}}", "/global/agent/image/repository"},
		{"registry that is none", charts.ControlPlane, "global: {environment: e, zone: z, database: {mongo: {host: m}}, imageRegistry: a..b}\nservices: {s: {image: s}}", `services.s.image: "a..b/s" is not the name of an image`},
		{"in-cluster database's image", charts.ControlPlane, facts + "mongodb-shard: {enabled: true, image: {repository: mongo, tag: '4 2'}}", "/mongodb-shard/image/tag"},
		{"route without port", charts.ControlPlane, facts + "services: {s: {image: i, routes: [{path: /}]}}", `services.s.routes[0]: service "s" has no ports`},
		{"route to unknown port", charts.ControlPlane, facts + "services: {s: {image: i, " + ports + ", routes: [{port: 81}]}}", `services.s.routes[0].port: service "s" has no port "81"`},
		{"route with a URL for host", charts.ControlPlane, facts + "services: {s: {image: i, " + ports + ", routes: [{host: 'https://a'}]}}", `services.s.routes[0].host: "https://a" is not a host name`},
		{"one route, two services", charts.ControlPlane, facts + "services: {a: {image: i, " + ports + ", routes: [{path: /x}]}, b: {image: i, " + ports + ", routes: [{path: /x/}]}}", `services.b.routes[0]: host "" and path "/x/" are already routed by service "a"`},
		{"unknown key", charts.ControlPlane, facts + "gatway: {}", "gatway"},
		{"unknown key of a service", charts.ControlPlane, facts + "services: {s: {image: i, replica: 2}}", "replica"},
		{"two problems", charts.ControlPlane, "services: {s: {}}", "global.zone is required: the zone's name (kubectl aporeto sets it by itself)\nglobal.database.mongo.host is required: the MongoDB routers, as host:port,host:port\nservices.s.image"},
		{"zone's name", charts.ControlPlane, "global: {zone: a_b}", "/global/zone"},
		{"no endpoint", charts.AutoMaintenance, facts, "auto-maintenance.endpoint is required"},
		{"endpoint in plain text", charts.AutoMaintenance, facts + "endpoint: http://a.example", "/endpoint"},
		{"threshold above samples", charts.AutoMaintenance, facts + "endpoint: https://a.example\nthreshold: 6", "6 of 5 samples can never agree"},
		{"certificates are no values", charts.ControlPlane, "global: {certs: {ca: {system: {pass: x}}}}", "certs"},
	}
	for _, name := range []string{
		"admin", "config", "local", "external", "aporeto_ha", "shared_zoning", "gateway", "maintenance", "auto-maintenance",
		"aporeto-gateway", "control-plane", "global", "mongodb-shard", "gateway-a", "maintenance-a", "aporeto-gateway-status",
		"mongodb-shard-data", "default", "kubernetes", "Upper", "a_b", "-a", "9a", strings.Repeat("a", 64),
	} {
		tests = append(tests, struct{ name, chart, values, want string }{
			"service named " + name, charts.ControlPlane, facts + fmt.Sprintf("services: {%q: {image: i}}", name), fmt.Sprintf("invalid propertyName '%s'", name),
		})
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var values map[string]any
			if err := yaml.Unmarshal([]byte(test.values), &values); err != nil {
				t.Fatal(err)
			}
			_, err := render(t, test.chart, values)
			if err == nil {
				t.Fatalf("rendered; want an error with %q", test.want)
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %q\nwant %q in it", err, test.want)
			}
		})
	}
}

// TestImageNames renders images as registries name them.
func TestImageNames(t *testing.T) {
	digest := "sha256:" + strings.Repeat("0a", 32)
	for _, image := range []string{
		"s", "s:1", "a/b/s:v1.2-x_y", "localhost/s", "localhost:5000/a/s:1", "REG.example.com/a.b__c-d---e/s@" + digest, "10.0.0.1:5000/s:1@" + digest, "[::1]:5000/s",
	} {
		values := map[string]any{
			"global":   map[string]any{"environment": "e", "zone": "z", "database": map[string]any{"mongo": map[string]any{"host": "m:27017"}}},
			"services": map[string]any{"s": map[string]any{"image": image}},
		}
		if got, err := render(t, charts.ControlPlane, values); err != nil || !strings.Contains(got, image) {
			t.Errorf("%s: %v", image, err)
		}
	}
}

// TestSameInBothCharts: what the charts share is the same text, so that one cannot drift from the other.
func TestSameInBothCharts(t *testing.T) {
	for _, name := range []string{"templates/_common.tpl", "templates/extra.yaml"} {
		if !bytes.Equal(read(t, charts.ControlPlane, name), read(t, charts.AutoMaintenance, name)) {
			t.Errorf("%s differs between the charts", name)
		}
	}
	type part struct {
		Global map[string]any `json:"global"`
	}
	type schema struct {
		Defs part `json:"$defs"`
	}
	var cp, am part
	unmarshal(t, read(t, charts.ControlPlane, "values.yaml"), &cp)
	unmarshal(t, read(t, charts.AutoMaintenance, "values.yaml"), &am)
	if got, want := fmt.Sprint(am.Global), fmt.Sprint(cp.Global); got != want {
		t.Errorf("defaults of global differ:\n%s\n%s", got, want)
	}
	var cpSchema, amSchema schema
	unmarshal(t, read(t, charts.ControlPlane, "values.schema.json"), &cpSchema)
	unmarshal(t, read(t, charts.AutoMaintenance, "values.schema.json"), &amSchema)
	if got, want := fmt.Sprint(amSchema.Defs.Global), fmt.Sprint(cpSchema.Defs.Global); got != want || len(cpSchema.Defs.Global) == 0 {
		t.Errorf("schemas of global differ:\n%s\n%s", got, want)
	}
}

// TestTemplatesAreDeterministic: nothing that reads the cluster, the clock or chance, so that render works offline and twice the same.
func TestTemplatesAreDeterministic(t *testing.T) {
	forbidden := regexp.MustCompile(`\b(lookup|now|ago|rand\w*|shuffle|uuidv4|gen[A-Z]\w*|htpasswd|bcrypt|derivePassword|getHostByName|Capabilities)\b`)
	action := regexp.MustCompile(`(?s)\{\{-?\s*/\*.*?\*/|\{\{.*?\}\}`)
	for _, name := range []string{charts.ControlPlane, charts.AutoMaintenance} {
		for _, file := range load(t, name).Templates {
			for _, code := range action.FindAllString(string(file.Data), -1) {
				if word := forbidden.FindString(code); word != "" && !strings.Contains(code, "/*") {
					t.Errorf("%s/%s uses %s", name, file.Name, word)
				}
			}
		}
	}
}

// render renders a chart as Helm does, schema included, and returns its objects in a fixed order. NOTES.txt is left out.
func render(t *testing.T, name string, values map[string]any) (string, error) {
	t.Helper()
	c := load(t, name)
	options := chartutil.ReleaseOptions{Name: name, Namespace: "aporeto", Revision: 1, IsInstall: true}
	all, err := chartutil.ToRenderValues(c, values, options, chartutil.DefaultCapabilities)
	if err != nil {
		return "", err
	}
	rendered, err := engine.Engine{Strict: true}.Render(c, all)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	for _, file := range slices.Sorted(maps.Keys(rendered)) {
		text := strings.TrimSpace(rendered[file])
		if path.Base(file) == "NOTES.txt" || text == "" {
			continue
		}
		fmt.Fprintf(&out, "---\n# Source: %s\n%s\n", file, strings.TrimSpace(strings.TrimPrefix(text, "---")))
	}
	return out.String(), nil
}

func load(t *testing.T, name string) *chart.Chart {
	t.Helper()
	var files []*loader.BufferedFile
	err := fs.WalkDir(charts.FS, name, func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := fs.ReadFile(charts.FS, file)
		files = append(files, &loader.BufferedFile{Name: strings.TrimPrefix(file, name+"/"), Data: data})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	c, err := loader.LoadFiles(files)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func read(t *testing.T, chart, file string) []byte {
	t.Helper()
	data, err := fs.ReadFile(charts.FS, path.Join(chart, file))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func unmarshal(t *testing.T, data []byte, into any) {
	t.Helper()
	if err := yaml.Unmarshal(data, into); err != nil {
		t.Fatal(err)
	}
}

func valuesFiles(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/*.values.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no value sets in testdata: %v", cmp.Or(err, fs.ErrNotExist))
	}
	return files
}

func chartOf(file string) string {
	if strings.HasPrefix(filepath.Base(file), charts.AutoMaintenance+"-") {
		return charts.AutoMaintenance
	}
	return charts.ControlPlane
}

func readValues(t *testing.T, file string) map[string]any {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var values map[string]any
	unmarshal(t, data, &values)
	return values
}

// compareOrUpdate holds a generated file to what is committed; -update writes it instead.
func compareOrUpdate(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v (go test ./charts -update writes it)", err)
	}
	if bytes.Equal(got, want) {
		return
	}
	gotLines, wantLines := strings.Split(string(got), "\n"), strings.Split(string(want), "\n")
	for i := range max(len(gotLines), len(wantLines)) {
		g, w := at(gotLines, i), at(wantLines, i)
		if g != w {
			t.Fatalf("%s, line %d (go test ./charts -update rewrites it)\n got %q\nwant %q", file, i+1, g, w)
		}
	}
}

func at(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return "<end of file>"
}
