package rollout

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/kube"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/plan"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/zone"
)

func wantChanges(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if len(got)+len(want) > 0 && !reflect.DeepEqual(got, want) {
		t.Errorf("%s: changed %q, want %q", what, got, want)
	}
}

var firstRun = []string{"namespace", "secret aporeto-gateway-tls", "secret aporeto-gateway-mongodb", "secret aporeto-maintenance-mongodb",
	"apply control-plane 1", "apply auto-maintenance 1"}

func TestSecondRunChangesNothing(t *testing.T) {
	b := newBench(t)
	for name, record := range b.run(t.Context(), t) {
		if record.Result != Deployed {
			t.Errorf("%s: %+v", name, record)
		}
		wantChanges(t, name, b.clusters[name].changes(), firstRun...)
	}
	if want := map[string]string{"east": "uid-east", "west": "uid-west"}; !reflect.DeepEqual(b.recorded, want) {
		t.Errorf("recorded %v", b.recorded)
	}
	for name, record := range b.run(t.Context(), t) {
		if record.Result != Unchanged || record.Releases[0].Action != plan.Keep || record.Releases[0].Revision != 1 || record.Secrets.Changed == nil {
			t.Errorf("second run, %s: %+v", name, record)
		}
		wantChanges(t, "second run, "+name, b.clusters[name].changes())
		if b.clusters[name].holder != "" {
			t.Errorf("%s: the lock was not released", name)
		}
	}
}

func TestWhatDiffersIsPutBack(t *testing.T) {
	for name, tc := range map[string]struct {
		hurt func(*bench, *cluster)
		want []string
	}{
		"secret deleted": {func(_ *bench, c *cluster) { delete(c.secrets, "aporeto-gateway-tls") }, []string{"secret aporeto-gateway-tls"}},
		"object edited": {func(_ *bench, c *cluster) {
			c.damage[ControlPlane] = kube.Change{Object: "ConfigMap/x", What: "differs"}
		}, []string{"apply control-plane 2"}},
		"job deleted": {func(_ *bench, c *cluster) {
			c.damage[AutoMaintenance] = kube.Change{Object: "CronJob/x", What: "missing"}
		}, []string{"apply auto-maintenance 2"}},
		"values changed":  {func(b *bench, _ *cluster) { b.replicas = 3 }, []string{"apply control-plane 2"}},
		"last one failed": {func(_ *bench, c *cluster) { c.releases[ControlPlane].Status = "failed" }, []string{"apply control-plane 2"}},
		"operator died": {func(_ *bench, c *cluster) {
			c.releases[ControlPlane].Status, c.releases[ControlPlane].Pending = "pending-upgrade", true
		}, []string{"recover control-plane", "apply control-plane 2"}},
		"no job any longer": {func(b *bench, _ *cluster) { b.WithoutJob = true }, []string{"uninstall auto-maintenance"}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.run(t.Context(), t)
			b.clusters["east"].changes()
			tc.hurt(b, b.clusters["east"])
			record := b.run(t.Context(), t)["east"]
			if record.Result != Deployed {
				t.Errorf("record %+v", record)
			}
			wantChanges(t, "put back", b.clusters["east"].changes(), tc.want...)
			if again := b.run(t.Context(), t)["east"]; again.Result != Unchanged {
				t.Errorf("the run after that: %+v", again)
			}
		})
	}
}

func TestRecoveryIsSaidAloud(t *testing.T) {
	b := newBench(t)
	b.run(t.Context(), t)
	b.clusters["west"].releases[ControlPlane].Pending = true
	if record := b.run(t.Context(), t)["west"]; record.Releases[0].Action != plan.Recover || record.Releases[0].Revision != 2 {
		t.Errorf("record %+v", record)
	}
	if notes := strings.Join(b.log.notes, "\n"); !strings.Contains(notes, "west: release control-plane was left") {
		t.Errorf("notes: %s", notes)
	}
}

func TestHeldLockIsNotRecovered(t *testing.T) {
	b := newBench(t)
	b.run(t.Context(), t)
	west := b.clusters["west"]
	west.releases[ControlPlane].Pending, west.holder = true, "bob@laptop"
	west.changes()
	if record := b.run(t.Context(), t)["west"]; record.Result != Failed || !strings.Contains(record.Error, "bob@laptop") {
		t.Errorf("record %+v", record)
	}
	wantChanges(t, "west", west.changes())
}

// One zone fails in each possible place; the other is finished all the same.
func TestFailureStaysInItsZone(t *testing.T) {
	for step, hurt := range map[string]func(*cluster){
		"uid":           func(c *cluster) { c.fail["uid"] = errors.New("no route") },
		"lock":          func(c *cluster) { c.holder = "bob" },
		"secrets":       func(c *cluster) { c.fail["secrets"] = errors.New("forbidden") },
		"control-plane": func(c *cluster) { c.fail[ControlPlane] = errors.New("refused") },
		"wait":          func(c *cluster) { c.fail["wait"] = errors.New("not ready") },
		"panic":         func(c *cluster) { c.releases = nil },
	} {
		t.Run(step, func(t *testing.T) {
			b := newBench(t)
			hurt(b.clusters["west"])
			records := b.run(t.Context(), t)
			if records["east"].Result != Deployed {
				t.Errorf("east: %+v", records["east"])
			}
			if west := records["west"]; west.Result != Failed || west.Error == "" || west.Hint == "" {
				t.Errorf("west: %+v", west)
			}
			failed := Failures(b.Zones, []Record{records["east"], records["west"]})
			if len(failed) != 1 || failed[0].Zone.Name != "west" {
				t.Errorf("failures: %v", failed)
			}
			if step != "lock" && b.clusters["west"].holder != "" {
				t.Error("west's lock was not released")
			}
		})
	}
}

func TestNothingIsTouchedBefore(t *testing.T) {
	for name, tc := range map[string]struct {
		hurt func(*bench)
		want string // part of the error of the whole run; "" when it is each zone's
	}{
		"shared steps fail": {func(b *bench) { b.Shared = func(context.Context) error { return errors.New("no database") } }, "no database"},
		"no endpoint":       {func(b *bench) { b.endpoint = "" }, "auto-maintenance endpoint"},
		"values are wrong":  {func(b *bench) { b.Values = func() ([]plan.Wanted, error) { return nil, errors.New("unknown key") } }, "unknown key"},
		"one place twice":   {func(b *bench) { b.clusters["west"].uid = "uid-east" }, "one place"},
		"not to be recorded": {func(b *bench) {
			b.Record = func(context.Context, zone.Zone, string) error { return errors.New("disk full") }
		}, "disk full"},
		"nobody can be found": {func(b *bench) {
			b.clusters["west"].fail["uid"], b.clusters["east"].fail["uid"] = errors.New("x"), errors.New("x")
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			tc.hurt(b)
			records, err := b.Run(t.Context())
			if (tc.want == "") != (err == nil) || (err != nil && !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("got error %v", err)
			}
			if err == nil && (records[0].Result != Failed || records[1].Result != Failed || b.shared != 0) {
				t.Errorf("records %+v, shared steps done %d times", records, b.shared)
			}
			for name, c := range b.clusters {
				wantChanges(t, name, c.changes())
			}
		})
	}
}

func TestAnotherClusterIsRefused(t *testing.T) {
	b := newBench(t)
	b.All[1].ClusterUID = "the one it was made with"
	records := b.run(t.Context(), t)
	if west := records["west"]; west.Result != Failed || !strings.Contains(west.Error, "another cluster") {
		t.Errorf("west: %+v", west)
	}
	wantChanges(t, "west", b.clusters["west"].changes())
	if records["east"].Result != Deployed {
		t.Errorf("east: %+v", records["east"])
	}
}

func TestInterruptFinishesAndReleases(t *testing.T) {
	b := newBench(t)
	ctx, interrupt := context.WithCancelCause(t.Context())
	b.clusters["west"].block = func(held context.Context) error {
		interrupt(fmt.Errorf("interrupt signal received: %w", context.Canceled))
		<-held.Done()
		return held.Err()
	}
	record := b.run(ctx, t)["west"]
	if record.Result != Failed || !strings.Contains(record.Error, "interrupt signal received") {
		t.Errorf("record %+v", record)
	}
	if len(record.Releases) != 1 || record.Releases[0].Action != plan.Install {
		t.Errorf("what was done is not reported: %+v", record.Releases)
	}
	if b.clusters["west"].holder != "" {
		t.Error("the lock was not released")
	}
	b.clusters["west"].block = nil
	b.clusters["west"].changes()
	if record := b.run(t.Context(), t)["west"]; record.Result != Deployed {
		t.Errorf("run again: %+v", record)
	}
	wantChanges(t, "run again", b.clusters["west"].changes(), "apply auto-maintenance 1")
}

func TestLostLockStopsTheZone(t *testing.T) {
	b := newBench(t)
	west := b.clusters["west"]
	west.block = func(held context.Context) error {
		west.loseLock(fmt.Errorf("%w: bob has it now", kube.ErrLockLost))
		<-held.Done()
		return held.Err()
	}
	record := b.run(t.Context(), t)["west"]
	if !errors.Is(record.Err(), kube.ErrLockLost) || !strings.Contains(record.Error, "bob has it now") {
		t.Errorf("record %+v", record)
	}
	if _, ok := west.releases[AutoMaintenance]; ok {
		t.Error("it went on without the lock")
	}
}
