// Command bench measures what the product promises, outside CI: the gaps of a switch beside the formula of docs/failover.md, the gate's
// flips under load, the gateway beside nginx and Caddy, and what an idle gateway costs. docs/benchmarks.md says how and what came out.
//
// Everything is a real process on loopback: gateways, auto-maintenance jobs, hack/mongo-standin, nginx, Caddy. What it starts it ends.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

// options are the command line's.
type options struct {
	subjects []string
	quick    bool
	seed     uint64
	json     string
	doc      string
	note     string
	keep     bool
}

// Subjects, in the order in which they run and are told.
const (
	subjectIdle  = "idle"
	subjectFlip  = "flip"
	subjectGaps  = "gaps"
	subjectProxy = "proxy"
)

func subjects() []string { return []string{subjectIdle, subjectProxy, subjectFlip, subjectGaps} }

func parse(args []string, stderr io.Writer) (options, error) {
	o := options{}
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.BoolVar(&o.quick, "quick", false, "few and short measurements, to see that it works: the numbers mean nothing")
	fs.Uint64Var(&o.seed, "seed", 0, "`number` that spreads the faults (default: by chance, and told)")
	fs.StringVar(&o.json, "json", "dist/bench.json", "`FILE` that keeps the latest result of every subject; \"\" for none")
	fs.StringVar(&o.doc, "o", "", "`FILE` to write as Markdown, from what the JSON file then holds, such as docs/benchmarks.md")
	fs.StringVar(&o.note, "note", "", "`text` about the run, such as what else the machine did; it is printed with the numbers")
	fs.BoolVar(&o.keep, "keep", false, "leave the processes' logs in their folder, and say where")
	fs.Usage = func() {
		fmt.Fprintf(stderr, "usage: go run ./hack/bench [flags] [%s | report]…\n\nNothing named means all of them. report measures nothing and prints what the JSON file holds.\n\n", strings.Join(subjects(), " | "))
		fs.PrintDefaults()
	}
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	o.subjects = fs.Args()
	for _, s := range o.subjects {
		if s != "report" && !slices.Contains(subjects(), s) {
			return o, fmt.Errorf("%q is none of %s, report", s, strings.Join(subjects(), ", "))
		}
	}
	if slices.Contains(o.subjects, "report") {
		o.subjects = nil
	} else if len(o.subjects) == 0 {
		o.subjects = subjects()
	}
	if o.seed == 0 {
		o.seed = mathrand.Uint64() >> 11 //nolint:gosec // JSON numbers are exact up to 2^53
	}
	return o, nil
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	repo, err := repository(ctx)
	if err != nil {
		return err
	}
	if o.json != "" && !filepath.IsAbs(o.json) {
		o.json = filepath.Join(repo, o.json)
	}
	all, err := readResults(o.json)
	if err != nil {
		return err
	}
	if err := measure(ctx, repo, o, all, stderr); err != nil {
		return err
	}
	if err := writeText(stdout, all); err != nil {
		return err
	}
	if o.doc == "" {
		return nil
	}
	if !filepath.IsAbs(o.doc) {
		o.doc = filepath.Join(repo, o.doc)
	}
	return writeDoc(o.doc, all)
}

// measure runs the subjects and stores each result as soon as it is there.
func measure(ctx context.Context, repo string, o options, all *results, stderr io.Writer) error {
	if len(o.subjects) == 0 {
		return nil
	}
	if err := need(ctx, repo); err != nil {
		return err
	}
	var mu sync.Mutex
	began := time.Now()
	say := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(stderr, "%6.1f  "+format+"\n", append([]any{time.Since(began).Seconds()}, args...)...)
	}
	l, err := newLab(ctx, repo, say)
	if l != nil {
		defer l.close(o.keep)
	}
	if err != nil {
		return err
	}
	for _, subject := range subjects() {
		if !slices.Contains(o.subjects, subject) {
			continue
		}
		meta := newMeta(ctx, repo, o)
		if err := l.measure(ctx, subject, o, all); err != nil {
			return fmt.Errorf("%s: %w", subject, err)
		}
		meta.end()
		all.Runs[subject] = meta
		if err := writeResults(o.json, all); err != nil {
			return err
		}
	}
	return nil
}

// measure runs one subject and puts what came out into all.
func (l *lab) measure(ctx context.Context, subject string, o options, all *results) (err error) {
	s := specs(o.quick)
	switch subject {
	case subjectIdle:
		all.Idle, err = l.measureIdle(ctx, s.idle)
	case subjectProxy:
		all.Proxy, err = l.measureProxies(ctx, s.proxy)
	case subjectFlip:
		all.Flip, err = l.measureFlips(ctx, s.flip)
	case subjectGaps:
		all.Gaps, err = l.measureGaps(ctx, s.groups, o.seed)
	}
	return err
}

// spec is how much is measured.
type spec struct {
	groups []group
	flip   flipSpec
	proxy  proxySpec
	idle   idleSpec
}

func specs(quick bool) spec {
	if quick {
		return spec{
			groups: []group{{planned, 1, 3}, {crash, 2, 1}, {byDNS, 1, 2}},
			flip:   flipSpec{Switches: 2, Fences: 1, Connections: 4},
			proxy:  proxySpec{Rounds: 1, Time: time.Second},
			idle:   idleSpec{Settle: 5 * time.Second, Time: 5 * time.Second},
		}
	}
	return spec{
		groups: []group{{planned, 3, 34}, {crash, 8, 13}, {byDNS, 4, 26}},
		flip:   flipSpec{Switches: 26, Fences: 4, Connections: 4},
		proxy:  proxySpec{Rounds: 6, Time: 3 * time.Second},
		idle:   idleSpec{Settle: 30 * time.Second, Time: 30 * time.Second},
	}
}

// repository returns the root of the clone that the bench is run in.
func repository(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "git", "rev-parse", "--show-toplevel").Output()
	if err != nil {
		return "", fmt.Errorf("find the repository: run the bench inside its clone: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// need installs what is compared with and what measures, where it is missing.
func need(ctx context.Context, repo string) error {
	cmd := exec.CommandContext(ctx, filepath.Join(repo, "hack/need.sh"), "nginx=nginx-light", "wrk", "openssl") //nolint:gosec // the repository's own
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("install nginx, wrk, openssl: %w\n%s", err, out)
	}
	return nil
}
