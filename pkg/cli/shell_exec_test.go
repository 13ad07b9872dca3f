package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestShellThroughFolder: where there are no files in memory the key lies in a folder of its own, and is removed whatever the shell does.
func TestShellThroughFolder(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	fake := filepath.Join(t.TempDir(), "mongosh")
	script := "#!/bin/sh\nstat -c %a \"$2\" \"${2%/*}\"\ncat \"$2\"; read line; echo \"$line $3\"; exit 7\n"
	if err := os.WriteFile(fake, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	var out []byte
	code := 0
	become := func(path string, argv []string) error {
		cmd := exec.Command(path, argv[1:]...)
		cmd.Stdin = strings.NewReader("typed\n")
		out, _ = cmd.CombinedOutput()
		code = cmd.ProcessState.ExitCode()
		return nil
	}
	_ = execThroughFolder(become, fake, shellCommand{program: "mongosh", before: []string{"--key"}, after: []string{"last"}}, []byte("secret\n"))
	if want := "600\n700\nsecret\ntyped last\n"; string(out) != want || code != 7 {
		t.Errorf("exit %d, %q; want 7, %q", code, out, want)
	}
	if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestShellThatCannotStartLeavesNoKey(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	if err := execThroughFolder(func(string, []string) error { return os.ErrPermission }, "/x", shellCommand{}, []byte("secret")); err == nil {
		t.Error("no error")
	}
	if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
