//go:build e2e

package e2e

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// databaseAddress is where both routers of the sandbox's database are (hack/sandbox.d/lib/layout.sh).
const databaseAddress = "10.90.0.50"

type finding struct {
	Zone, Requirement, Subject, Level, Reason string
}

// mongoCheck runs mongo check and returns its exit code, what it found, and its stderr.
func (l *lab) mongoCheck(t *testing.T, args ...string) (int, []finding, string) {
	t.Helper()
	r := l.aporeto(t, append([]string{"mongo", "check", "-o", "json"}, args...)...)
	var list struct {
		Kind  string
		Items []finding
	}
	if err := json.Unmarshal([]byte(r.stdout), &list); err != nil || list.Kind != "MongoCheckList" {
		t.Fatalf("mongo check %v: exit %d, %v\n%s%s", args, r.code, err, r.stdout, r.stderr)
	}
	return r.code, list.Items, r.stderr
}

// well counts the findings of a requirement that are ok.
func well(findings []finding, requirement, zone string) int {
	n := 0
	for _, f := range findings {
		if f.Requirement == requirement && f.Zone == zone && f.Level == "ok" {
			n++
		}
	}
	return n
}

// mongoChecked looks at the database in all three ways, the last two while this machine has no way to it.
func (l *lab) mongoChecked(t *testing.T, _, _ string) {
	began := time.Now()
	code, findings, _ := l.mongoCheck(t)
	t.Logf("mongo check from here: %.2f s", time.Since(began).Seconds())
	if code != 0 || well(findings, "router", "") != 2 || well(findings, "login", "") != 1 || well(findings, "shard-zones", "") != 1 || well(findings, "majority-write", "") != 1 {
		t.Errorf("from here: exit %d, %+v", code, findings)
	}
	route := func(verb string) {
		if r := l.run(t, time.Minute, "ip", "route", verb, "unreachable", databaseAddress+"/32"); r.code != 0 {
			t.Fatalf("ip route %s: %s", verb, r.stderr)
		}
	}
	route("add")
	defer route("del")
	if code, findings, _ = l.mongoCheck(t); code != 1 || well(findings, "router", "") != 0 {
		t.Errorf("without a way to the database: exit %d, %+v", code, findings)
	}
	for _, zone := range []string{"default", "passive"} {
		began = time.Now()
		code, findings, stderr := l.mongoCheck(t, "--via", zone)
		t.Logf("mongo check through zone %s: %.2f s", zone, time.Since(began).Seconds())
		if code != 0 || well(findings, "router", "") != 2 || well(findings, "login", "") != 1 || well(findings, "majority-write", "") != 1 || well(findings, "linearizable-read", "") != 1 {
			t.Errorf("through zone %s: exit %d, %+v", zone, code, findings)
		}
		if !strings.Contains(stderr, "reached through pod aporeto-gateway-") {
			t.Errorf("through zone %s: %s", zone, stderr)
		}
	}
	began = time.Now()
	code, findings, _ = l.mongoCheck(t, "--from-zones")
	t.Logf("mongo check from the zones: %.2f s", time.Since(began).Seconds())
	for _, zone := range []string{"default", "passive"} {
		for _, requirement := range []string{"name", "tls", "login", "clocks", "linearizable-read", "majority-write"} {
			if n := well(findings, requirement, zone); code != 0 || n != 2 {
				t.Errorf("zone %s sees %s well at %d of 2 routers; exit %d", zone, requirement, n, code)
			}
		}
	}
	if t.Failed() {
		t.Logf("%+v", findings)
	}
}
