package envdir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/environment"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/hint"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/zone"
)

const id = "0b6e7a52-7f0e-4e6c-9f0f-0d4f0f6a2c11"

func create(t *testing.T) *Dir {
	t.Helper()
	d, _, err := Create(t.Context(), filepath.Join(t.TempDir(), "env"), id)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestCreate(t *testing.T) {
	d := create(t)
	env, err := d.Load()
	if err != nil || env.ID != id {
		t.Fatalf("%+v, %v", env, err)
	}
	for _, name := range []string{"conf.d/values.yaml", "certs"} {
		if _, err := os.Stat(d.File(name)); err != nil {
			t.Error(err)
		}
	}
	before, _ := d.Read(environment.File)
	if _, _, err := Create(t.Context(), d.Path, id); err == nil || hint.Of(err) == "" {
		t.Errorf("a second Create: %v, want an error with a hint", err)
	}
	if after, _ := d.Read(environment.File); string(after) != string(before) {
		t.Error("a second Create changed aporeto.yaml")
	}
}

func TestFind(t *testing.T) {
	d := create(t)
	deep := d.File("conf.d")
	other := filepath.Dir(d.Path)
	tests := map[string]struct {
		start, flag, variable string
		ok                    bool
	}{
		"here":                    {d.Path, "", "", true},
		"above":                   {deep, "", "", true},
		"flag":                    {other, d.Path, "/none", true},
		"relative flag":           {other, "env", "", true},
		"variable":                {other, "", d.Path, true},
		"nowhere":                 {other, "", "", false},
		"flag is no environment":  {d.Path, deep, "", false},
		"flag wins over variable": {d.Path, deep, d.Path, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := Find(tt.start, tt.flag, tt.variable)
			switch {
			case tt.ok && (err != nil || got.Path != d.Path):
				t.Errorf("got %v, %v", got, err)
			case !tt.ok && (err == nil || hint.Of(err) == ""):
				t.Errorf("got %v, %v; want an error with a hint", got, err)
			}
		})
	}
}

func TestWriteKeepsTheFormerContent(t *testing.T) {
	d := create(t)
	// A folder in the place of the file: everything goes well until the last step.
	if err := os.MkdirAll(d.File("certs/x.pem/old"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := d.Write("certs/x.pem", []byte("new"), 0o600); err == nil || hint.Of(err) == "" {
		t.Fatalf("got %v, want an error with a hint", err)
	}
	left, err := os.ReadDir(d.File("certs"))
	if err != nil || len(left) != 1 || !left[0].IsDir() {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestWriteModeAndLink(t *testing.T) {
	d := create(t)
	if err := os.Symlink("real.pem", d.File("certs/link.pem")); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := d.Write("certs/real.pem", []byte("a"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := d.Write("certs/link.pem", []byte("b"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Lstat(d.File("certs/real.pem"))
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v; want 0600", info.Mode(), err)
	}
	if link, err := os.Lstat(d.File("certs/link.pem")); err != nil || link.Mode()&fs.ModeSymlink == 0 {
		t.Errorf("the link was replaced: %v, %v", link.Mode(), err)
	}
	if data, err := d.Read("certs/real.pem"); err != nil || string(data) != "b" {
		t.Errorf("got %q, %v; want what was written through the link", data, err)
	}
}

// TestUpdateLosesNothing has writers that each add a line: without the lock, some would overwrite others.
func TestUpdateLosesNothing(t *testing.T) {
	d := create(t)
	const writers, times = 8, 10
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range times {
				changed, err := d.Update(t.Context(), "log", 0o644, func(b []byte) ([]byte, error) {
					return fmt.Appendf(b, "%d-%d\n", w, i), nil
				})
				if err != nil || !changed {
					t.Errorf("changed %v, %v", changed, err)
				}
			}
		})
	}
	wg.Wait()
	data, err := d.Read("log")
	if err != nil || strings.Count(string(data), "\n") != writers*times {
		t.Errorf("%d lines, %v; want %d", strings.Count(string(data), "\n"), err, writers*times)
	}
}

func TestUpdateLeavesAlone(t *testing.T) {
	d := create(t)
	before, err := os.Stat(d.File(environment.File))
	if err != nil {
		t.Fatal(err)
	}
	same := func(b []byte) ([]byte, error) { return b, nil }
	if changed, err := d.Update(t.Context(), environment.File, 0o644, same); changed || err != nil {
		t.Errorf("changed %v, %v", changed, err)
	}
	wrong := errors.New("wrong")
	if changed, err := d.Update(t.Context(), environment.File, 0o644, func([]byte) ([]byte, error) { return nil, wrong }); changed || !errors.Is(err, wrong) {
		t.Errorf("changed %v, %v", changed, err)
	}
	after, err := os.Stat(d.File(environment.File))
	if err != nil || !os.SameFile(before, after) {
		t.Errorf("the file was replaced (%v)", err)
	}
}

func TestLockEndsWithTheContext(t *testing.T) {
	d := create(t)
	unlock, err := d.Lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.Lock(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context canceled", err)
	}
}

func TestValueLayers(t *testing.T) {
	d := create(t)
	z := zone.Zone{Name: "passive"}
	if err := d.Write("conf.d/PASSIVE/values.yaml", []byte("gateway: {replicas: 1}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	layers, err := d.ValueLayers(&z)
	if err != nil || len(layers) != 2 || layers[1].Name != "conf.d/PASSIVE/values.yaml" || len(layers[1].Values) != 1 {
		t.Errorf("got %+v, %v", layers, err)
	}
	if err := d.Write("conf.d/values.yaml", []byte("a: 1\nb: c: d\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := d.ValueLayers(nil); err == nil || !strings.Contains(err.Error(), "conf.d/values.yaml:2: ") {
		t.Errorf("got %v, want the file and the line", err)
	}
}
