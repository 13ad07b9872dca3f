package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/environment"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/hint"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/kube"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/zone"
)

// newDesk returns a factory whose world is an empty folder, and what it prints.
func newDesk(t *testing.T, vars map[string]string) (f *Factory, out, errOut *bytes.Buffer) {
	t.Helper()
	dir := t.TempDir()
	out, errOut = &bytes.Buffer{}, &bytes.Buffer{}
	return &Factory{
		IO:            genericiooptions.IOStreams{In: strings.NewReader(""), Out: out, ErrOut: errOut},
		Now:           time.Now,
		Getenv:        func(name string) string { return vars[name] },
		WorkDir:       dir,
		UserConfigDir: func() (string, error) { return filepath.Join(dir, ".config"), nil },
		Version:       "v0.0.0-test",
	}, out, errOut
}

func TestSelected(t *testing.T) {
	env := &environment.Environment{Zones: []zone.Zone{{Name: "default"}, {Name: "Passive"}, {Name: "third"}}}
	tests := map[string]struct {
		flags    zoneFlags
		variable string
		want     string
		exit     int
	}{
		"none":             {zoneFlags{}, "", "", ExitNothing},
		"one":              {zoneFlags{names: []string{"passive"}}, "", "Passive", ExitOK},
		"in order, once":   {zoneFlags{names: []string{"third", "DEFAULT", "third"}}, "", "default third", ExitOK},
		"all":              {zoneFlags{all: true}, "third", "default Passive third", ExitOK},
		"variable":         {zoneFlags{}, "third", "third", ExitOK},
		"flag wins":        {zoneFlags{names: []string{"default"}}, "third", "default", ExitOK},
		"unknown":          {zoneFlags{names: []string{"default", "pasive"}}, "", "", ExitError},
		"unknown variable": {zoneFlags{}, "none", "", ExitError},
		"both":             {zoneFlags{names: []string{"default"}, all: true}, "", "", ExitUsage},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			f, _, _ := newDesk(t, map[string]string{zoneVariable: tt.variable})
			tt.flags.f = f
			zones, err := tt.flags.need(env)
			if got := strings.Join(zone.Names(zones), " "); got != tt.want || ExitCode(err) != tt.exit {
				t.Errorf("got %q, %v (exit %d); want %q, exit %d", got, err, ExitCode(err), tt.want, tt.exit)
			}
			if tt.exit != ExitOK && tt.exit != ExitUsage && hint.Of(err) == "" {
				t.Errorf("no hint: %v", err)
			}
		})
	}
	f, _, _ := newDesk(t, nil)
	if _, err := (&zoneFlags{f: f, all: true}).need(&environment.Environment{}); ExitCode(err) != ExitNothing {
		t.Errorf("no zones at all: %v", err)
	}
}

func TestExitCode(t *testing.T) {
	failed := zone.Failures{{Zone: zone.Zone{Name: "a"}, Err: errors.New("x")}}
	for want, err := range map[int]error{
		ExitOK: nil, ExitError: errors.New("x"), ExitUsage: hint.Wrap(usagef("x"), "y"), ExitNothing: fmt.Errorf("x: %w", errNothing),
		ExitSomeZones: fmt.Errorf("deploy: %w", failed), ExitInterrupted: fmt.Errorf("x: %w", context.Canceled),
	} {
		if got := ExitCode(err); got != want {
			t.Errorf("ExitCode(%v) = %d, want %d", err, got, want)
		}
	}
}

func TestJudge(t *testing.T) {
	said := func(environment, name, state, nonce string) *kube.GatewayAnswer {
		return &kube.GatewayAnswer{Environment: environment, Zone: name, State: state, Nonce: nonce}
	}
	silent := (*kube.GatewayAnswer)(nil)
	for name, tt := range map[string]struct {
		answers []*kube.GatewayAnswer
		want    string
	}{
		"active":              {[]*kube.GatewayAnswer{said("e", "A", "Active", "n")}, "*"},
		"standby":             {[]*kube.GatewayAnswer{said("e", "a", "Standby", "n")}, ""},
		"no gateway":          {nil, ""},
		"other platform":      {[]*kube.GatewayAnswer{said("x", "a", "Active", "n")}, "?"},
		"other zone":          {[]*kube.GatewayAnswer{said("e", "b", "Active", "n")}, "?"},
		"old answer":          {[]*kube.GatewayAnswer{said("e", "a", "Active", "m")}, "?"},
		"no answer at all":    {[]*kube.GatewayAnswer{said("", "", "", "")}, "?"},
		"nobody can be asked": {[]*kube.GatewayAnswer{silent, silent}, "?"},
		"one follows yet":     {[]*kube.GatewayAnswer{said("e", "a", "Locked", "n"), said("e", "a", "Active", "n")}, "*"},
		"one follows later":   {[]*kube.GatewayAnswer{said("e", "a", "Active", "n"), said("e", "a", "Locked", "n")}, "*"},
		"one is silent":       {[]*kube.GatewayAnswer{silent, said("e", "a", "Locked", "n")}, ""},
		"another's beside":    {[]*kube.GatewayAnswer{said("e", "a", "Locked", "n"), said("x", "a", "Active", "n")}, ""},
	} {
		var replicas []kube.GatewayReplica
		for _, answer := range tt.answers {
			replicas = append(replicas, kube.GatewayReplica{Answer: answer})
		}
		if got := mark(judgeAll(replicas, "e", "a", "n").active); got != tt.want {
			t.Errorf("%s: got %q, want %q", name, got, tt.want)
		}
	}
}

func TestScopeOf(t *testing.T) {
	for words, want := range map[string]string{"": "", "override": "", "global override": "global", "override global": "global", "global": "global"} {
		if got, err := scopeOf(strings.Fields(words)); got != want || err != nil {
			t.Errorf("%q: got %q, %v; want %q", words, got, err, want)
		}
	}
	if _, err := scopeOf([]string{"a", "b"}); ExitCode(err) != ExitUsage {
		t.Errorf("two scopes: %v", err)
	}
}

// TestLooksAreBounded has a cluster that takes the request and never answers, and one whose credential plugin does not end with the
// request: both commands must go on after two seconds.
func TestLooksAreBounded(t *testing.T) {
	// The request's context would end with the server only; the channel ends the handlers so that the server can close.
	done := make(chan struct{})
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-done }))
	t.Cleanup(server.Close)
	t.Cleanup(func() { close(done) })
	f, out, errOut := newDesk(t, nil)
	var config strings.Builder
	fmt.Fprintf(&config, "apiVersion: v1\nkind: Config\ncurrent-context: a\nusers:\n- {name: a, user: {}}\n"+
		"- {name: b, user: {exec: {apiVersion: client.authentication.k8s.io/v1, command: sleep, args: ['5'], interactiveMode: Never}}}\nclusters: [{name: c, cluster: {server: %q, insecure-skip-tls-verify: true}}]\ncontexts:\n", server.URL)
	for _, name := range []string{"a", "b"} {
		fmt.Fprintf(&config, "- {name: %[1]s, context: {cluster: c, user: %[1]s}}\n", name)
	}
	kubeconfig := filepath.Join(f.WorkDir, "kubeconfig")
	if err := os.WriteFile(kubeconfig, []byte(config.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) time.Duration {
		t.Helper()
		start := time.Now()
		if code := Main(t.Context(), f, slices.Concat(args, []string{"--kubeconfig", kubeconfig})); code != ExitOK {
			t.Fatalf("%v: exit %d\n%s", args, code, errOut)
		}
		return time.Since(start)
	}
	run("init", ".")
	if took := run("zone", "add", "other", "--context", "b", "--namespace", "ns"); took > 2*lookTime {
		t.Errorf("zone add took %s", took)
	}
	if strings.Count(errOut.String(), "no answer within 2s") != 2 {
		t.Errorf("zone add does not say why, of both: %s", errOut)
	}
	out.Reset()
	if took := run("zone", "list"); took > 2*lookTime {
		t.Errorf("zone list took %s", took)
	}
	if got := strings.Count(out.String(), "?"); got != 2 {
		t.Errorf("%d unknown zones, want 2:\n%s", got, out)
	}
}
