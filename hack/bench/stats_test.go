package main

import (
	"bytes"
	"io"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/lease"
)

func TestSpread(t *testing.T) {
	hundred := make([]float64, 100)
	for i := range hundred {
		hundred[i] = float64(100 - i) // 100 … 1
	}
	for name, c := range map[string]struct {
		values []float64
		want   spread
	}{
		"none":    {nil, spread{}},
		"one":     {[]float64{7}, spread{N: 1, Min: 7, Median: 7, P99: 7, Max: 7}},
		"even":    {[]float64{4, 1, 3, 2}, spread{N: 4, Min: 1, Median: 2.5, P99: 4, Max: 4}},
		"odd":     {[]float64{5, 1, 3}, spread{N: 3, Min: 1, Median: 3, P99: 5, Max: 5}},
		"hundred": {hundred, spread{N: 100, Min: 1, Median: 50.5, P99: 99, Max: 100}}, // 99 of 100 are at most 99
	} {
		values := slices.Clone(c.values)
		if got := spreadOf(values); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
		if !slices.Equal(values, c.values) {
			t.Errorf("%s: the sample was changed", name)
		}
	}
}

func TestFormula(t *testing.T) {
	term := lease.DefaultTerm()
	// By hand: W = 8.5 s · 1.01/0.99 = 8.671717 s; crash: W + P + 0.1 s; record: 4 P + P + 1.25 P + 0.3 s.
	for name, c := range map[string]struct{ got, want time.Duration }{
		"crash":           {crashBound(term).Round(time.Millisecond), 9772 * time.Millisecond},
		"planned":         {plannedBound(0, 0), 300 * time.Millisecond},
		"planned, drains": {plannedBound(2*time.Second, 500*time.Millisecond), 2800 * time.Millisecond},
		"record":          {recordBound(term), 6550 * time.Millisecond},
	} {
		if c.got != c.want {
			t.Errorf("%s: %v, want %v", name, c.got, c.want)
		}
	}
	if crashBound(term) > crashTarget {
		t.Errorf("the formula's bound %v is beyond the target %v", crashBound(term), crashTarget)
	}
}

func TestMediansOf(t *testing.T) {
	got := mediansOf([]measurement{{Rate: 1, Median: 30, CPU: 5, Errors: 1}, {Rate: 3, Median: 10, CPU: 7, Errors: 2}, {Rate: 2, Median: 20, CPU: 6}})
	if want := (measurement{Rate: 2, Median: 20, CPU: 6, Errors: 3}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// A handover as the stand-in wrote it down: b's renewal counts from after the close, and a's reading of the closing is the first after it.
const handover = `{"time":"2026-01-01T00:00:00Z","client":"b","command":"findAndModify","collection":"lease","applied":true}
{"time":"2026-01-01T00:00:01Z","client":"a","command":"findAndModify","collection":"lease","applied":true}
{"time":"2026-01-01T00:00:02Z","client":"a","command":"find","collection":"lease"}
{"time":"2026-01-01T00:00:03Z","client":"CN=mongodb-admin,OU=users,O=mongodb","command":"findAndModify","collection":"zones","applied":true}
{"time":"2026-01-01T00:00:04Z","client":"CN=mongodb-admin,OU=users,O=mongodb","command":"findAndModify","collection":"lease","applied":true}
{"time":"2026-01-01T00:00:05Z","client":"a","command":"find","collection":"zones"}
{"time":"2026-01-01T00:00:06Z","client":"a","command":"find","collection":"lease"}
{"time":"2026-01-01T00:00:07Z","client":"b","command":"findAndModify","collection":"lease"}
{"time":"2026-01-01T00:00:08Z","client":"b","command":"findAndModify","collection":"lease","applied":true}
{"time":"2026-01-01T00:00:09Z","client":"a","comm`

func TestTrace(t *testing.T) {
	at := func(second int) time.Time { return time.Date(2026, 1, 1, 0, 0, second, 0, time.UTC) }
	all, err := parseTrace(handover, at(1))
	if err != nil || len(all) != 8 {
		t.Fatalf("%d commands, %v: one was before, and the last line is not whole", len(all), err)
	}
	if got := all.closed(); !got.Equal(at(4)) {
		t.Errorf("closed %v", got)
	}
	if got, ok := all.firstRenewal("b"); !ok || !got.Equal(at(8)) {
		t.Errorf("renewed %v %v", got, ok)
	}
	if got, ok := all.firstReadAfter("a", at(4)); !ok || !got.Equal(at(6)) {
		t.Errorf("read %v %v", got, ok)
	}
	if got, ok := all.lastRenewalBefore("a", at(5)); !ok || !got.Equal(at(1)) {
		t.Errorf("last renewal %v %v", got, ok)
	}
	if _, ok := all.lastRenewalBefore("nobody", at(5)); ok {
		t.Error("a renewal of nobody")
	}
	if _, err := parseTrace("no JSON\n", at(0)); err == nil {
		t.Error("a broken line is no error")
	}
}

func TestParseBusy(t *testing.T) {
	b := parseBusy([]byte("cpu  10 1 4 80 5 0 1 2 99 99\ncpu0 1 1 1 1\n"))
	if b.all != 103 || b.used != 18 {
		t.Errorf("%+v, want 18 of 103: neither idle nor iowait is use, and guests' time is in user's already", b)
	}
}

func TestStatusKB(t *testing.T) {
	status := []byte("Name:\tx\nVmRSS:\t   20544 kB\nRssAnon:\t    6000 kB\n")
	if got := statusKB(status, "VmRSS:"); got != 20544 {
		t.Errorf("VmRSS %d", got)
	}
	if got := statusKB(status, "RssFile:"); got != 0 {
		t.Errorf("RssFile %d", got)
	}
}

func TestRecordAnswers(t *testing.T) {
	ask := func(name string, kind dnsmessage.Type) dnsmessage.Message {
		query := dnsmessage.Message{Header: dnsmessage.Header{ID: 7}, Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName(name), Type: kind, Class: dnsmessage.ClassINET}}}
		packed, err := query.Pack()
		if err != nil {
			t.Fatal(err)
		}
		reply, err := answer(packed, []netip.Addr{netip.MustParseAddr("127.77.1.11")})
		if err != nil {
			t.Fatal(err)
		}
		var m dnsmessage.Message
		if err := m.Unpack(reply); err != nil || m.ID != 7 || !m.Response {
			t.Fatalf("%+v %v", m.Header, err)
		}
		return m
	}
	m := ask(hostName+".", dnsmessage.TypeA)
	if len(m.Answers) != 1 || m.Answers[0].Body.(*dnsmessage.AResource).A != [4]byte{127, 77, 1, 11} || m.Answers[0].Header.TTL != 0 {
		t.Errorf("A: %+v", m.Answers)
	}
	if m := ask(hostName+".", dnsmessage.TypeAAAA); len(m.Answers) != 0 || m.RCode != dnsmessage.RCodeSuccess {
		t.Errorf("AAAA: %+v", m)
	}
	if m := ask("other.test.", dnsmessage.TypeA); m.RCode != dnsmessage.RCodeNameError {
		t.Errorf("another name: %v", m.RCode)
	}
}

func TestParse(t *testing.T) {
	o, err := parse(nil, io.Discard)
	if err != nil || !slices.Equal(o.subjects, subjects()) || o.seed == 0 {
		t.Errorf("nothing named: %+v %v", o, err)
	}
	if o, err := parse([]string{"-seed", "3", "gaps"}, io.Discard); err != nil || !slices.Equal(o.subjects, []string{"gaps"}) || o.seed != 3 {
		t.Errorf("gaps: %+v %v", o, err)
	}
	if o, err := parse([]string{"report"}, io.Discard); err != nil || len(o.subjects) != 0 {
		t.Errorf("report: %+v %v", o, err)
	}
	if _, err := parse([]string{"speed"}, io.Discard); err == nil || !strings.Contains(err.Error(), "speed") {
		t.Errorf("speed: %v", err)
	}
}

// TestEnoughSwitches holds the default run to what it is for.
func TestEnoughSwitches(t *testing.T) {
	count := map[kind]int{}
	for _, g := range specs(false).groups {
		count[g.Kind] += g.Environments * g.Each
	}
	for _, k := range kinds() {
		if count[k] < 100 {
			t.Errorf("%s: %d switches, want at least 100", k, count[k])
		}
	}
}

func TestTable(t *testing.T) {
	one := table{Title: "Gaps", Run: "Run of today.", Columns: []string{"kind", "max"}, Notes: []string{"a note"}}
	one.row("crash", "9.7 s")
	var text, page bytes.Buffer
	if err := one.text(&text); err != nil {
		t.Fatal(err)
	}
	one.markdown(&page)
	if want := "\nGAPS\nRun of today.\n\nkind    max\ncrash   9.7 s\n  a note\n"; text.String() != want {
		t.Errorf("text %q, want %q", text.String(), want)
	}
	if want := "## Gaps\n\nRun of today.\n\n| kind | max |\n|---|---|\n| crash | 9.7 s |\n\n- a note\n\n"; page.String() != want {
		t.Errorf("page %q, want %q", page.String(), want)
	}
}

// TestTargets: a miss is told as one, in a run that has it.
func TestTargets(t *testing.T) {
	all := &results{
		Gaps: &gapsResult{Term: lease.DefaultTerm(), Moves: map[kind][]move{planned: {{Gap: 0.2, Proof: "proven"}}, crash: {{Since: 10.1, Proof: "violated"}}}},
		Flip: &flipResult{Open: []float64{3}, Close: []float64{80}, Fence: []float64{-1}},
		Idle: &idleResult{Replicas: []idleReplica{{RSS: 20 << 20}, {RSS: 31 << 20}}},
		Proxy: &proxyResult{Medians: map[string]map[string]measurement{
			"512 B": {"gateway": {Rate: 80}, "nginx": {Rate: 100}, "caddy": {Rate: 90}}, "1 MiB": {"gateway": {Rate: 9}, "nginx": {Rate: 10}, "caddy": {Rate: 8}},
		}},
	}
	var missed []string
	for _, row := range targetsTable(all).Rows {
		if row[3] != verdict(true) {
			missed = append(missed, row[0]+" "+row[2])
		}
	}
	want := []string{
		"crash takeover from the fault, record moving at once, default constants max 10.100 s", "dual-active 1",
		"gate flip under load, median, planned closing 80.0 ms", "throughput of Caddy's, 512 B 0.89", "idle RSS of a gateway max 31.0 MiB",
	}
	if !slices.Equal(missed, want) {
		t.Errorf("missed %q, want %q", missed, want)
	}
}
