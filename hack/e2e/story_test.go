//go:build e2e

// Package e2e runs the product's main job on two real Kubernetes clusters (hack/sandbox), as its users run it: the real binary through
// kubectl, real pods, a real CronJob in both.
package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
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

const ledger = `
services:
  ledger:
    image: registry.local/ledger:dev
    ports: [{name: http, port: 80, containerPort: 8080}]
    probes:
      readiness: {httpGet: {path: /healthz, port: http}, periodSeconds: 1}
    routes: [{path: /}]
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

// TestStory is one story, in order: each part needs the ones before it.
func TestStory(t *testing.T) {
	l := newLab(t)
	story := []struct {
		name string
		part func(*testing.T)
	}{
		{"kubectl finds the plugin", l.findPlugin},
		{"environment and values", l.environment},
		{"certificates verify with openssl", l.certificates},
		{"deploy to both zones", l.deployBoth},
		{"one zone serves and the other answers 423", l.oneServes},
		{"the roles swap when the record moves", l.rolesSwap},
		{"a second deploy changes nothing", l.secondDeploy},
		{"what is deleted by hand is put back", l.putBack},
		{"a zone cut off during deploy fails alone", l.cutDuringDeploy},
		{"the job's manifest applies", l.manifest},
		{"the serving region is cut off and the record moves", l.regionCut},
		{"the serving gateway is killed", l.gatewayKilled},
		{"nobody answers at the global record", l.endpointUnreachable},
		{"the database is lost and comes back", l.databaseLost},
		{"an operator orders a switch", l.plannedSwitch},
	}
	for _, s := range story {
		if !t.Run(s.name, s.part) {
			t.Fatalf("the story ends at %q", s.name)
		}
	}
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
		{"gateway.replicas", "1"},
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
	if err := os.WriteFile(file, append(values, ledger...), 0o644); err != nil {
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
	code, body := ask(direct("zone-b"), "/")
	var problems []struct {
		Code           int
		Title, Subject string
	}
	if err := json.Unmarshal([]byte(body), &problems); err != nil || len(problems) != 1 || problems[0].Code != 423 || problems[0].Subject != "gateway" {
		t.Errorf("zone-b: %d %s", code, body)
	}
	await(t, 10*time.Second, "the 423 names the active zone's URL", func() bool {
		_, body := ask(direct("zone-b"), "/")
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

func (l *lab) rolesSwap(t *testing.T) {
	check := startChecker()
	time.Sleep(time.Second) // a second of the old order, for the checker to see
	moved := time.Now()
	l.sandbox(t, "record", "zone-b")
	awaitCodes(t, swap, map[string]int{"zone-a": 423, "zone-b": 200})
	t.Logf("swapped %.1f s after the record began to move", time.Since(moved).Seconds())
	t.Logf("gap that a client saw: %.2f s", check.finish(t, "zone-a", "zone-b").Seconds())
}

func (l *lab) secondDeploy(t *testing.T) {
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

func (l *lab) putBack(t *testing.T) {
	l.kubectl(t, "zone-a", "delete", "secret", "aporeto-mongodb-ledger")
	l.kubectl(t, "zone-a", "delete", "configmap", "aporeto-gateway")
	report := parseReport(t, l.must(t, "deploy", "--zone", "default", "-o", "json"))
	if len(report.Items) != 1 || report.Items[0].Result != "deployed" {
		t.Fatalf("report %+v", report)
	}
	l.kubectl(t, "zone-a", "get", "secret", "aporeto-mongodb-ledger")
	l.kubectl(t, "zone-a", "get", "configmap", "aporeto-gateway")
}

// cutDuringDeploy cuts the passive zone off while a deploy goes on: the other zone finishes, and the exit code says so.
func (l *lab) cutDuringDeploy(t *testing.T) {
	l.must(t, "value", "set", "services.ledger.podAnnotations.e2e", "cut")
	cut := make(chan struct{})
	go func() {
		defer close(cut)
		time.Sleep(2 * time.Second)
		l.run(t, time.Minute, filepath.Join(l.repo, "hack/sandbox"), "cut", "zone-a")
	}()
	began := time.Now()
	r := l.aporeto(t, "deploy", "--all-zones", "-o", "json", "--timeout", "60s")
	t.Logf("deploy with one zone cut off took %.1f s", time.Since(began).Seconds())
	<-cut
	report := parseReport(t, r.stdout)
	if r.code != 4 || len(report.Items) != 2 {
		t.Fatalf("exit %d, report %+v\n%s", r.code, report, r.stderr)
	}
	if a := report.Items[0]; a.Result != "failed" || a.Error == "" || a.Hint == "" {
		t.Errorf("the zone cut off: %+v", a)
	}
	if b := report.Items[1]; b.Result != "deployed" {
		t.Errorf("the other zone: %+v", b)
	}
	l.sandbox(t, "heal", "zone-a")
	report = parseReport(t, l.must(t, "deploy", "--all-zones", "-o", "json"))
	if a, b := report.Items[0], report.Items[1]; a.Result != "deployed" || b.Result != "unchanged" {
		t.Errorf("after the heal: %+v", report.Items)
	}
	awaitCodes(t, swap, map[string]int{"zone-a": 423, "zone-b": 200})
}

func (l *lab) manifest(t *testing.T) {
	text := l.must(t, "maintenance", "manifest", endpoint, "--zone", "passive")
	file := filepath.Join(t.TempDir(), "job.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	l.kubectl(t, "zone-b", "apply", "--dry-run=server", "-f", file)
}
