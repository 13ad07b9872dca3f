package hold_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/clock"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/hold"
)

// The promise of the package: a command that ignores SIGTERM, and a daemon that it put into a session of its own, write nothing once the
// promise is over; and the command runs again when the zone is active again.
func TestDeadBeforeThePromiseIsOver(t *testing.T) {
	g := startGateway(t)
	g.set(func() { g.answer = passive })
	h := startHold(t, g, `trap "" TERM; (setsid sh -c '`+beat+`trap "" TERM; echo $$ >> $DIR/pids; beat $DIR/daemon' &) ; beat $DIR/command`)
	time.Sleep(300 * time.Millisecond)
	if h.has("command") {
		t.Fatal("the command runs in a passive zone")
	}
	g.set(func() { g.answer = nil })
	eventually(t, "both run", func() bool { return h.has("command") && h.has("daemon") })
	time.Sleep(promised + 200*time.Millisecond) // kept going by new promises
	if last := h.beats(t, "command"); time.Since(last[len(last)-1]) > 500*time.Millisecond {
		t.Fatal("the command was stopped beside new promises")
	}
	g.set(func() { g.silent = true })
	g.mu.Lock()
	over := g.promised
	g.mu.Unlock()
	time.Sleep(time.Until(over))
	end := map[string]int{}
	for _, file := range []string{"command", "daemon"} {
		all := h.beats(t, file)
		end[file] = len(all)
		if late := all[len(all)-1].Sub(over); late >= 0 {
			t.Errorf("%s still wrote %s after the promise was over", file, late)
		}
	}
	time.Sleep(300 * time.Millisecond)
	for _, file := range []string{"command", "daemon"} {
		if got := len(h.beats(t, file)); got != end[file] {
			t.Errorf("%s is not dead: %d lines, then %d", file, end[file], got)
		}
	}
	g.set(func() { g.silent = false })
	eventually(t, "runs again", func() bool { return len(h.beats(t, "command")) > end["command"] })
}

// A planned switch: the command is asked to end at once, ends in its own time, and its promise is given back.
func TestPlannedSwitch(t *testing.T) {
	g := startGateway(t)
	h := startHold(t, g, `trap "touch $DIR/clean; exit 7" TERM; beat $DIR/command`)
	eventually(t, "runs", func() bool { return h.has("command") })
	began := time.Now()
	g.set(func() { g.answer = closing })
	eventually(t, "ended", func() bool { return h.has("clean") })
	eventually(t, "given back", func() bool { g.mu.Lock(); defer g.mu.Unlock(); return g.givenBack == 1 })
	if took := time.Since(began); took > promised-timing.Kill {
		t.Errorf("took %s: it waited for the promise's end", took)
	}
	if err := h.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := h.code(t); code != 0 {
		t.Errorf("exit code %d of a held command, want 0", code)
	}
}

func TestExitCodes(t *testing.T) {
	for name, tt := range map[string]struct {
		script string
		signal os.Signal
		want   int
	}{
		"ends":           {script: "exit 0", want: 0},
		"fails":          {script: "exit 3", want: 3},
		"killed":         {script: "kill -KILL $$", want: 128 + 9},
		"asked":          {script: `trap "exit 5" TERM; touch $DIR/up; beat $DIR/x`, signal: syscall.SIGTERM, want: 5},
		"asked, untaken": {script: `touch $DIR/up; beat $DIR/x`, signal: syscall.SIGTERM, want: 128 + 15},
		"another signal": {script: `trap "exit 6" USR1; touch $DIR/up; beat $DIR/x`, signal: syscall.SIGUSR1, want: 6},
		"orphans":        {script: `(setsid sleep 60 &); touch $DIR/up; exit 4`, want: 4},
	} {
		t.Run(name, func(t *testing.T) {
			h := startHold(t, startGateway(t), tt.script)
			if tt.signal != nil {
				eventually(t, "up", func() bool { return h.has("up") })
				if err := h.Process.Signal(tt.signal); err != nil {
					t.Fatal(err)
				}
			}
			if code := h.code(t); code != tt.want {
				t.Errorf("exit code %d, want %d", code, tt.want)
			}
		})
	}
	if code, err := hold.Run(t.Context(), hold.Config{Command: []string{"/no/such/program"}}); code != hold.ExitNotFound || err == nil {
		t.Errorf("exit code %d, %v", code, err)
	}
	if code, err := hold.Run(t.Context(), hold.Config{Command: []string{os.DevNull}}); code != hold.ExitNotRunnable || err == nil {
		t.Errorf("exit code %d, %v", code, err)
	}
}

// Nothing outlives hold, whatever becomes of it.
func TestDiesWithHold(t *testing.T) {
	h := startHold(t, startGateway(t), `trap "" TERM; echo $$ >> $DIR/pids; beat $DIR/command`)
	eventually(t, "runs", func() bool { return h.has("command") })
	if err := h.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	h.code(t)
	time.Sleep(100 * time.Millisecond)
	before := len(h.beats(t, "command"))
	time.Sleep(200 * time.Millisecond)
	if after := len(h.beats(t, "command")); after != before {
		t.Errorf("the command goes on: %d lines, then %d", before, after)
	}
}

// Answers that are not this zone's, or not to this question, are no promise.
func TestStrangersAreNotBelieved(t *testing.T) {
	for name, lie := range map[string]func(map[string]any){
		"environment": func(said map[string]any) { said["environment"] = "env-2" },
		"zone":        func(said map[string]any) { said["zone"] = "east" },
		"nonce":       func(said map[string]any) { said["nonce"] = "old" },
		"negative":    func(said map[string]any) { said["remaining"] = -1 },
		"no time":     func(said map[string]any) { delete(said, "remaining") },
	} {
		t.Run(name, func(t *testing.T) {
			g := startGateway(t)
			g.set(func() { g.answer = lie })
			h := startHold(t, g, "touch $DIR/ran")
			time.Sleep(300 * time.Millisecond)
			if h.has("ran") {
				t.Error("the command ran")
			}
		})
	}
	for _, address := range []string{"", "https://a:1", "http://a", "http://a:1/x", "http://u@a:1", "a:1"} {
		if _, err := hold.NewGateways(address, "e", "z", "id", nil); err == nil {
			t.Errorf("%q was taken for an address", address)
		}
	}
}

// However long an answer takes, its promise counts from before the question.
func TestPromiseCountsFromTheQuestion(t *testing.T) {
	g := startGateway(t)
	g.set(func() { g.answer = func(map[string]any) { time.Sleep(300 * time.Millisecond) } })
	now := clock.System()
	gateways, err := hold.NewGateways(g.URL, "env-1", "WEST", "worker-1", now)
	if err != nil {
		t.Fatal(err)
	}
	before := now()
	all, err := gateways.Ask(t.Context(), func(hold.Answer) {})
	if err != nil || len(all) != 1 || all[0].Remaining != promised {
		t.Fatalf("got %+v, %v", all, err)
	}
	if sent := all[0].Sent; sent.Mono-before.Mono > 250*time.Millisecond || sent.Wall-before.Wall > 250*time.Millisecond {
		t.Errorf("counts from %s after the question", sent.Mono-before.Mono)
	}
}

func TestProbes(t *testing.T) {
	healthy := http.StatusServiceUnavailable
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/ready" {
			w.WriteHeader(healthy)
		}
	}))
	defer service.Close()
	port := service.URL[strings.LastIndexByte(service.URL, ':')+1:]
	g := startGateway(t)
	g.set(func() { g.answer = passive })
	const listen = "127.0.0.1:29091"
	h := startHold(t, g, `trap "exit 0" TERM; beat $DIR/command`, "HOLD_LISTEN="+listen, fmt.Sprintf(
		`HOLD_PROBES={"startup":{"exec":{"command":["sh","-c","test -e $DIR/up"]}},"readiness":{"httpGet":{"path":"/ready","port":%s}},"liveness":{"tcpSocket":{"port":%s},"periodSeconds":5}}`,
		port, port))
	ask := func(path string) int {
		resp, err := http.Get("http://" + listen + path)
		if err != nil {
			return 0
		}
		defer resp.Body.Close()
		_, _ = io.Copy(io.Discard, resp.Body)
		return resp.StatusCode
	}
	expect := func(when string, readiness, liveness int) {
		t.Helper()
		if r, l := ask("/readiness"), ask("/liveness"); r != readiness || l != liveness {
			t.Errorf("%s: readiness %d, liveness %d; want %d, %d", when, r, l, readiness, liveness)
		}
	}
	eventually(t, "listens", func() bool { return ask("/liveness") != 0 })
	expect("held", 200, 200)
	// A long promise: a machine that is too busy to ask for the next one must not end the command in the middle of this.
	g.set(func() { g.answer = func(said map[string]any) { said["remaining"] = time.Minute.Milliseconds() } })
	eventually(t, "runs", func() bool { return h.has("command") })
	expect("before the startup probe", 503, 200)
	if err := os.WriteFile(filepath.Join(h.dir, "up"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	expect("not ready", 503, 200)
	healthy = 200
	expect("ready", 200, 200)
	service.Close()
	expect("service gone", 503, 503)
	g.set(func() { g.answer = closing })
	eventually(t, "held again", func() bool { return ask("/readiness") == 200 })
	expect("held again", 200, 200)
}

func TestParseProbes(t *testing.T) {
	for text, want := range map[string]string{
		`{}`: "",
		`{"liveness":{"exec":{"command":["x"]},"timeoutSeconds":3}}`:                "",
		`{"liveness":{"grpc":{"port":1}}}`:                                          "liveness probe: one of",
		`{"startup":{},"readiness":{"httpGet":{"path":"/"}}}`:                       "startup probe",
		`{"startup":{"tcpSocket":{"port":1},"exec":{"command":["x"]}}}`:             "startup probe: one of",
		`{"readiness":{"httpGet":{"port":"http"}}}`:                                 "parse probes",
		`{"readiness":{"httpGet":{"port":70000}}}`:                                  "parse probes",
		`{"readiness":{"httpGet":{"port":80,"httpHeaders":[{"name":"a"}]}},"x":{}}`: "",
	} {
		_, err := hold.ParseProbes([]byte(text))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
}

// What is installed is this program, and it runs.
func TestInstall(t *testing.T) {
	path := filepath.Join(t.TempDir(), "agent")
	for range 2 { // the second time replaces it
		if err := hold.Install(path); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.Stat(path)
	own, ownErr := os.Stat(os.Args[0])
	if err != nil || ownErr != nil || got.Size() != own.Size() || got.Mode().Perm() != 0o555 {
		t.Errorf("got %v, %v, %v", got, err, ownErr)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "*")); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
	if err := hold.Install(filepath.Join(t.TempDir(), "no", "folder")); err == nil {
		t.Error("installed into a folder that is not there")
	}
}
