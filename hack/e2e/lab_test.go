//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/mongo"
)

// labVariable names a directory that keeps the environment, and with it the running sandbox, for the next run: see docs/sandbox.md.
const labVariable = "APORETO_E2E_LAB"

// lab is a running sandbox and one environment in it.
type lab struct {
	repo     string
	env      string // environment directory
	standing bool   // it was deployed by an earlier run
	client   *mongo.Client
	check    *checker
	table    []seen
}

// result is what a program printed and how it ended.
type result struct {
	stdout, stderr string
	code           int
}

// newLab brings the sandbox up, and takes it down when the test ends. What helps to understand a failure is printed before.
func newLab(t *testing.T) *lab {
	t.Helper()
	repo, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	home, keep := os.Getenv(labVariable), true
	if home == "" {
		home, keep = t.TempDir(), false
	}
	l := &lab{repo: repo, env: filepath.Join(home, "environment")}
	if err := os.MkdirAll(l.env, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", filepath.Join(repo, "bin")+string(os.PathListSeparator)+os.Getenv("PATH"))
	t.Setenv("XDG_CONFIG_HOME", filepath.Join(home, "config")) // the age identity is made there, not in the home of whoever runs this
	t.Setenv("APORETO_AGE_IDENTITY", "")
	t.Setenv("APORETO_ENV", "")
	t.Cleanup(func() {
		if t.Failed() {
			l.explain(t)
		}
		if l.client != nil {
			_ = l.client.Disconnect(context.Background())
		}
		if !keep {
			l.sandbox(t, "down")
		}
	})
	if _, err := os.Stat(l.deployed()); err == nil {
		l.standing = true
		return l
	}
	l.sandbox(t, "down") // what an earlier run or a demo left must not be taken for this one's
	l.sandbox(t, "up")
	return l
}

// deployed is the file that says that the story was told to its end in this lab.
func (l *lab) deployed() string { return filepath.Join(filepath.Dir(l.env), "deployed") }

// run runs a program in the environment directory and returns how it ended, whatever its exit code.
func (l *lab) run(t *testing.T, limit time.Duration, name string, args ...string) result {
	t.Helper()
	// Not t.Context(): cleanups run programs too.
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = l.env
	cmd.WaitDelay = 5 * time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) && !errors.Is(err, exec.ErrWaitDelay) {
		t.Fatalf("%s %s: %v", name, strings.Join(args, " "), err)
	}
	return result{stdout: stdout.String(), stderr: stderr.String(), code: cmd.ProcessState.ExitCode()}
}

// sandbox runs hack/sandbox, which must succeed.
func (l *lab) sandbox(t *testing.T, args ...string) string {
	t.Helper()
	r := l.run(t, 45*time.Minute, filepath.Join(l.repo, "hack/sandbox"), args...)
	if r.code != 0 {
		t.Fatalf("hack/sandbox %s: exit %d\n%s%s", strings.Join(args, " "), r.code, r.stdout, r.stderr)
	}
	return r.stdout
}

// exec runs a program with the sandbox's names and kubeconfig.
func (l *lab) exec(t *testing.T, args ...string) result {
	t.Helper()
	return l.run(t, 10*time.Minute, filepath.Join(l.repo, "hack/sandbox"), append([]string{"exec"}, args...)...)
}

// aporeto runs the plugin through kubectl, as its users do.
func (l *lab) aporeto(t *testing.T, args ...string) result {
	t.Helper()
	return l.exec(t, append([]string{"kubectl", "aporeto"}, args...)...)
}

// must runs the plugin, which must succeed, and returns its stdout.
func (l *lab) must(t *testing.T, args ...string) string {
	t.Helper()
	r := l.aporeto(t, args...)
	if r.code != 0 {
		t.Fatalf("kubectl aporeto %s: exit %d\n%s%s", strings.Join(args, " "), r.code, r.stdout, r.stderr)
	}
	return r.stdout
}

// kubectl runs kubectl in a zone's namespace; it must succeed.
func (l *lab) kubectl(t *testing.T, zone string, args ...string) string {
	t.Helper()
	r := l.exec(t, append([]string{"kubectl", "--context", zone, "-n", namespace}, args...)...)
	if r.code != 0 {
		t.Fatalf("kubectl --context %s %s: exit %d\n%s%s", zone, strings.Join(args, " "), r.code, r.stdout, r.stderr)
	}
	return r.stdout
}

// explain prints what both zones are doing.
func (l *lab) explain(t *testing.T) {
	t.Helper()
	for _, zone := range []string{"zone-a", "zone-b"} {
		for _, args := range [][]string{
			{"get", "pods,cronjobs,jobs,secrets", "-o", "wide"},
			{"get", "events", "--sort-by=.lastTimestamp"},
			{"logs", "-l", "app.kubernetes.io/component=gateway", "--tail=60", "--prefix"},
			{"logs", "-l", "app.kubernetes.io/component=maintenance", "--tail=30", "--prefix"},
		} {
			r := l.exec(t, append([]string{"kubectl", "--context", zone, "-n", namespace, "--request-timeout=10s"}, args...)...)
			fmt.Printf("--- %s: kubectl %s\n%s%s", zone, strings.Join(args, " "), r.stdout, r.stderr)
		}
	}
}

// await waits until what holds.
func await(t *testing.T, limit time.Duration, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", limit, what)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// awaitCodes waits until the zones answer as wanted.
func awaitCodes(t *testing.T, limit time.Duration, want map[string]int) {
	t.Helper()
	await(t, limit, fmt.Sprintf("zones answer %v", want), func() bool {
		for zone, code := range want {
			if have, _ := ask(zone, "/await"); have != code {
				return false
			}
		}
		return true
	})
}
