package hold_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/clock"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/hold"
)

// The test binary is three programs: the tests, hold itself (it reaps every child of its process, so it needs one of its own), and
// the commands that are held.
func TestMain(m *testing.M) {
	switch os.Getenv("HOLD_TEST") {
	case "":
		os.Exit(m.Run())
	case "hold":
		os.Exit(holdMain())
	}
}

// timing fits tests: a command is asked to end 600 ms before its promise is over.
var timing = hold.Timing{Grace: 300 * time.Millisecond, Kill: 300 * time.Millisecond, Start: 100 * time.Millisecond}

func holdMain() int {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGUSR1)
	now := clock.System()
	gateways, err := hold.NewGateways(os.Getenv("HOLD_GATEWAY"), "env-1", "west", "worker-1", now)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	probes, err := hold.ParseProbes([]byte(os.Getenv("HOLD_PROBES")))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	probes.Host = "127.0.0.1"
	os.Setenv("HOLD_TEST", "command")
	code, err := hold.Run(context.Background(), hold.Config{
		Command: os.Args[1:], Gateways: gateways, Clock: now, Timing: timing, Interval: 50 * time.Millisecond, Signals: signals,
		Listen: os.Getenv("HOLD_LISTEN"), Probes: probes, Log: slog.New(slog.NewJSONHandler(os.Stderr, nil)),
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	return code
}

// A shell is the held command: beat writes the time to a file every 10 ms.
const beat = `beat() { while :; do date +%s%N >> "$1"; sleep 0.01; done; }; `

// gateway is one replica of the zone's gateway.
type gateway struct {
	*httptest.Server
	mu        sync.Mutex
	answer    func(said map[string]any) // changes what is said; nil: promise
	silent    bool
	promised  time.Time // the end of the last promise
	givenBack int
}

func startGateway(t *testing.T) *gateway {
	t.Helper()
	g := &gateway{}
	g.Server = httptest.NewServer(g)
	t.Cleanup(g.Close)
	return g
}

const promised = 1500 * time.Millisecond

func (g *gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.silent {
		panic(http.ErrAbortHandler)
	}
	if r.Method == http.MethodDelete && r.URL.Path == "/held/worker-1" {
		g.givenBack++
		return
	}
	if r.Method != http.MethodPost || r.URL.Path != "/held/worker-1" {
		http.NotFound(w, r)
		return
	}
	said := map[string]any{"environment": "env-1", "zone": "West", "state": "Active", "epoch": 3, "nonce": r.URL.Query().Get("nonce"), "remaining": promised.Milliseconds()}
	if g.answer != nil {
		g.answer(said)
	}
	if fmt.Sprint(said["remaining"]) != "0" {
		g.promised = time.Now().Add(promised)
	}
	_ = json.NewEncoder(w).Encode(said)
}

func (g *gateway) set(change func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	change()
}

func passive(said map[string]any) { said["state"], said["remaining"] = "Locked", 0 }
func closing(said map[string]any) { said["remaining"] = 0 }

// held is a running hold.
type held struct {
	*exec.Cmd
	dir  string
	done chan struct{}
}

// startHold holds the shell script, which finds its folder in $DIR.
func startHold(t *testing.T, g *gateway, script string, env ...string) *held {
	t.Helper()
	h := &held{dir: t.TempDir(), done: make(chan struct{})}
	h.Cmd = exec.CommandContext(context.WithoutCancel(t.Context()), os.Args[0], "/bin/sh", "-c", beat+script)
	h.Env = append(os.Environ(), append([]string{"HOLD_TEST=hold", "HOLD_PROBES={}", "HOLD_GATEWAY=" + g.URL, "DIR=" + h.dir}, env...)...)
	log, err := os.Create(filepath.Join(h.dir, "log")) // a file: what outlives hold must not keep its end from being seen
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	h.Stderr = log
	if err := h.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { _ = h.Wait(); close(h.done) }()
	t.Cleanup(func() {
		_ = h.Process.Kill()
		<-h.done
		for _, pid := range h.pids() {
			_ = syscall.Kill(pid, syscall.SIGKILL) // outside of a container a daemon outlives hold when that is killed
		}
		if log, err := os.ReadFile(log.Name()); t.Failed() && err == nil {
			t.Logf("log of hold:\n%s", log)
		}
	})
	return h
}

// code waits for the end and returns the exit code.
func (h *held) code(t *testing.T) int {
	t.Helper()
	select {
	case <-h.done:
	case <-time.After(10 * time.Second):
		t.Fatal("hold did not end")
	}
	return h.ProcessState.ExitCode()
}

// beats returns the times that the command wrote to file.
func (h *held) beats(t *testing.T, file string) []time.Time {
	t.Helper()
	f, err := os.Open(filepath.Join(h.dir, file))
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var all []time.Time
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if n, err := strconv.ParseInt(lines.Text(), 10, 64); err == nil {
			all = append(all, time.Unix(0, n))
		}
	}
	return all
}

// pids returns the processes that wrote down who they are.
func (h *held) pids() []int {
	var all []int
	text, _ := os.ReadFile(filepath.Join(h.dir, "pids"))
	for _, field := range strings.Fields(string(text)) {
		if pid, err := strconv.Atoi(field); err == nil {
			all = append(all, pid)
		}
	}
	return all
}

func (h *held) has(file string) bool {
	_, err := os.Stat(filepath.Join(h.dir, file))
	return err == nil
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !holds(); {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}
