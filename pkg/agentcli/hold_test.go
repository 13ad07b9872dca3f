package agentcli_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/agentcli"
)

func TestHoldUsage(t *testing.T) {
	good := []string{"hold", "--environment=e", "--zone=a", "--gateway=http://127.0.0.1:1"}
	for _, tt := range []struct {
		name string
		args []string
		says []string
	}{
		{"all that is missing", []string{"hold"}, []string{"--environment", "--zone", "no command", "--gateway"}},
		{"all that is wrong", append(good, "--grace=-1s", "--interval=1ms", `--probes={"liveness":{}}`, "--gateway=https://x", "--", "x"),
			[]string{"--grace", "--interval", "liveness probe", "https://x"}},
		{"install and more", []string{"hold", "--install=/x/y", "--zone=a"}, []string{"--install goes with nothing else"}},
		{"install and a command", []string{"hold", "--install=/x/y", "--", "x"}, []string{"--install goes with nothing else"}},
	} {
		code, _, errOut := agent(t.Context(), tt.args...)
		if code != agentcli.ExitUsage {
			t.Errorf("%s: exit code %d", tt.name, code)
		}
		for _, want := range tt.says {
			if !strings.Contains(errOut, want) {
				t.Errorf("%s: %q is not in\n%s", tt.name, want, errOut)
			}
		}
	}
	// A command that cannot be run is told before the zone is active: the deploy shows it. Its own flags are its own.
	if code, _, errOut := agent(t.Context(), append(good, "--", "/no/such", "--zone=b")...); code != 127 || !strings.Contains(errOut, "/no/such") {
		t.Errorf("exit code %d, %s", code, errOut)
	}
	path := filepath.Join(t.TempDir(), "agent")
	if code, _, errOut := agent(t.Context(), "hold", "--install="+path); code != 0 {
		t.Errorf("exit code %d, %s", code, errOut)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm()&0o111 == 0 {
		t.Errorf("installed %v, %v", info, err)
	}
}
