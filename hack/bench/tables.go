package main

import (
	"fmt"
	"slices"
	"strings"
)

// flipKind is one way for a gate to flip.
type flipKind struct {
	name   string
	values []float64
}

func flipKinds(f *flipResult) []flipKind {
	return []flipKind{{"opening", f.Open}, {"planned closing", f.Close}, {"fence", f.Fence}}
}

func flipTables(f *flipResult) []*table {
	if f == nil {
		return nil
	}
	t := &table{Title: "Gate flip under load", Columns: []string{"flip", "from", "to", "flips", "min", "median", "p99", "max"}}
	from := map[string][2]string{
		"opening":         {"the renewal took effect in the database", "first 2xx"},
		"planned closing": {"the closing was read, and 1.25 P passed", "last 2xx"},
		"fence":           {"T after the last renewal took effect", "last 2xx"},
	}
	for _, k := range flipKinds(f) {
		s := spreadOf(k.values)
		ms := func(v float64) string { return fmt.Sprintf("%.1f ms", v) }
		t.row(k.name, from[k.name][0], from[k.name][1], fmt.Sprint(s.N), ms(s.Min), ms(s.Median), ms(s.P99), ms(s.Max))
	}
	t.Notes = []string{
		fmt.Sprintf("Load: %d connections to each of the four replicas, each with one request after the other: %.0f answers a second, %.0f %% of the CPU time in use, %d requests ended in an error.",
			f.Spec.Connections, f.Rate, 100*f.Busy, f.Failures),
		"Times in the database are the stand-in's own, from its trace. A fence comes before T is over there, for a replica counts from before it sent the renewal.",
	}
	return []*table{t}
}

func proxyTables(p *proxyResult) []*table {
	if p == nil {
		return nil
	}
	t := &table{Title: "Beside nginx and Caddy", Columns: []string{"load", "proxy", "requests/s", "of nginx's", "of Caddy's", "median", "p99", "added, median", "CPU a request", "RSS", "errors"}}
	names := []string{"gateway", "nginx", "caddy", "upstream"}
	for _, s := range shapes() {
		m := p.Medians[s.Name]
		for _, name := range names {
			x := m[name]
			added, ofNginx, ofCaddy := "—", "—", "—"
			if name != "upstream" {
				added = fmt.Sprintf("%.0f µs", x.Median-m["upstream"].Median)
				ofNginx, ofCaddy = fmt.Sprintf("%.2f", x.Rate/m["nginx"].Rate), fmt.Sprintf("%.2f", x.Rate/m["caddy"].Rate)
			}
			t.row(fmt.Sprintf("%s, %d connections", s.Name, s.Connections), name, fmt.Sprintf("%.0f", x.Rate), ofNginx, ofCaddy, fmt.Sprintf("%.0f µs", x.Median), fmt.Sprintf("%.0f µs", x.P99),
				added, fmt.Sprintf("%.0f µs", x.CPU), megabytes(x.RSS), fmt.Sprint(x.Errors))
		}
	}
	var ciphers []string
	for name, c := range p.Cipher {
		ciphers = append(ciphers, name+": "+c)
	}
	slices.Sort(ciphers)
	t.Notes = []string{
		fmt.Sprintf("%d rounds of %.0f s a measurement, in turns; medians over the rounds. Load generator %s with one thread, HTTP/1.1, kept connections. nginx %s with %d workers, Caddy %s and the gateway with GOMAXPROCS %d; one upstream for all, nginx with one worker, plain HTTP. All of them share the machine's cores.",
			p.Spec.Rounds, p.Seconds, p.Versions["wrk"], p.Versions["nginx"], p.Workers, p.Versions["caddy"], p.Workers),
		"TLS as agreed: " + strings.Join(ciphers, "; ") + ". One certificate and key for all.",
		"Added latency is against the same load straight to the upstream, over plain HTTP. Beside a saturated machine it is mostly waiting; the load of one request at a time shows what a proxy itself adds.",
		"Requests a second of every round: " + everyRound(p) + ".",
	}
	return []*table{t}
}

// everyRound lists the rates of all rounds, so that the spread can be seen.
func everyRound(p *proxyResult) string {
	var parts []string
	for _, s := range shapes() {
		for _, name := range []string{"gateway", "nginx", "caddy"} {
			var rates []string
			for _, r := range p.Rounds[s.Name][name] {
				rates = append(rates, fmt.Sprintf("%.0f", r))
			}
			parts = append(parts, fmt.Sprintf("%s, %s: %s", s.Name, name, strings.Join(rates, " ")))
		}
	}
	return strings.Join(parts, "; ")
}

func idleTables(i *idleResult) []*table {
	if i == nil {
		return nil
	}
	t := &table{Title: "An idle gateway", Columns: []string{"replica", "RSS", "of it not file pages", "CPU", "MongoDB operations/s", "which"}}
	for _, r := range i.Replicas {
		var names []string
		for name := range r.PerSecond {
			names = append(names, name)
		}
		slices.Sort(names)
		for n, name := range names {
			names[n] = fmt.Sprintf("%s %.2f", name, r.PerSecond[name])
		}
		t.row(r.Role, megabytes(float64(r.RSS)), megabytes(float64(r.Anonymous)), fmt.Sprintf("%.1f ms/s", r.CPU), fmt.Sprintf("%.2f", r.All), strings.Join(names, ", "))
	}
	t.Notes = []string{
		fmt.Sprintf("Counted in the stand-in's trace over %.0f s; RSS is the most that was seen then. isMaster is the driver's heartbeat.", i.Seconds),
	}
	return []*table{t}
}
