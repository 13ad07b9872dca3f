package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// results holds the latest result of every subject.
type results struct {
	APIVersion string           `json:"apiVersion"`
	Kind       string           `json:"kind"`
	Runs       map[string]*meta `json:"runs"` // by subject
	Idle       *idleResult      `json:"idle,omitempty"`
	Proxy      *proxyResult     `json:"proxy,omitempty"`
	Flip       *flipResult      `json:"flip,omitempty"`
	Gaps       *gapsResult      `json:"gaps,omitempty"`
}

// meta says from which run a result is.
type meta struct {
	Began      time.Time `json:"began"`
	Seconds    float64   `json:"seconds"`
	Commit     string    `json:"commit"`
	Machine    machine   `json:"machine"`
	LoadBefore string    `json:"loadBefore"` // load averages over 1, 5 and 15 minutes
	LoadAfter  string    `json:"loadAfter"`
	Busy       float64   `json:"busy"` // share of the machine's CPU time that was used, by anybody, idle time of the subject included
	Seed       uint64    `json:"seed"`
	Quick      bool      `json:"quick,omitempty"`
	Note       string    `json:"note,omitempty"`

	busy busy
}

func newMeta(ctx context.Context, repo string, o options) *meta {
	out, err := exec.CommandContext(ctx, "git", "-C", repo, "describe", "--always", "--dirty", "--abbrev=10").Output() //nolint:gosec // the clone's own folder
	commit := strings.TrimSpace(string(out))
	if err != nil {
		commit = "unknown"
	}
	return &meta{Began: time.Now().UTC().Round(time.Second), Commit: commit, Machine: thisMachine(), LoadBefore: load(), Seed: o.seed, Quick: o.quick, Note: o.note, busy: newBusy()}
}

func (m *meta) end() {
	m.Seconds, m.LoadAfter, m.Busy = time.Since(m.Began).Seconds(), load(), m.busy.share()
}

// readResults reads the file of former results; one that is not there holds none.
func readResults(file string) (*results, error) {
	none := &results{APIVersion: "aporeto.io/v1alpha1", Kind: "BenchResults", Runs: map[string]*meta{}}
	if file == "" {
		return none, nil
	}
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return none, nil
	}
	if err != nil {
		return nil, err
	}
	all := *none
	if err := json.Unmarshal(data, &all); err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	return &all, nil
}

func writeResults(file string, all *results) error {
	if file == "" {
		return nil
	}
	data, err := json.MarshalIndent(all, "", " ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, append(data, '\n'), 0o644)
}
