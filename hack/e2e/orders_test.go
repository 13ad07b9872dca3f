//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// maintenanceStatus is what the test reads of `maintenance status -o json`.
type maintenanceStatus struct {
	APIVersion, Kind string
	Lease            *struct {
		Epoch    int64
		Holder   string
		Open     []string
		Override bool
		Pin      *struct{ By, Reason string }
	}
	Zones    []zoneStatus
	Findings []struct{ Code, Level, Text string }
	Journal  []struct {
		Zone, From, To, Reason string
		Epoch                  int64
	}
}

type zoneStatus struct {
	Name, State  string
	Holder       *bool
	Epoch        *int64
	OpenReplicas *int
	Eligible     *bool
	Intent       *struct {
		PointsAt   string
		AgeSeconds float64
	}
	LeaseLeftSeconds *float64
}

func (l *lab) status(t *testing.T) maintenanceStatus {
	t.Helper()
	var st maintenanceStatus
	if err := json.Unmarshal([]byte(l.must(t, "maintenance", "status", "-o", "json")), &st); err != nil {
		t.Fatal(err)
	}
	return st
}

func (s maintenanceStatus) zone(t *testing.T, name string) zoneStatus {
	t.Helper()
	i := slices.IndexFunc(s.Zones, func(z zoneStatus) bool { return z.Name == name })
	if i < 0 {
		t.Fatalf("no zone %s in %+v", name, s)
	}
	return s.Zones[i]
}

func (s maintenanceStatus) finds(code string) bool {
	return slices.ContainsFunc(s.Findings, func(f struct{ Code, Level, Text string }) bool { return f.Code == code })
}

// awaitHealthy waits until status has nothing to complain of: restarts and orders leave traces for a while.
func (l *lab) awaitHealthy(t *testing.T) maintenanceStatus {
	t.Helper()
	var st maintenanceStatus
	await(t, takeover, "status finds nothing", func() bool {
		st = l.status(t)
		return len(st.Findings) == 0
	})
	return st
}

// statusRight compares what status says with what is so.
func (l *lab) statusRight(t *testing.T, from, to string) {
	st, doc := l.awaitHealthy(t), l.lease(t)
	if st.Kind != "MaintenanceStatus" || !strings.HasPrefix(st.APIVersion, "aporeto.io/") {
		t.Errorf("a %s of %s", st.Kind, st.APIVersion)
	}
	if st.Lease == nil || st.Lease.Epoch != doc.Epoch || st.Lease.Holder != names[from] || len(st.Lease.Open) != 2 || st.Lease.Override || st.Lease.Pin != nil {
		t.Errorf("lease %+v; in the database %+v", st.Lease, doc)
	}
	serving, other := st.zone(t, names[from]), st.zone(t, names[to])
	for _, z := range []zoneStatus{serving, other} {
		if z.Eligible == nil || !*z.Eligible || z.Epoch == nil || *z.Epoch != doc.Epoch || z.Intent == nil || z.Intent.PointsAt != names[from] {
			t.Errorf("zone %+v", z)
		}
	}
	if serving.State != "Active" || serving.Holder == nil || !*serving.Holder || *serving.OpenReplicas != 2 || *serving.LeaseLeftSeconds <= 0 || *serving.LeaseLeftSeconds > 8 {
		t.Errorf("the zone that serves: %+v", serving)
	}
	if other.State != "Locked" || other.Holder == nil || *other.Holder || *other.OpenReplicas != 0 || *other.LeaseLeftSeconds != 0 {
		t.Errorf("the zone that does not: %+v", other)
	}
	if len(st.Journal) == 0 {
		t.Error("an empty journal")
	}
	if text := l.must(t, "maintenance", "status"); !strings.Contains(text, "held by "+names[from]+", 2 open") {
		t.Errorf("status for people:\n%s", text)
	}
}

// pinned freezes the lease: the record moves, and nothing follows until the pin is gone.
func (l *lab) pinned(t *testing.T, from, to string) {
	l.must(t, "maintenance", "pin", "--reason", "an end-to-end test")
	l.sandbox(t, "record", to)
	l.steady(t, from, unmoved)
	st := l.status(t)
	if st.Lease.Pin == nil || st.Lease.Pin.Reason != "an end-to-end test" || !st.finds("pinned") || st.zone(t, names[to]).State != "Pinned" {
		t.Errorf("status of a pinned lease: %+v", st)
	}
	l.must(t, "maintenance", "unpin")
	awaitCodes(t, takeover, map[string]int{from: 423, to: 200})
}

// plannedSwitch orders the other zone to serve while the record still names this one. The command itself proves that the old zone refused
// before the new one answered.
func (l *lab) plannedSwitch(t *testing.T, from, to string) {
	out := l.must(t, "failover", "--to", names[to], "--yes", "--no-wait-dns", "--reason", "an end-to-end test")
	t.Log(out)
	if !strings.Contains(out, "proven: the old zone answered 423 before the new one opened") {
		t.Error("the order of events is not proven")
	}
	awaitCodes(t, takeover, map[string]int{from: 423, to: 200})
	if code, _ := ask(from, "/healthz/eligible"); code != 503 {
		t.Errorf("the zone ordered away answers load balancers %d", code)
	}
	if st := l.status(t); !st.Lease.Override || !st.finds("override") || !slices.ContainsFunc(st.Journal, func(e struct {
		Zone, From, To, Reason string
		Epoch                  int64
	}) bool {
		return e.From == names[from] && e.To == names[to] && strings.Contains(e.Reason, "an end-to-end test")
	}) {
		t.Errorf("status of an order that stands against the record: %+v", st)
	}
	l.sandbox(t, "record", to) // the record follows, and the order is over
	if out = l.must(t, "failover", "--to", names[to], "--yes", "--dns-timeout", "60s"); !strings.Contains(out, "points at zone "+names[to]) {
		t.Errorf("the command that watches the record: %s", out)
	}
	await(t, takeover, from+" is eligible again", func() bool { return eligible(from) })
}

// orderedAway orders a zone to serve because the region of the one that does is gone, as whoever is on call does who does not wait for the
// record. The dead one is waited out.
func (l *lab) orderedAway(t *testing.T, from, to string) {
	l.sandbox(t, "cut", from)
	began := time.Now()
	await(t, takeover, "the order is obeyed", func() bool { // a busy zone may not say in time whether it could serve
		r := l.aporeto(t, "failover", "--to", names[to], "--yes", "--no-wait-dns")
		t.Logf("exit %d after %.1f s: %s%s", r.code, time.Since(began).Seconds(), r.stdout, r.stderr)
		return r.code == 0
	})
	awaitCodes(t, takeover, map[string]int{to: 200})
	l.sandbox(t, "record", to)
	l.sandbox(t, "heal", from)
	awaitCodes(t, swap, map[string]int{from: 423, to: 200})
}

// successorDead orders a zone to serve that is cut off. It is refused; forced, the zone that served goes on after twice the wait.
func (l *lab) successorDead(t *testing.T, from, to string) {
	epoch := l.lease(t).Epoch
	l.sandbox(t, "cut", to)
	began := time.Now()
	if r := l.aporeto(t, "failover", "--to", names[to], "--yes", "--no-wait-dns"); r.code == 0 || !strings.Contains(r.stderr, names[to]) {
		t.Errorf("an order for a zone that is cut off: exit %d, %s", r.code, r.stderr)
	}
	if now := l.lease(t).Epoch; now != epoch {
		t.Errorf("a refused order changed the epoch from %d to %d", epoch, now)
	}
	t.Logf("refused after %.1f s", time.Since(began).Seconds())
	began = time.Now()
	r := l.aporeto(t, "failover", "--to", names[to], "--yes", "--no-wait-dns", "--force")
	t.Logf("exit %d after %.1f s\n%s%s", r.code, time.Since(began).Seconds(), r.stdout, r.stderr)
	if r.code == 0 || !strings.Contains(r.stderr, "overtaken") {
		t.Errorf("a forced order for a zone that is cut off: exit %d, %s", r.code, r.stderr)
	}
	awaitCodes(t, takeover, map[string]int{from: 200})
	l.sandbox(t, "heal", to)
	awaitCodes(t, swap, map[string]int{from: 200, to: 423})
}

// drillReport is what the test reads of a drill's report.
type drillReport struct {
	Kind, Home, Away, Result string
	Restored                 bool
	Legs                     []struct {
		From, To, Proof string
		GapSeconds      *float64
		Samples         int
	}
}

// drill goes there and back, and leaves a report.
func (l *lab) drill(t *testing.T, from, to string) {
	l.awaitHealthy(t)
	base := filepath.Join(t.TempDir(), "drill")
	l.must(t, "drill", "--to", names[to], "--yes", "--stay", "2s", "--report", base)
	report := readReport(t, base)
	if report.Home != names[from] || report.Away != names[to] || report.Result != "passed" || !report.Restored || len(report.Legs) != 2 {
		t.Fatalf("report %+v", report)
	}
	for _, leg := range report.Legs {
		if leg.Proof != "proven" || leg.GapSeconds == nil || *leg.GapSeconds <= 0 || *leg.GapSeconds > planned.Seconds() || leg.Samples < 100 {
			t.Errorf("leg %+v", leg)
		}
	}
	text, err := os.ReadFile(base + ".txt")
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s", text)
	l.home(t, from, to)
}

// drillInterrupted presses Ctrl-C in the middle of a drill: it comes back first.
func (l *lab) drillInterrupted(t *testing.T, from, to string) {
	l.awaitHealthy(t)
	base := filepath.Join(t.TempDir(), "drill")
	// In a process group of its own, as a shell with a terminal has it: Ctrl-C reaches every process of it.
	ctx, cancel := context.WithTimeout(context.Background(), takeover)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(l.repo, "hack/sandbox"), "exec", "kubectl", "aporeto", "drill", "--to", names[to], "--yes", "--stay", "10m", "--report", base)
	cmd.Dir, cmd.SysProcAttr = l.env, &syscall.SysProcAttr{Setpgid: true}
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	awaitCodes(t, takeover, map[string]int{from: 423, to: 200})
	if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("an interrupted drill is a success")
	}
	if report := readReport(t, base); report.Result != "interrupted" || !report.Restored || len(report.Legs) != 2 {
		t.Errorf("report %+v\n%s", report, output.String())
	}
	l.home(t, from, to)
}

func readReport(t *testing.T, base string) drillReport {
	t.Helper()
	data, err := os.ReadFile(base + ".json")
	if err != nil {
		t.Fatal(err)
	}
	var report drillReport
	if err := json.Unmarshal(data, &report); err != nil || report.Kind != "DrillReport" {
		t.Fatalf("%v: %s", err, data)
	}
	return report
}

// home waits until a drill has left nothing behind.
func (l *lab) home(t *testing.T, from, to string) {
	t.Helper()
	awaitCodes(t, swap, map[string]int{from: 200, to: 423})
	await(t, time.Minute, "no order is left standing", func() bool { return !l.status(t).Lease.Override })
}
