package rollout

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/hint"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/plan"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/zone"
)

// Result is how a zone ended.
type Result string

// The results.
const (
	Deployed  Result = "deployed"  // something was changed, and all is as it should be
	Unchanged Result = "unchanged" // all was as it should be
	Failed    Result = "failed"
)

// Record is what a run did in one zone. What it says was done is done even when the zone failed later.
type Record struct {
	Zone     string          `json:"zone"`
	Result   Result          `json:"result"`
	Releases []ReleaseRecord `json:"releases,omitempty"`
	Secrets  SecretsRecord   `json:"secrets"`
	// DeletedVolumes names the volume claims of a former in-cluster MongoDB that were deleted because that was asked for.
	DeletedVolumes []string `json:"deletedVolumes,omitempty"`
	Error          string   `json:"error,omitempty"`
	Hint           string   `json:"hint,omitempty"`
	Seconds        float64  `json:"seconds"`

	namespaceCreated bool
	err              error
}

// ReleaseRecord is what was done with one release.
type ReleaseRecord struct {
	Name         string      `json:"name"`
	ChartVersion string      `json:"chartVersion,omitempty"`
	Revision     int         `json:"revision,omitempty"`
	Action       plan.Action `json:"action"`
	Reasons      []string    `json:"reasons,omitempty"` // why it was not left as it was
}

// SecretsRecord names the Secrets that were put or put back.
type SecretsRecord struct {
	Changed []string `json:"changed"`
}

// Err returns the zone's error.
func (r *Record) Err() error { return r.err }

func (r *Record) end(err error, took time.Duration) {
	r.Seconds = float64(took.Milliseconds()) / 1000
	if r.Secrets.Changed == nil {
		r.Secrets.Changed = []string{} // [] in JSON, not null
	}
	switch {
	case err != nil:
		r.Result, r.err = Failed, err
		r.Error, r.Hint = err.Error(), hint.Of(err)
		if errors.Is(err, context.Canceled) {
			r.Hint = "run the same command again: it goes on from here"
		}
	case r.changed():
		r.Result = Deployed
	default:
		r.Result = Unchanged
	}
}

func (r *Record) changed() bool {
	return r.namespaceCreated || len(r.Secrets.Changed) > 0 || len(r.DeletedVolumes) > 0 ||
		slices.ContainsFunc(r.Releases, func(rel ReleaseRecord) bool { return rel.Action != plan.Keep })
}

// Failures returns the zones that failed, in order; nil when none did.
func Failures(zones []zone.Zone, records []Record) zone.Failures {
	var failed zone.Failures
	for i := range records {
		if records[i].err != nil {
			failed = append(failed, zone.Failure{Zone: zones[i], Err: records[i].err})
		}
	}
	return failed
}
