package rollout

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/plan"
)

// single makes b an environment of one zone; with is whether it has an in-cluster MongoDB.
func single(b *bench, with *bool) {
	b.All, b.Zones = b.All[:1], b.Zones[:1]
	values := b.Values
	b.Values = func() ([]plan.Wanted, error) {
		wanted, err := values()
		wanted[0].ControlPlane["mongodb-shard"] = map[string]any{"enabled": *with}
		if *with {
			wanted[0].ControlPlane["global"] = map[string]any{"database": map[string]any{"mongo": map[string]any{"host": wanted[0].ShardDatabase()[3].ClientHosts()}}}
		}
		return wanted, err
	}
}

// TestInClusterDatabase: the servers become a database after they were applied and before anybody waits for pods that need it, also where
// nothing changes; and no release is called done when they do not.
func TestInClusterDatabase(t *testing.T) {
	b, with := newBench(t), true
	single(b, &with)
	var at []string
	b.Database = func(ctx context.Context, w plan.Wanted, status func(string)) error {
		if _, limited := ctx.Deadline(); !limited || w.Zone.Name != "east" {
			t.Errorf("zone %s, limited %t", w.Zone.Name, limited)
		}
		status("waiting")
		at = append(at, strings.Join(b.clusters["east"].changes(), ","))
		return nil
	}
	for run, want := range []Result{Deployed, Unchanged} {
		if r := b.run(t.Context(), t)["east"]; r.Result != want {
			t.Errorf("run %d: %+v", run, r)
		}
	}
	members := "secret aporeto-member-config,secret aporeto-member-data,secret aporeto-member-reports,secret aporeto-member-router"
	if len(at) != 2 || !strings.Contains(at[0], members) || !strings.HasSuffix(at[0], "apply control-plane 1") {
		t.Errorf("called after %q", at)
	}
	b.Database = func(context.Context, plan.Wanted, func(string)) error { return errors.New("no primary") }
	if r := b.run(t.Context(), t)["east"]; r.Result != Failed || !strings.Contains(r.Error, "mongodb-shard: no primary") {
		t.Errorf("a database that does not come about: %+v", r)
	}
}

// TestVolumesOfAFormerDatabase are kept and said to be, and deleted only when that is asked for.
func TestVolumesOfAFormerDatabase(t *testing.T) {
	b, with := newBench(t), true
	single(b, &with)
	b.Database = func(context.Context, plan.Wanted, func(string)) error { return nil }
	east := b.clusters["east"]
	east.volumes = []string{"data-mongodb-shard-data-0"}
	b.DeleteVolumes = true
	b.run(t.Context(), t)
	if len(east.volumes) != 1 {
		t.Fatal("volumes of a database that is there were deleted")
	}
	with, b.DeleteVolumes = false, false
	if r := b.run(t.Context(), t)["east"]; r.Result == Failed || len(east.volumes) != 1 || r.DeletedVolumes != nil {
		t.Errorf("kept: %+v, left %q", r, east.volumes)
	}
	b.DeleteVolumes = true
	if r := b.run(t.Context(), t)["east"]; r.Result != Deployed || len(east.volumes) != 0 || len(r.DeletedVolumes) != 1 {
		t.Errorf("deleted: %+v, left %q", r, east.volumes)
	}
	if r := b.run(t.Context(), t)["east"]; r.Result != Unchanged {
		t.Errorf("again: %+v", r)
	}
}
