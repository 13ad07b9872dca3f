package rollout

import (
	"context"
	"fmt"
	"strings"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/kube"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/plan"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/release"
)

func (r *run) namespace(ctx context.Context) error {
	r.at("namespace", r.zone.Namespace)
	labels := Labels(r.Environment, r.zone)
	labels["pod-security.kubernetes.io/warn"] = "restricted"
	created, err := r.target.Cluster.EnsureNamespace(ctx, labels)
	if err != nil {
		return err
	}
	if created {
		r.record.namespaceCreated = true
		r.Progress.Note(r.zone, "namespace "+r.zone.Namespace+" created")
	}
	return nil
}

// deploy brings the zone, whose lock is held as long as ctx lasts, to what is wanted.
func (r *run) deploy(ctx context.Context) error {
	job := !r.WithoutJob && r.wanted.Endpoint() != ""
	if err := r.secrets(ctx, job); err != nil {
		return err
	}
	r.at(ControlPlane, "comparing")
	caps, err := r.target.Releases.Capabilities(ctx)
	if err != nil {
		return err
	}
	controlPlane, autoMaintenance := r.Charts.Spec(r.wanted)
	if err := r.put(ctx, controlPlane, caps, true); err != nil {
		return err
	}
	if err := r.put(ctx, autoMaintenance, caps, job); err != nil {
		return err
	}
	if err := r.volumes(ctx); err != nil {
		return err
	}
	for _, warning := range r.target.Warnings() {
		r.Progress.Note(r.zone, "the API server warns: "+warning)
	}
	if r.record.changed() {
		r.Progress.Status(r.zone, "done", r.record.Summary())
	} else {
		r.Progress.Status(r.zone, "done", "nothing to change")
	}
	return nil
}

func (r *run) secrets(ctx context.Context, job bool) error {
	r.at("secrets", "comparing")
	wanted := plan.Secrets(r.wanted, job)
	names := make([]string, len(wanted))
	for i, s := range wanted {
		names[i] = s.Name
	}
	have, err := r.target.Objects.Secrets(ctx, names)
	if err != nil {
		return err
	}
	secrets := make([]kube.Secret, len(wanted))
	for i, s := range wanted {
		data, err := r.Issue(r.zone, s, have[s.Name])
		if err != nil {
			return fmt.Errorf("make Secret %q: %w", s.Name, err)
		}
		secrets[i] = Secret(r.Environment, r.wanted, s, data)
	}
	r.record.Secrets.Changed, err = r.target.Objects.ApplySecrets(ctx, secrets)
	return err
}

// Secret returns the Secret that a zone gets for s.
func Secret(environment string, w plan.Wanted, s plan.Secret, data map[string][]byte) kube.Secret {
	secret := kube.Secret{Name: s.Name, Labels: Labels(environment, w.Zone), Data: data}
	if s.Kind == plan.PublicSecret {
		secret.Type = "kubernetes.io/tls"
	}
	return secret
}

// put makes one release what spec says, or removes it when it is not wanted, and waits until its pods are ready.
func (r *run) put(ctx context.Context, spec release.Spec, caps release.Capabilities, wanted bool) error {
	r.at(spec.Name, "comparing")
	state, stored, rendered, reasons, err := r.compare(ctx, spec, caps, wanted)
	if err != nil {
		return err
	}
	action := plan.Release(state)
	if action == plan.Absent {
		return nil
	}
	done := ReleaseRecord{Name: spec.Name, ChartVersion: spec.Chart.Version, Action: action, Reasons: reasons}
	if stored != nil {
		done.Revision = stored.Revision
	}
	switch action {
	case plan.Remove:
		r.at(spec.Name, "removing")
		_, err := r.target.Releases.Uninstall(ctx, spec.Name)
		if err == nil {
			r.record.Releases = append(r.record.Releases, done)
		}
		return err
	case plan.Recover:
		r.Progress.Note(r.zone, fmt.Sprintf("release %s was left %s at revision %d by a deploy that ended before it was done; nobody holds its lock, so it is recovered (helm -n %s history %s)",
			spec.Name, stored.Status, stored.Revision, r.zone.Namespace, spec.Name))
		if err := r.target.Releases.Recover(ctx, spec.Name); err != nil {
			return err
		}
	}
	if action != plan.Keep {
		r.at(spec.Name, "applying")
		if done.Revision, err = r.target.Releases.Apply(ctx, spec, caps, stored != nil); err != nil {
			return err
		}
	}
	r.record.Releases = append(r.record.Releases, done)
	if spec.Name == ControlPlane && r.wanted.ShardDatabase() != nil {
		if err := r.database(ctx); err != nil {
			return err
		}
	}
	err = r.target.Objects.Wait(ctx, rendered.Objects, r.Timeout, func(now kube.Readiness) { r.at(spec.Name, readiness(now)) })
	if err != nil || action == plan.Keep {
		return err
	}
	return r.verify(ctx, spec, rendered)
}

// database makes a cluster of the servers that were just applied, within the time that pods have.
func (r *run) database(ctx context.Context) error {
	r.at("mongodb-shard", "making one cluster of the servers")
	ctx, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	return r.Database(ctx, r.wanted, func(text string) { r.at("mongodb-shard", text) })
}

// volumes looks after what an in-cluster MongoDB has left that the zone no longer has. The servers are gone by then.
func (r *run) volumes(ctx context.Context) error {
	if r.wanted.ShardDatabase() != nil {
		return nil
	}
	r.at("volumes", "looking for those of a former mongodb-shard")
	left, err := r.target.Objects.DatabaseVolumes(ctx, r.DeleteVolumes)
	if err != nil || len(left) == 0 {
		return err
	}
	if r.DeleteVolumes {
		r.record.DeletedVolumes = left
		r.Progress.Note(r.zone, fmt.Sprintf("volumes of the former mongodb-shard deleted: %s", strings.Join(left, ", ")))
		return nil
	}
	r.Progress.Note(r.zone, fmt.Sprintf("the volumes of the former mongodb-shard are kept: %s; kubectl aporeto deploy --zone %s --delete-database-volumes deletes them", strings.Join(left, ", "), r.zone.Name))
	return nil
}

// compare sees how far the live release is from spec.
func (r *run) compare(ctx context.Context, spec release.Spec, caps release.Capabilities, wanted bool) (plan.ReleaseState, *release.Stored, release.Manifest, []string, error) {
	fail := func(err error) (plan.ReleaseState, *release.Stored, release.Manifest, []string, error) {
		return plan.ReleaseState{}, nil, release.Manifest{}, nil, err
	}
	stored, err := r.target.Releases.Current(ctx, spec.Name)
	if err != nil {
		return fail(err)
	}
	state := plan.ReleaseState{Wanted: wanted, Exists: stored != nil}
	if !wanted {
		return state, stored, release.Manifest{}, nil, nil
	}
	rendered, err := release.Render(ctx, spec, caps)
	if err != nil {
		return fail(err)
	}
	if stored == nil {
		return state, nil, rendered, nil, nil
	}
	state.Pending, state.Deployed, state.Matches = stored.Pending, stored.Deployed(), stored.Matches(spec, rendered)
	var reasons []string
	if !state.Deployed {
		reasons = append(reasons, "the last revision is "+stored.Status)
	}
	if !state.Matches {
		reasons = append(reasons, "chart or values changed")
	} else {
		drift, err := r.target.Objects.Drift(ctx, rendered.Objects)
		if err != nil {
			return fail(err)
		}
		state.Drifted = len(drift) > 0
		for _, change := range drift {
			reasons = append(reasons, change.String())
			r.Progress.Note(r.zone, fmt.Sprintf("%s %s: put back", spec.Name, change))
		}
	}
	return state, stored, rendered, reasons, nil
}

// verify looks once more at the live objects. What still differs is changed by somebody else each time, and every deploy would find it.
func (r *run) verify(ctx context.Context, spec release.Spec, rendered release.Manifest) error {
	r.at(spec.Name, "verifying")
	drift, err := r.target.Objects.Drift(ctx, rendered.Objects)
	if err != nil {
		return err
	}
	for _, change := range drift {
		if change.What == "missing" {
			return fmt.Errorf("release %q: %s right after it was applied", spec.Name, change)
		}
		r.Progress.Note(r.zone, fmt.Sprintf("%s: %s right after it was applied; something in the cluster changes it", spec.Name, change))
	}
	return nil
}

func readiness(r kube.Readiness) string {
	text := fmt.Sprintf("%d/%d ready", r.Ready, r.Total)
	if len(r.Waiting) > 0 {
		text += ": " + strings.Join(r.Waiting, "; ")
	}
	return text
}

// Summary says in one line what was done in the zone.
func (r *Record) Summary() string {
	var parts []string
	for _, rel := range r.Releases {
		text := rel.Name + " " + string(rel.Action)
		if rel.Revision > 0 && rel.Action != plan.Remove {
			text += fmt.Sprintf(" (revision %d)", rel.Revision)
		}
		parts = append(parts, text)
	}
	if n := len(r.DeletedVolumes); n > 0 {
		parts = append(parts, fmt.Sprintf("%d volume(s) deleted", n))
	}
	if n := len(r.Secrets.Changed); n > 0 {
		parts = append(parts, fmt.Sprintf("%d Secret(s) put", n))
	}
	return strings.Join(parts, ", ")
}
