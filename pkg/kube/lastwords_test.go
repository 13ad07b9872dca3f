package kube

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func TestSpeaker(t *testing.T) {
	for name, tc := range map[string]struct {
		pods []string
		want speaker
	}{
		"all is well":     {[]string{pod("a", "app: ledger", `{containerStatuses: [{name: c, ready: true, state: {running: {}}}]}`)}, speaker{}},
		"never ran":       {[]string{pod("a", "app: ledger", `{containerStatuses: [{name: c, ready: false, state: {waiting: {reason: ErrImagePull}}}]}`)}, speaker{}},
		"another's":       {[]string{pod("a", "app: other", `{containerStatuses: [{name: c, ready: false, state: {running: {}}}]}`)}, speaker{}},
		"runs, not ready": {[]string{pod("b", "app: ledger", `{containerStatuses: [{name: c, ready: false, state: {running: {}}}]}`)}, speaker{"b", "c"}},
		"crashes": {[]string{pod("a", "app: ledger", `{containerStatuses: [{name: side, ready: true, state: {running: {}}}, {name: c, ready: false, state: {waiting: {reason: CrashLoopBackOff}}, lastState: {terminated: {exitCode: 1}}}]}`)},
			speaker{"a", "c"}},
		"its init container failed": {[]string{pod("a", "app: ledger", `{initContainerStatuses: [{name: i, ready: false, state: {terminated: {exitCode: 1, reason: Error}}}], containerStatuses: [{name: c, ready: false, state: {waiting: {reason: PodInitializing}}}]}`)},
			speaker{"a", "i"}},
		"its init container did its work": {[]string{pod("a", "app: ledger", `{initContainerStatuses: [{name: i, ready: true, state: {terminated: {reason: Completed}}}], containerStatuses: [{name: c, ready: false, state: {running: {}}}]}`)},
			speaker{"a", "c"}},
	} {
		t.Run(name, func(t *testing.T) {
			var pods []*unstructured.Unstructured
			for _, p := range tc.pods {
				pods = append(pods, parse(t, p))
			}
			if got, is := speakerOf(parse(t, ledger), pods); got != tc.want || is != (tc.want != speaker{}) {
				t.Errorf("got %+v %v", got, is)
			}
		})
	}
}

func TestInShort(t *testing.T) {
	for line, want := range map[string]string{
		"panic:  no\tdatabase\n": "panic: no database",
		`{"time":"…","level":"WARN","msg":"database operation failed","error":"x509: unknown\nauthority"}`: "database operation failed: x509: unknown authority",
		`{"message":"starting"}`: "starting",
		`{"n":1}`:                `{"n":1}`,
		"":                       "",
		strings.Repeat("é", 401): strings.Repeat("é", 400) + "…",
	} {
		if got := inShort(line); got != want {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
}
