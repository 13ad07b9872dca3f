package release

import (
	"context"
	"errors"
	"fmt"
	"time"

	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/release"
	"helm.sh/helm/v3/pkg/storage/driver"
	"k8s.io/cli-runtime/pkg/genericclioptions"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/hint"
)

const (
	// grace is how long a Helm operation may run on after its context was cancelled. Without waiting for pods one takes a second or two.
	grace = 10 * time.Second
	// history is how many revisions are kept of a release.
	history = 10
	// hookTimeout bounds a chart's hooks; the plugin's charts have none, a user's extraObjects may.
	hookTimeout = 5 * time.Minute
)

// Client works on the releases of one namespace of one cluster.
type Client struct {
	getter    genericclioptions.RESTClientGetter
	namespace string
	log       func(format string, args ...any)
}

// New returns a client of the releases in namespace. log takes Helm's own debug lines; nil drops them.
func New(getter genericclioptions.RESTClientGetter, namespace string, log func(string, ...any)) *Client {
	if log == nil {
		log = func(string, ...any) {}
	}
	return &Client{getter: getter, namespace: namespace, log: log}
}

// Stored is the newest revision of a release as its cluster's store has it.
type Stored struct {
	Name         string
	ChartVersion string
	Revision     int
	Status       string // Helm's word: deployed, failed, pending-upgrade, …
	Pending      bool   // somebody's operation began and did not end
	Manifest     Manifest
	Description  string

	values map[string]any
}

// Deployed tells whether the newest revision was finished without an error.
func (s *Stored) Deployed() bool { return s.Status == string(release.StatusDeployed) }

// Matches tells whether the stored revision is what spec, rendered as wanted, would store again: chart, values and every object.
func (s *Stored) Matches(spec Spec, wanted Manifest) bool {
	return s.ChartVersion == spec.Chart.Version && s.Manifest.Text == wanted.Text && sameValues(s.values, spec.Values)
}

// configuration returns a fresh one, for one operation.
func (c *Client) configuration() (*action.Configuration, error) {
	config := new(action.Configuration)
	if err := config.Init(c.getter, c.namespace, "secret", c.log); err != nil {
		return nil, fmt.Errorf("configure Helm: %w", err)
	}
	return config, nil
}

// Capabilities asks the cluster which APIs and version it has.
func (c *Client) Capabilities(ctx context.Context) (Capabilities, error) {
	return bounded(ctx, "read the cluster's APIs", func() (Capabilities, error) {
		discovery, err := c.getter.ToDiscoveryClient()
		if err != nil {
			return Capabilities{}, err
		}
		version, err := discovery.ServerVersion()
		if err != nil {
			return Capabilities{}, err
		}
		apis, err := action.GetVersionSet(discovery)
		if err != nil {
			return Capabilities{}, err
		}
		caps := Offline()
		caps.helm.APIVersions = apis
		caps.helm.KubeVersion.Version = version.GitVersion
		caps.helm.KubeVersion.Major, caps.helm.KubeVersion.Minor = version.Major, version.Minor
		return caps, nil
	})
}

// Current returns the newest revision of the release called name, nil when there is none.
func (c *Client) Current(ctx context.Context, name string) (*Stored, error) {
	return bounded(ctx, fmt.Sprintf("read release %q", name), func() (*Stored, error) {
		config, err := c.configuration()
		if err != nil {
			return nil, err
		}
		rel, err := config.Releases.Last(name)
		if errors.Is(err, driver.ErrReleaseNotFound) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		manifest, err := parseManifest(rel.Manifest)
		if err != nil {
			return nil, err
		}
		return &Stored{
			Name: rel.Name, ChartVersion: rel.Chart.Metadata.Version, Revision: rel.Version, Status: rel.Info.Status.String(),
			Pending: rel.Info.Status.IsPending(), Description: rel.Info.Description, Manifest: manifest, values: rel.Config,
		}, nil
	})
}

// Apply makes the first revision of spec or, when there is one already (exists), the next; that puts back live objects which were deleted
// or edited. It returns the revision's number and does not wait for pods.
func (c *Client) Apply(ctx context.Context, spec Spec, caps Capabilities, exists bool) (revision int, err error) {
	what, do := "install", c.install
	if exists {
		what, do = "upgrade", c.upgrade
	}
	return bounded(ctx, fmt.Sprintf("%s release %q", what, spec.Name), func() (int, error) {
		config, err := c.configuration()
		if err != nil {
			return 0, err
		}
		config.Capabilities = caps.helm.Copy()
		ch, err := spec.Chart.load()
		if err != nil {
			return 0, err
		}
		rel, err := do(context.WithoutCancel(ctx), config, spec, ch)
		if err != nil {
			return 0, explain(spec.Name, err)
		}
		return rel.Version, nil
	})
}

func (c *Client) install(ctx context.Context, config *action.Configuration, spec Spec, ch *chart.Chart) (*release.Release, error) {
	install := action.NewInstall(config)
	install.ReleaseName, install.Namespace = spec.Name, spec.Namespace
	install.Timeout = hookTimeout
	return install.RunWithContext(ctx, ch, deepCopy(spec.Values))
}

func (c *Client) upgrade(ctx context.Context, config *action.Configuration, spec Spec, ch *chart.Chart) (*release.Release, error) {
	upgrade := action.NewUpgrade(config)
	upgrade.Namespace, upgrade.MaxHistory = spec.Namespace, history
	upgrade.ResetValues = true
	upgrade.Timeout = hookTimeout
	return upgrade.RunWithContext(ctx, spec.Name, ch, deepCopy(spec.Values))
}

// Recover ends a pending revision whose operator is gone by marking it failed, so that an upgrade can follow. The caller must know that
// nobody is working on the release.
func (c *Client) Recover(ctx context.Context, name string) error {
	_, err := bounded(ctx, fmt.Sprintf("recover release %q", name), func() (struct{}, error) {
		config, err := c.configuration()
		if err != nil {
			return struct{}{}, err
		}
		rel, err := config.Releases.Last(name)
		if err != nil {
			return struct{}{}, err
		}
		if !rel.Info.Status.IsPending() {
			return struct{}{}, nil
		}
		rel.SetStatus(release.StatusFailed, fmt.Sprintf("interrupted while %s; marked failed by kubectl aporeto deploy", rel.Info.Status))
		return struct{}{}, config.Releases.Update(rel)
	})
	return err
}

// Uninstall removes the release called name and its objects; it tells whether there was one.
func (c *Client) Uninstall(ctx context.Context, name string) (bool, error) {
	return bounded(ctx, fmt.Sprintf("uninstall release %q", name), func() (bool, error) {
		config, err := c.configuration()
		if err != nil {
			return false, err
		}
		if _, err := config.Releases.Last(name); errors.Is(err, driver.ErrReleaseNotFound) {
			return false, nil
		}
		uninstall := action.NewUninstall(config)
		uninstall.Timeout = hookTimeout
		_, err = uninstall.Run(name)
		return err == nil, err
	})
}

// errGrace means that an interrupted operation did not end in its time of grace and goes on without us.
var errGrace = errors.New("did not end within 10 s of the interruption; the release may be left pending, and the next deploy recovers it")

// bounded runs one operation of Helm, whose calls take no context. A cancelled ctx gives it a time of grace to end by itself.
func bounded[T any](ctx context.Context, what string, do func() (T, error)) (T, error) {
	var none T
	if err := context.Cause(ctx); err != nil {
		return none, fmt.Errorf("%s: %w", what, err)
	}
	type outcome struct {
		result T
		err    error
	}
	done := make(chan outcome, 1)
	go func() {
		result, err := do()
		done <- outcome{result, err}
	}()
	finish := func(o outcome) (T, error) {
		if o.err != nil {
			return o.result, fmt.Errorf("%s: %w", what, o.err)
		}
		return o.result, nil
	}
	select {
	case o := <-done:
		return finish(o)
	case <-ctx.Done():
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case o := <-done:
		return finish(o)
	case <-timer.C:
		return none, fmt.Errorf("%s: %w: %w", what, context.Cause(ctx), errGrace)
	}
}

// explain adds the next command to the refusals of Helm that a user can do something about.
func explain(name string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, driver.ErrNoDeployedReleases):
		return hint.Wrap(tidy(err), "look at it with: helm history %s; helm uninstall %s and deploy again starts afresh", name, name)
	}
	return tidy(err)
}

// NewStored returns what the store would hold after spec, rendered as manifest, was applied as the given revision.
func NewStored(spec Spec, manifest Manifest, revision int) Stored {
	return Stored{Name: spec.Name, ChartVersion: spec.Chart.Version, Revision: revision, Status: string(release.StatusDeployed), Manifest: manifest, values: spec.Values}
}
