package kube

import (
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

func parse(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	data, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON(data); err != nil {
		t.Fatal(err)
	}
	return u
}

const ledger = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: ledger}
spec: {replicas: 2, selector: {matchLabels: {app: ledger}}}
`

func pod(name, labels, status string) string {
	return "apiVersion: v1\nkind: Pod\nmetadata: {name: " + name + ", labels: {" + labels + "}}\nstatus: " + status + "\n"
}

func TestDescribe(t *testing.T) {
	const pulling = `{containerStatuses: [{name: c, state: {waiting: {reason: ImagePullBackOff, message: "Back-off pulling\n image x"}}}]}`
	for name, tc := range map[string]struct {
		object string
		pods   []string
		want   string
	}{
		"just begun":            {ledger, nil, "0/2"},
		"creating is no news":   {ledger, []string{pod("a", "app: ledger", `{containerStatuses: [{state: {waiting: {reason: ContainerCreating}}}]}`)}, "0/2"},
		"image":                 {ledger, []string{pod("a", "app: ledger", pulling)}, "0/2 (ImagePullBackOff: Back-off pulling image x)"},
		"another service's pod": {ledger, []string{pod("a", "app: other", pulling)}, "0/2"},
		"init container first": {ledger, []string{pod("a", "app: ledger", `{initContainerStatuses: [{state: {waiting: {reason: CrashLoopBackOff}}}], containerStatuses: [{state: {waiting: {reason: PodInitializing}}}]}`)},
			"0/2 (CrashLoopBackOff)"},
		"no room": {ledger, []string{pod("a", "app: ledger", `{conditions: [{type: PodScheduled, status: "False", reason: Unschedulable, message: "0/1 nodes are available"}]}`)},
			"0/2 (Unschedulable: 0/1 nodes are available)"},
		"an old pod is no ready one": {ledger + "status: {replicas: 3, updatedReplicas: 1, availableReplicas: 3}", nil, "1/2"},
		"no pods allowed": {ledger + `status: {conditions: [{type: ReplicaFailure, status: "True", reason: FailedCreate, message: "violates PodSecurity"}]}`, nil,
			"0/2 (FailedCreate: violates PodSecurity)"},
		"one replica unless said": {"apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: s}\nspec: {}\n", nil, "0/1"},
		"something else":          {"apiVersion: example.com/v1\nkind: Thing\nmetadata: {name: t}\n", nil, "(why kstatus thinks so)"},
	} {
		t.Run(name, func(t *testing.T) {
			var pods []*unstructured.Unstructured
			for _, p := range tc.pods {
				pods = append(pods, parse(t, p))
			}
			if got := describe(parse(t, tc.object), "why kstatus thinks so", pods); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestFirstDifference(t *testing.T) {
	for name, tc := range map[string]struct{ a, b, want string }{
		"equal":             {"a: {b: [1, {c: x}]}", "a: {b: [1, {c: x}]}", ""},
		"deep":              {"a: {b: [1, {c: x}]}", "a: {b: [1, {c: y}]}", "a.b[1].c"},
		"missing":           {"a: {b: 1}", "a: {}", "a.b"},
		"length":            {"a: [1]", "a: [1, 2]", "a"},
		"kind":              {"a: {b: 1}", "a: text", "a"},
		"first in order":    {"b: 1\na: 1", "b: 2\na: 2", "a"},
		"what writes write": {"metadata: {resourceVersion: '1', generation: 1, managedFields: [], labels: {x: y}}\nstatus: {a: 1}", "metadata: {resourceVersion: '2', generation: 2, labels: {x: y}}\nstatus: {a: 2}", ""},
	} {
		t.Run(name, func(t *testing.T) {
			left, right := map[string]any{}, map[string]any{}
			if err := yaml.Unmarshal([]byte(tc.a), &left); err != nil {
				t.Fatal(err)
			}
			if err := yaml.Unmarshal([]byte(tc.b), &right); err != nil {
				t.Fatal(err)
			}
			got := firstDifference(stable(&unstructured.Unstructured{Object: left}), stable(&unstructured.Unstructured{Object: right}), "")
			if got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestSecretsComeBack(t *testing.T) {
	var stream []byte
	for _, s := range []Secret{{Name: "one", Data: map[string][]byte{"k": {0, 1, 255}}}, {Name: "two", Type: "kubernetes.io/tls", Labels: map[string]string{"a": "b"}}} {
		text, err := yaml.Marshal(s.Object("ns"))
		if err != nil {
			t.Fatal(err)
		}
		stream = append(append(stream, "---\n# Source: x\n"...), text...)
	}
	got, err := ParseSecrets(stream)
	if err != nil || len(got) != 2 || string(got["one"]["k"]) != "\x00\x01\xff" {
		t.Errorf("got %v, %v", got, err)
	}
}
