//go:build e2e

package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	namespace = "aporeto-svcs"
	endpoint  = "https://api.sandbox.test"

	// A CronJob starts within a minute; then N probes, the dwell, and the wait of the first claim.
	firstOpening = 3 * time.Minute
	swap         = 90 * time.Second
)

// names are the zones' names in the environment, by their contexts.
var names = map[string]string{"zone-a": "default", "zone-b": "passive"}

// services are the ledger behind the gateway, and the same program as a worker that is held.
const services = `
services:
  ledger:
    image: registry.local/ledger:dev
    ports: [{name: http, port: 80, containerPort: 8080}]
    probes:
      readiness: {httpGet: {path: /healthz, port: http}, periodSeconds: 1}
    routes: [{path: /}]
  worker:
    image: registry.local/ledger:dev
    command: [/ledger]
    args: [work]
    activeOnly: true
`

type deployReport struct {
	Kind  string
	Items []struct {
		Zone     string
		Result   string
		Error    string
		Hint     string
		Releases []struct {
			Name, Action string
			Revision     int
		}
		Secrets struct{ Changed []string }
	}
}

func parseReport(t *testing.T, text string) deployReport {
	t.Helper()
	var report deployReport
	if err := json.Unmarshal([]byte(text), &report); err != nil {
		t.Fatalf("deploy report: %v\n%s", err, text)
	}
	return report
}

func (l *lab) findPlugin(t *testing.T) {
	r := l.exec(t, "kubectl", "plugin", "list")
	if want := filepath.Join(l.repo, "bin/kubectl-aporeto"); !strings.Contains(r.stdout, want) {
		t.Fatalf("kubectl plugin list does not name %s:\n%s%s", want, r.stdout, r.stderr)
	}
	if l.must(t, "version") == "" {
		t.Error("version prints nothing")
	}
}

func (l *lab) environment(t *testing.T) {
	l.must(t, "init", ".")
	if r := l.aporeto(t, "zone", "add", "passive", "--context", "nowhere", "--namespace", namespace); r.code != 1 || !strings.Contains(r.stderr, "zone-b") {
		t.Errorf("an unknown context: exit %d, %s", r.code, r.stderr)
	}
	l.must(t, "zone", "add", "passive", "--context", "zone-b", "--namespace", namespace)
	if names := l.must(t, "zone", "list", "-o", "name"); names != "zone/default\nzone/passive\n" {
		t.Errorf("zones: %q", names)
	}
	for _, kv := range [][]string{
		{"global.database.mongo.host", "10.90.0.50:27017,10.90.0.50:27018", "override"},
		{"enabled", "false", "mongodb-shard", "override"},
		{"global.agent.image.repository", "registry.local/aporeto-agent"},
		{"global.agent.image.tag", "dev"},
		{"gateway.service.type", "NodePort"},
		{"gateway.service.nodePort", "443"},
		{"gateway.replicas", "2"},
		// A websocket that stays costs the whole drain at a planned switch: not ten seconds of every one here.
		{"gateway.drain", "1s"},
		{"global.public.api", "https://a.sandbox.test", "override", "--zone", "default"},
		{"global.public.api", "https://b.sandbox.test", "global", "override", "--zone", "PASSIVE"},
	} {
		l.must(t, append([]string{"value", "set"}, kv...)...)
	}
	if r := l.aporeto(t, "value", "set", "gateway.replcas", "3"); r.code == 0 || !strings.Contains(r.stderr, "gateway.replicas") {
		t.Errorf("a misspelled key: exit %d, %s", r.code, r.stderr)
	}
	file := filepath.Join(l.env, "conf.d/values.yaml")
	values, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, append(values, services...), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := l.must(t, "value", "get", "services.ledger.image", "--zone", "passive"); got != "registry.local/ledger:dev\n" {
		t.Errorf("value get: %q", got)
	}
}

func (l *lab) certificates(t *testing.T) {
	l.must(t, "pki", "init")
	for _, leaf := range []string{"mongodb-admin", "mongodb-router", "gateway-default", "gateway-passive", "maintenance-default", "maintenance-passive"} {
		r := l.run(t, time.Minute, "openssl", "verify", "-CAfile", "certs/ca-root-cert.pem", "-untrusted", "certs/ca-signing-system-cert.pem", "certs/"+leaf+"-cert.pem")
		if r.code != 0 {
			t.Errorf("openssl verify %s: %s%s", leaf, r.stdout, r.stderr)
		}
	}
	before := l.run(t, time.Minute, "sha256sum", "-b", "certs/mongodb-router-cert.pem", "certs/ca-root-cert.pem").stdout
	l.must(t, "pki", "init")
	if after := l.run(t, time.Minute, "sha256sum", "-b", "certs/mongodb-router-cert.pem", "certs/ca-root-cert.pem").stdout; after != before {
		t.Error("a second pki init reissued certificates")
	}
	l.sandbox(t, "database", l.env)
}

func (l *lab) deployBoth(t *testing.T) {
	// In zone-a, the cluster itself refuses what is not "restricted".
	r := l.exec(t, "kubectl", "--context", "zone-a", "create", "namespace", namespace)
	if r.code != 0 {
		t.Fatal(r.stderr)
	}
	if r = l.exec(t, "kubectl", "--context", "zone-a", "label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted"); r.code != 0 {
		t.Fatal(r.stderr)
	}
	l.sandbox(t, "record", "zone-a")
	report := parseReport(t, l.must(t, "deploy", "--all-zones", "--auto-maintenance", endpoint, "-o", "json"))
	if report.Kind != "DeployReport" || len(report.Items) != 2 {
		t.Fatalf("report %+v", report)
	}
	for _, zone := range report.Items {
		if zone.Result != "deployed" || len(zone.Releases) != 2 {
			t.Errorf("zone %s: %+v", zone.Zone, zone)
		}
	}
	for _, zone := range []string{"zone-a", "zone-b"} {
		if out := l.kubectl(t, zone, "get", "cronjob", "auto-maintenance", "-o", "jsonpath={.spec.concurrencyPolicy}"); out != "Forbid" {
			t.Errorf("%s: CronJob %q", zone, out)
		}
	}
}

func (l *lab) oneServes(t *testing.T) {
	awaitCodes(t, firstOpening, map[string]int{"zone-a": 200, "zone-b": 423})
	code, body := ask("zone-b", "/")
	var problems []struct {
		Code           int
		Title, Subject string
	}
	if err := json.Unmarshal([]byte(body), &problems); err != nil || len(problems) != 1 || problems[0].Code != 423 || problems[0].Subject != "gateway" {
		t.Errorf("zone-b: %d %s", code, body)
	}
	await(t, 10*time.Second, "the 423 names the active zone's URL", func() bool {
		_, body := ask("zone-b", "/")
		return strings.Contains(body, "https://a.sandbox.test")
	})
	list := l.must(t, "zone", "list")
	for line := range strings.Lines(list) {
		fields := strings.Fields(line)
		if fields[0] == "default" && fields[1] != "*" || fields[0] == "passive" && fields[1] == "*" {
			t.Errorf("zone list:\n%s", list)
		}
	}
}

func (l *lab) secondDeploy(t *testing.T, _, _ string) {
	report := parseReport(t, l.must(t, "deploy", "--all-zones", "-o", "json"))
	for _, zone := range report.Items {
		if zone.Result != "unchanged" || len(zone.Secrets.Changed) > 0 {
			t.Errorf("zone %s: %+v", zone.Zone, zone)
		}
		for _, release := range zone.Releases {
			if release.Revision != 1 {
				t.Errorf("zone %s: release %s has revision %d", zone.Zone, release.Name, release.Revision)
			}
		}
	}
}

func (l *lab) putBack(t *testing.T, _, to string) {
	l.kubectl(t, to, "delete", "secret", "aporeto-mongodb-ledger")
	l.kubectl(t, to, "delete", "configmap", "aporeto-gateway")
	report := parseReport(t, l.must(t, "deploy", "--zone", names[to], "-o", "json"))
	if len(report.Items) != 1 || report.Items[0].Result != "deployed" {
		t.Fatalf("report %+v", report)
	}
	l.kubectl(t, to, "get", "secret", "aporeto-mongodb-ledger")
	l.kubectl(t, to, "get", "configmap", "aporeto-gateway")
}

// cutDuringDeploy cuts the passive zone off while a deploy goes on: the other zone finishes, and the exit code says so.
func (l *lab) cutDuringDeploy(t *testing.T, from, to string) {
	l.must(t, "value", "set", "services.ledger.podAnnotations.e2e", strconv.FormatInt(time.Now().Unix(), 10)+"s") // another one in every run
	cut := make(chan struct{})
	began := time.Now()
	go func() {
		defer close(cut)
		time.Sleep(2 * time.Second)
		l.run(t, time.Minute, filepath.Join(l.repo, "hack/sandbox"), "cut", to)
	}()
	r := l.aporeto(t, "deploy", "--all-zones", "-o", "json", "--timeout", "60s")
	t.Logf("deploy with one zone cut off took %.1f s", time.Since(began).Seconds())
	<-cut
	report := parseReport(t, r.stdout)
	if r.code != 4 || len(report.Items) != 2 {
		t.Fatalf("exit %d, report %+v\n%s", r.code, report, r.stderr)
	}
	for _, zone := range report.Items {
		switch {
		case zone.Zone == names[to] && (zone.Result != "failed" || zone.Error == "" || zone.Hint == ""):
			t.Errorf("the zone cut off: %+v", zone)
		case zone.Zone == names[from] && zone.Result != "deployed":
			t.Errorf("the other zone: %+v", zone)
		}
	}
	l.sandbox(t, "heal", to)
	// The deploy could not give its lock back through the cut: the next one waits until it runs out.
	if r = l.aporeto(t, "deploy", "--all-zones", "-o", "json"); r.code != 0 {
		t.Fatalf("after the heal: exit %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	for _, zone := range parseReport(t, r.stdout).Items {
		if want := map[string]string{names[from]: "unchanged", names[to]: "deployed"}[zone.Zone]; zone.Result != want {
			t.Errorf("after the heal: %+v, not %s", zone, want)
		}
	}
	awaitCodes(t, swap, map[string]int{to: 423, from: 200})
}

func (l *lab) manifest(t *testing.T, _, to string) {
	text := l.must(t, "maintenance", "manifest", endpoint, "--zone", names[to])
	file := filepath.Join(t.TempDir(), "job.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	l.kubectl(t, to, "apply", "--dry-run=server", "-f", file)
}
