package main

import (
	"bytes"
	_ "embed"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/failover"
)

//go:embed method.md
var method string

// writeText prints every result that there is.
func writeText(w io.Writer, all *results) error {
	for _, t := range tables(all) {
		if err := t.text(w); err != nil {
			return err
		}
	}
	return nil
}

// writeDoc writes the page of the documentation.
func writeDoc(file string, all *results) error {
	var page bytes.Buffer
	page.WriteString(method)
	for _, t := range tables(all) {
		page.WriteByte('\n')
		var one bytes.Buffer
		t.markdown(&one)
		page.Write(bytes.TrimRight(one.Bytes(), "\n"))
		page.WriteByte('\n')
	}
	return os.WriteFile(file, page.Bytes(), 0o644)
}

// tables are those of all results that there are: the targets first.
func tables(all *results) []*table {
	list := []*table{targetsTable(all)}
	for _, s := range []struct {
		subject string
		made    []*table
	}{
		{subjectGaps, gapsTables(all.Gaps)}, {subjectFlip, flipTables(all.Flip)}, {subjectProxy, proxyTables(all.Proxy)}, {subjectIdle, idleTables(all.Idle)},
	} {
		for _, t := range s.made {
			t.Run = all.Runs[s.subject].line()
			list = append(list, t)
		}
	}
	return list
}

// line says from which run numbers are.
func (m *meta) line() string {
	if m == nil {
		return ""
	}
	line := fmt.Sprintf("Run of %s, %.0f s, commit %s, %s, %d cores, %.0f GiB, %s, Linux %s, %s. Load average before %s, after %s; %.0f %% of the CPU time in use, by anybody. Seed %d.",
		m.Began.Format("2006-01-02 15:04 MST"), m.Seconds, m.Commit, m.Machine.CPU, m.Machine.Cores, float64(m.Machine.Memory)/(1<<30), m.Machine.System, m.Machine.Kernel, m.Machine.Go,
		m.LoadBefore, m.LoadAfter, 100*m.Busy, m.Seed)
	if m.Quick {
		line += " A quick run: its numbers mean nothing."
	}
	if m.Note != "" {
		line += " " + m.Note
	}
	return line
}

func verdict(met bool) string {
	if met {
		return "met"
	}
	return "**missed**"
}

func targetsTable(all *results) *table {
	t := &table{Title: "Targets", Run: "Each from the run that its own table names.", Columns: []string{"target", "at most / at least", "measured", ""}}
	if g := all.Gaps; g != nil {
		gap := spreadOf(gapsOf(g.Moves[planned]))
		bound := plannedBound(0, 0)
		t.row("planned gap ≤ drain + cut + 0.3 s (nothing to drain or cut)", seconds(bound.Seconds()), "max "+seconds(gap.Max), verdict(gap.Max <= bound.Seconds()))
		takeover := spreadOf(sincesOf(g.Moves[crash]))
		t.row("crash takeover from the fault, record moving at once, default constants", seconds(crashTarget.Seconds()), "max "+seconds(takeover.Max), verdict(takeover.Max <= crashTarget.Seconds()))
		violated := 0
		for _, moves := range g.Moves {
			for _, m := range moves {
				if m.Proof == failover.Violated {
					violated++
				}
			}
		}
		t.row("dual-active", "0", fmt.Sprint(violated), verdict(violated == 0))
	}
	if f := all.Flip; f != nil {
		for _, k := range flipKinds(f) {
			m := median(k.values)
			t.row("gate flip under load, median, "+k.name, fmt.Sprintf("%.0f ms", millis(flipTarget)), fmt.Sprintf("%.1f ms", m), verdict(m <= millis(flipTarget)))
		}
	}
	if p := all.Proxy; p != nil {
		for _, s := range shapes() {
			if s.Connections == 1 {
				continue
			}
			m := p.Medians[s.Name]
			caddy, nginx := m["gateway"].Rate/m["caddy"].Rate, m["gateway"].Rate/m["nginx"].Rate
			t.row("throughput of Caddy's, "+s.Name, "1.00", fmt.Sprintf("%.2f", caddy), verdict(caddy >= 1))
			t.row("throughput of nginx's, "+s.Name, fmt.Sprintf("%.2f", nginxShare), fmt.Sprintf("%.2f", nginx), verdict(nginx >= nginxShare))
		}
	}
	if i := all.Idle; i != nil {
		var most int64
		for _, r := range i.Replicas {
			most = max(most, r.RSS)
		}
		t.row("idle RSS of a gateway", megabytes(idleRSSTarget), "max "+megabytes(float64(most)), verdict(most <= idleRSSTarget))
	}
	return t
}

func megabytes(bytes float64) string { return fmt.Sprintf("%.1f MiB", bytes/(1<<20)) }

func gapsOf(moves []move) []float64   { return column(moves, func(m move) float64 { return m.Gap }) }
func sincesOf(moves []move) []float64 { return column(moves, func(m move) float64 { return m.Since }) }

func column(moves []move, of func(move) float64) []float64 {
	values := make([]float64, len(moves))
	for i, m := range moves {
		values[i] = of(m)
	}
	return values
}

func gapsTables(g *gapsResult) []*table {
	if g == nil {
		return nil
	}
	t := &table{Title: "Gaps", Columns: []string{"kind", "switches", "what", "formula", "min", "median", "p99", "max"}}
	row := func(k kind, what string, formula time.Duration, values []float64) {
		s := spreadOf(values)
		bound := "—"
		if formula > 0 {
			bound = "≤ " + seconds(formula.Seconds())
		}
		t.row(string(k), fmt.Sprint(s.N), what, bound, seconds(s.Min), seconds(s.Median), seconds(s.P99), seconds(s.Max))
	}
	row(planned, "gap", plannedBound(0, 0), gapsOf(g.Moves[planned]))
	row(planned, "from the order", 0, sincesOf(g.Moves[planned]))
	row(crash, "from the fault (takeover)", crashBound(g.Term), sincesOf(g.Moves[crash]))
	row(crash, "gap", crashBound(g.Term)+2*pollEvery, gapsOf(g.Moves[crash]))
	row(byDNS, "gap", plannedBound(0, 0), gapsOf(g.Moves[byDNS]))
	row(byDNS, "from the record's move", recordBound(g.Term), sincesOf(g.Moves[byDNS]))
	proofs, late, n := map[failover.Proof]int{}, []float64{}, 0
	for _, moves := range g.Moves {
		for _, m := range moves {
			proofs[m.Proof]++
			late = append(late, m.Late)
			n++
		}
	}
	t.Notes = append(t.Notes,
		fmt.Sprintf("Order of closing and opening over all %d switches: proven %d (the old zone was seen to refuse before the new one answered), consistent %d (a crashed zone refuses nothing, or the refusal fell between two polls), violated %d.",
			n, proofs[failover.Proven], proofs[failover.Consistent], proofs[failover.Violated]),
		fmt.Sprintf("The bench's own polls were late by at most %.0f ms in the median switch, %.0f ms in the worst; %.0f %% of the CPU time was in use.", 1e3*median(late), 1e3*spreadOf(late).Max, 100*g.Busy))
	for _, e := range g.Errors {
		t.Notes = append(t.Notes, "An environment gave up: "+e)
	}
	return []*table{t}
}
