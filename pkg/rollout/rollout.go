// Package rollout is the use case of deploy: preflight, the steps that all zones share, then every zone at once: namespace, lock,
// Secrets, releases, waiting, verifying.
//
// Invariants: nothing is touched before the preflight and the shared steps are done; one zone's failure never cancels another; what is
// as it should be is not touched, so that a second run changes nothing; and a run that is killed anywhere can be run again. What to do
// is decided by pkg/plan; how Secrets come about and what the shared steps are is given by the caller.
package rollout

import (
	"context"
	"time"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/kube"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/plan"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/release"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/zone"
)

// Names of the releases in a zone's namespace.
const (
	ControlPlane    = "control-plane"
	AutoMaintenance = "auto-maintenance"
)

// Cluster is what a rollout needs of a zone's cluster before its releases; *kube.Client is one.
type Cluster interface {
	// UID returns the UID of the kube-system namespace.
	UID(ctx context.Context) (string, error)
	EnsureNamespace(ctx context.Context, labels map[string]string) (created bool, err error)
	Acquire(ctx context.Context, holder string, report func(string)) (*kube.Lock, context.Context, error)
}

// Objects is what a rollout needs of a zone's live objects; *kube.Client is one.
type Objects interface {
	Secrets(ctx context.Context, names []string) (map[string]map[string][]byte, error)
	ApplySecrets(ctx context.Context, secrets []kube.Secret) (changed []string, err error)
	Drift(ctx context.Context, objects []map[string]any) ([]kube.Change, error)
	Wait(ctx context.Context, objects []map[string]any, timeout time.Duration, report func(kube.Readiness)) error
	// DatabaseVolumes returns the names of the volume claims of in-cluster MongoDB servers, and deletes them when told to.
	DatabaseVolumes(ctx context.Context, remove bool) ([]string, error)
}

// Releases is what a rollout needs of a zone's releases; *release.Client is one.
type Releases interface {
	Capabilities(ctx context.Context) (release.Capabilities, error)
	Current(ctx context.Context, name string) (*release.Stored, error)
	Apply(ctx context.Context, spec release.Spec, caps release.Capabilities, exists bool) (revision int, err error)
	Recover(ctx context.Context, name string) error
	Uninstall(ctx context.Context, name string) (bool, error)
}

// Target is one zone's cluster.
type Target struct {
	Cluster  Cluster
	Objects  Objects
	Releases Releases
	// Warnings returns what the API server warned of since the last call.
	Warnings func() []string
	// Explain adds the hint that fits an error of a request.
	Explain func(error) error
}

// Connect returns the target of z by the rules of pkg/kube; kubeconfig is the --kubeconfig flag.
func Connect(z zone.Zone, kubeconfig string) (*Target, error) {
	client, err := kube.Open(z, kubeconfig)
	if err != nil {
		return nil, err
	}
	return &Target{Cluster: client, Objects: client, Releases: release.New(client, z.Namespace, nil), Warnings: client.Warnings, Explain: client.Explain}, nil
}

// Progress is told what goes on. Its methods are called by several goroutines at once.
type Progress interface {
	// Status replaces what the zone was doing.
	Status(z zone.Zone, step, text string)
	// Note is a line that must stay to be read.
	Note(z zone.Zone, text string)
}

// Charts are the two charts of a zone.
type Charts struct{ ControlPlane, AutoMaintenance *release.Chart }

// Deployment is one run of deploy.
type Deployment struct {
	Environment string      // its id
	All         []zone.Zone // the environment's, selected or not
	Zones       []zone.Zone // those to deploy, in the order of reports
	Charts      Charts
	Timeout     time.Duration // of the wait for one release's pods
	Holder      string        // who holds the deploy locks, as people and other processes know it
	WithoutJob  bool          // no zone shall have an auto-maintenance job

	Connect  func(zone.Zone) (*Target, error)
	Progress Progress
	// Values returns what the zones are to be. It is called twice: before anything is touched, and after Shared, which may have raised the
	// certificates' generation.
	Values func() ([]plan.Wanted, error)
	// Record writes down the UID of a zone's cluster that was seen for the first time.
	Record func(ctx context.Context, z zone.Zone, uid string) error
	// Shared does what all zones share, once: certificates, database. It is called when at least one zone can be deployed to.
	Shared func(ctx context.Context) error
	// Database makes one sharded cluster of a zone's in-cluster MongoDB, whose servers are starting, and what Shared makes in a database of the
	// user's own. It is called for a zone that has one, once its release is applied and before its pods are waited for: neither routers nor
	// gateways become ready before. status says what is waited for.
	Database func(ctx context.Context, w plan.Wanted, status func(string)) error
	// DeleteVolumes deletes the volumes of an in-cluster MongoDB that a zone no longer has; else they are kept, and said to be.
	DeleteVolumes bool
	// Issue returns the content of a Secret, have when that is still valid.
	Issue func(z zone.Zone, secret plan.Secret, have map[string][]byte) (map[string][]byte, error)
}

// Spec returns the releases of a zone, the job's only when the zone shall have one.
func (c Charts) Spec(w plan.Wanted) (controlPlane, autoMaintenance release.Spec) {
	controlPlane = release.Spec{Name: ControlPlane, Namespace: w.Zone.Namespace, Chart: c.ControlPlane, Values: w.ControlPlane}
	autoMaintenance = release.Spec{Name: AutoMaintenance, Namespace: w.Zone.Namespace, Chart: c.AutoMaintenance, Values: w.AutoMaintenance}
	return controlPlane, autoMaintenance
}

// Labels returns the labels of everything that the plugin itself makes in a zone.
func Labels(environment string, z zone.Zone) map[string]string {
	return map[string]string{
		"app.kubernetes.io/managed-by": kube.FieldManager,
		"app.kubernetes.io/part-of":    "aporeto",
		"aporeto.io/environment":       environment,
		"aporeto.io/zone":              zone.Key(z.Name),
	}
}
