package environment

import (
	"strings"
	"testing"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/hint"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/zone"
)

const id = "0b6e7a52-7f0e-4e6c-9f0f-0d4f0f6a2c11"

const head = "apiVersion: aporeto.io/v1alpha1\nkind: Environment\nid: " + id + "\n"

// twoZones is the file as the platform's users wrote it by hand, with a comment and a key of their own.
const twoZones = head + `# ours
owner: team-a
zones:
- name: default # first
  k8s_context: foo
  k8s_namespace: aporeto-svcs
  owner: team-b

- name: passive
  k8s_context: bar
  k8s_namespace: aporeto-svcs
  cluster_uid: 1f6e7a52-7f0e-4e6c-9f0f-0d4f0f6a2c11
`

func TestParse(t *testing.T) {
	env, err := Parse([]byte(twoZones + "certificates: {generation: 3}\nrecipients: [age1x]\n"))
	if err != nil {
		t.Fatal(err)
	}
	if env.ID != id || env.CertificateGeneration != 3 || len(env.Recipients) != 1 || env.Recipients[0] != "age1x" {
		t.Errorf("got %+v", env)
	}
	want := []zone.Zone{
		{Name: "default", Context: "foo", Namespace: "aporeto-svcs"},
		{Name: "passive", Context: "bar", Namespace: "aporeto-svcs", ClusterUID: "1f6e7a52-7f0e-4e6c-9f0f-0d4f0f6a2c11"},
	}
	if len(env.Zones) != 2 || env.Zones[0] != want[0] || env.Zones[1] != want[1] {
		t.Errorf("zones %+v, want %+v", env.Zones, want)
	}
	if env, err := Parse(New(id)); err != nil || env.ID != id || len(env.Zones) != 0 || env.CertificateGeneration != 1 {
		t.Errorf("a new environment: %+v, %v", env, err)
	}
}

func TestParseNamesEveryProblem(t *testing.T) {
	tests := map[string]struct {
		doc  string
		want []string
	}{
		"empty":        {"", []string{"aporeto.yaml:1: the file is empty"}},
		"comment only": {"# x\n", []string{"aporeto.yaml:1: the file is empty"}},
		"malformed":    {head + "zones: [\n", []string{"aporeto.yaml:4: "}},
		"not a map":    {"- a\n", []string{"aporeto.yaml:1: cannot unmarshal"}},
		"other version": {"apiVersion: aporeto.io/v2\nkind: Environment\nid: " + id + "\n",
			[]string{`aporeto.yaml:1: apiVersion: "aporeto.io/v2", and this version of the plugin reads "aporeto.io/v1alpha1"`}},
		"many": {"apiVersion: aporeto.io/v1alpha1\nkind: Environment\nid: 7\ncertificates: {generation: 0}\nzones:\n- name: a_b\n  k8s_namespace: Upper\n" +
			"- name: x\n  k8s_context: c\n  k8s_namespace: kube-system\n- {name: X, k8s_context: d, k8s_namespace: n}\n- {name: y, k8s_context: d, k8s_namespace: n}\n",
			[]string{
				"8 problems:",
				`aporeto.yaml:3: id: "7" is not a UUID`,
				`aporeto.yaml:4: certificates.generation: "0"`,
				`aporeto.yaml:6: zones[0].name: zone name "a_b" is malformed`,
				"aporeto.yaml:6: zones[0].k8s_context: missing",
				`aporeto.yaml:7: zones[0].k8s_namespace: namespace "Upper" is malformed`,
				`aporeto.yaml:10: zones[1].k8s_namespace: namespace "kube-system" is Kubernetes' own`,
				`aporeto.yaml:11: zone name "X" is taken by zone x`,
				`aporeto.yaml:12: zone "y" is namespace n of context "d", and so is zone X (line 11)`,
			}},
		"one cluster": {head + "zones:\n- {name: a, k8s_context: c, k8s_namespace: n, cluster_uid: u}\n- {name: b, k8s_context: d, k8s_namespace: n, cluster_uid: u}\n",
			[]string{`aporeto.yaml:6: zone "b" is namespace n of the cluster with UID u, and so is zone a (line 5)`}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := Parse([]byte(tt.doc))
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error\n%v\nlacks %q", err, want)
				}
			}
			if hint.Of(err) == "" {
				t.Error("no hint")
			}
		})
	}
}

func TestAddZone(t *testing.T) {
	got, err := AddZone([]byte(twoZones), zone.Zone{Name: "Third", Context: "baz", Namespace: "ns", Kubeconfig: "/k", ClusterUID: "u"})
	if err != nil {
		t.Fatal(err)
	}
	if want := twoZones + "- name: Third\n  k8s_context: baz\n  k8s_namespace: ns\n  kubeconfig: /k\n  cluster_uid: u\n"; string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	first, err := AddZone(New(id), zone.Zone{Name: "default", Context: "123", Namespace: "ns"})
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.Replace(string(New(id)), "zones: []\n", "zones:\n  - name: default\n    k8s_context: \"123\"\n    k8s_namespace: ns\n", 1); string(first) != want {
		t.Errorf("got\n%s\nwant\n%s", first, want)
	}
}

func TestAddZoneRefuses(t *testing.T) {
	uid := "1f6e7a52-7f0e-4e6c-9f0f-0d4f0f6a2c11"
	tests := map[string]struct {
		zone zone.Zone
		want string
	}{
		"taken":              {zone.Zone{Name: "PASSIVE", Context: "baz", Namespace: "ns"}, `"PASSIVE" is taken by zone passive`},
		"malformed":          {zone.Zone{Name: "a.b", Context: "baz", Namespace: "ns"}, `"a.b" is malformed`},
		"namespace":          {zone.Zone{Name: "a", Context: "baz", Namespace: "a.b"}, `namespace "a.b" is malformed`},
		"no namespace":       {zone.Zone{Name: "a", Context: "baz"}, "namespace is missing"},
		"same place":         {zone.Zone{Name: "a", Context: "foo", Namespace: "aporeto-svcs"}, "and so is zone default"},
		"same cluster":       {zone.Zone{Name: "a", Context: "baz", Namespace: "aporeto-svcs", ClusterUID: uid}, "and so is zone passive"},
		"same context only":  {zone.Zone{Name: "a", Context: "foo", Namespace: "other"}, ""},
		"its own kubeconfig": {zone.Zone{Name: "a", Context: "foo", Namespace: "aporeto-svcs", Kubeconfig: "/other"}, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := AddZone([]byte(twoZones), tt.zone)
			if (err == nil) != (tt.want == "") || (err != nil && (!strings.Contains(err.Error(), tt.want) || hint.Of(err) == "")) {
				t.Errorf("got %v (hint %q), want %q and a hint", err, hint.Of(err), tt.want)
			}
		})
	}
}

func TestSetClusterUID(t *testing.T) {
	got, err := SetClusterUID([]byte(twoZones), "DEFAULT", "u")
	if want := strings.Replace(twoZones, "  owner: team-b\n", "  owner: team-b\n  cluster_uid: u\n", 1); err != nil || string(got) != want {
		t.Errorf("%v, got\n%s\nwant\n%s", err, got, want)
	}
	for _, name := range []string{"passive", "none"} {
		if _, err := SetClusterUID([]byte(twoZones), name, "other"); err == nil {
			t.Errorf("zone %s: no error", name)
		}
	}
	if _, err := SetClusterUID([]byte(twoZones), "default", "1f6e7a52-7f0e-4e6c-9f0f-0d4f0f6a2c11"); err == nil {
		t.Error("two zones in one place: no error")
	}
}
