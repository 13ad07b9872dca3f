package rollout

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/hint"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/kube"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/plan"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/release"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/zone"
)

// cluster is a Kubernetes cluster and its releases in memory, as far as a rollout looks. Rendering is real.
type cluster struct {
	mu       sync.Mutex
	uid      string
	calls    []string // what was changed, in order
	spaces   map[string]bool
	holder   string
	volumes  []string // of a former in-cluster database
	secrets  map[string]map[string][]byte
	releases map[string]*stored
	damage   map[string]kube.Change // by release
	fail     map[string]error       // by step
	block    func(context.Context) error
	loseLock context.CancelCauseFunc
}

type stored struct {
	release.Stored
	spec release.Spec
}

func newCluster(uid string) *cluster {
	return &cluster{uid: uid, spaces: map[string]bool{}, secrets: map[string]map[string][]byte{}, releases: map[string]*stored{},
		damage: map[string]kube.Change{}, fail: map[string]error{}}
}

func (c *cluster) did(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls = append(c.calls, fmt.Sprintf(format, args...))
}

// changes returns what was changed since the last call.
func (c *cluster) changes() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	calls := c.calls
	c.calls = nil
	return calls
}

func (c *cluster) UID(context.Context) (string, error) { return c.uid, c.fail["uid"] }

func (c *cluster) EnsureNamespace(context.Context, map[string]string) (bool, error) {
	if c.spaces["ns"] {
		return false, nil
	}
	c.spaces["ns"] = true
	c.did("namespace")
	return true, nil
}

func (c *cluster) Acquire(ctx context.Context, holder string, _ func(string)) (*kube.Lock, context.Context, error) {
	if c.holder != "" {
		return nil, nil, fmt.Errorf("the lock is held by %s", c.holder)
	}
	c.holder = holder
	held, cancel := context.WithCancelCause(ctx)
	c.loseLock = cancel
	return &kube.Lock{Release: func(context.Context) error {
		cancel(context.Canceled)
		c.holder = ""
		return nil
	}}, held, nil
}

func (c *cluster) Secrets(_ context.Context, names []string) (map[string]map[string][]byte, error) {
	found := map[string]map[string][]byte{}
	for _, name := range names {
		if data, ok := c.secrets[name]; ok {
			found[name] = data
		}
	}
	return found, nil
}

func (c *cluster) ApplySecrets(_ context.Context, secrets []kube.Secret) ([]string, error) {
	var changed []string
	for _, s := range secrets {
		if maps.EqualFunc(c.secrets[s.Name], s.Data, slices.Equal[[]byte]) {
			continue
		}
		c.secrets[s.Name] = s.Data
		changed = append(changed, s.Name)
		c.did("secret %s", s.Name)
	}
	return changed, c.fail["secrets"]
}

func (c *cluster) Drift(_ context.Context, objects []map[string]any) ([]kube.Change, error) {
	name := objects[0]["metadata"].(map[string]any)["name"].(string)
	if change, ok := c.damage[name]; ok {
		return []kube.Change{change}, nil
	}
	return nil, nil
}

func (c *cluster) Wait(ctx context.Context, _ []map[string]any, _ time.Duration, report func(kube.Readiness)) error {
	report(kube.Readiness{Total: 1, Waiting: []string{"Deployment/x 0/1"}})
	if c.block != nil {
		if err := c.block(ctx); err != nil {
			return err
		}
	}
	return c.fail["wait"]
}

func (c *cluster) DatabaseVolumes(_ context.Context, remove bool) ([]string, error) {
	left := c.volumes
	if remove {
		c.volumes = nil
		for _, name := range left {
			c.did("delete volume %s", name)
		}
	}
	return left, c.fail["volumes"]
}

func (c *cluster) Capabilities(context.Context) (release.Capabilities, error) {
	return release.Offline(), nil
}

func (c *cluster) Current(_ context.Context, name string) (*release.Stored, error) {
	found, ok := c.releases[name]
	if !ok {
		return nil, nil
	}
	copied := found.Stored
	return &copied, nil
}

func (c *cluster) Apply(ctx context.Context, spec release.Spec, caps release.Capabilities, exists bool) (int, error) {
	if err := c.fail[spec.Name]; err != nil {
		return 0, err
	}
	manifest, err := release.Render(ctx, spec, caps)
	if err != nil {
		return 0, err
	}
	revision := 1
	if old, ok := c.releases[spec.Name]; ok != exists {
		return 0, fmt.Errorf("release %q exists: %v, not %v", spec.Name, ok, exists)
	} else if ok {
		if old.Pending {
			return 0, fmt.Errorf("release %q is pending", spec.Name)
		}
		revision = old.Revision + 1
	}
	c.releases[spec.Name] = &stored{spec: spec, Stored: release.NewStored(spec, manifest, revision)}
	delete(c.damage, spec.Name)
	c.did("apply %s %d", spec.Name, revision)
	return revision, nil
}

func (c *cluster) Recover(_ context.Context, name string) error {
	c.releases[name].Pending, c.releases[name].Status = false, "failed"
	c.did("recover %s", name)
	return nil
}

func (c *cluster) Uninstall(_ context.Context, name string) (bool, error) {
	delete(c.releases, name)
	c.did("uninstall %s", name)
	return true, nil
}

// log collects progress.
type log struct {
	mu    sync.Mutex
	notes []string
}

func (l *log) Status(zone.Zone, string, string) {}
func (l *log) Note(z zone.Zone, text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.notes = append(l.notes, z.Name+": "+text)
}

// bench is a deployment to two healthy zones, east and west.
type bench struct {
	Deployment
	clusters map[string]*cluster
	log      *log
	shared   int
	recorded map[string]string
	endpoint string
	replicas int
}

func chart(t *testing.T, name string) *release.Chart {
	t.Helper()
	c, err := release.LoadChart(fstest.MapFS{
		"c/Chart.yaml": &fstest.MapFile{Data: []byte("apiVersion: v2\nname: " + name + "\nversion: 1.0.0\n")},
		"c/templates/all.yaml": &fstest.MapFile{Data: []byte("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: " + name +
			"\ndata:\n  replicas: {{ .Values.replicas | quote }}\n  endpoint: {{ .Values.endpoint | quote }}\n")},
	}, "c")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func newBench(t *testing.T) *bench {
	b := &bench{log: &log{}, recorded: map[string]string{}, endpoint: "https://api.example.com", replicas: 1,
		clusters: map[string]*cluster{"east": newCluster("uid-east"), "west": newCluster("uid-west")}}
	zones := []zone.Zone{{Name: "east", Context: "ctx-east", Namespace: "ns"}, {Name: "west", Context: "ctx-west", Namespace: "ns"}}
	b.Deployment = Deployment{
		Environment: "id", All: zones, Zones: zones, Timeout: time.Minute, Holder: "me", Progress: b.log,
		Charts: Charts{ControlPlane: chart(t, ControlPlane), AutoMaintenance: chart(t, AutoMaintenance)},
		Connect: func(z zone.Zone) (*Target, error) {
			c := b.clusters[z.Name]
			return &Target{Cluster: c, Objects: c, Releases: c, Warnings: func() []string { return nil },
				Explain: func(err error) error { return hint.Wrap(err, "look at %s", z.Context) }}, nil
		},
		Values: func() ([]plan.Wanted, error) {
			var wanted []plan.Wanted
			for _, z := range b.Zones {
				wanted = append(wanted, plan.Wanted{Zone: z,
					ControlPlane:    map[string]any{"replicas": b.replicas, "global": map[string]any{"database": map[string]any{"mongo": map[string]any{"host": "m"}}}},
					AutoMaintenance: map[string]any{"endpoint": b.endpoint}})
			}
			return wanted, nil
		},
		Record: func(_ context.Context, z zone.Zone, uid string) error { b.recorded[z.Name] = uid; return nil },
		Shared: func(context.Context) error { b.shared++; return nil },
		Issue: func(_ zone.Zone, s plan.Secret, have map[string][]byte) (map[string][]byte, error) {
			if have != nil {
				return have, nil
			}
			return map[string][]byte{"tls.crt": []byte("for " + s.Name)}, nil
		},
	}
	return b
}

func (b *bench) run(ctx context.Context, t *testing.T) map[string]Record {
	t.Helper()
	records, err := b.Run(ctx)
	if err != nil {
		t.Fatalf("run: %v", err)
	}
	byName := map[string]Record{}
	for i, r := range records {
		if r.Zone != b.Zones[i].Name {
			t.Errorf("record %d is of %s: not in the order of zones", i, r.Zone)
		}
		byName[r.Zone] = r
	}
	return byName
}
