package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/bootstrap"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/environment"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/hint"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongo"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/plan"
)

const privilegedUsage = "let services have roles on admin, config, local, external, aporeto_ha or shared_zoning, any *AnyDatabase, root and __system"

type mongoBootstrapOptions struct {
	f     *Factory
	mongo mongoFlags
	admin adminFlags
	print printFlags

	dryRun, prune, yes, privileged bool
	adopt                          []string
}

func newMongoBootstrapCmd(f *Factory) *cobra.Command {
	o := &mongoBootstrapOptions{f: f}
	cmd := &cobra.Command{
		Use:   "bootstrap",
		Short: "Make the users, roles, shard zones and documents that the zones need in MongoDB",
		Long: `Make the users, roles, shard zones and documents that the zones need in MongoDB: a user for every service with the roles of its values, users of
the gateways and the auto-maintenance jobs with roles on single collections, the shard zones z0 (data) and z1 (reports), the lease and
the zones' records. It shows the difference first and writes only that: a second run writes nothing. It may be killed anywhere and run
again, and from two workstations at once. deploy does the same before it touches a zone.

It works as the environment's administrator, CN=mongodb-admin,OU=users,O=mongodb, a user that the database's owner makes once.
--print-admin prints the command that does it, for a shell on a router. Or this command runs it first: without a login, through the
localhost exception of a router that has no user yet (--localhost, on the router's host or through a tunnel to it), or with a login
that may create users (--login-user, --login-cert).

A user of a service's name that somebody made by hand gets the service's roles, and is this environment's from then on. A user that the
environment made, and that no service or zone needs any more, is reported; --prune drops it. Users of other environments, and all others,
are never touched. --adopt ID takes over the users of an environment that no longer exists.`,
		Example: `  kubectl aporeto mongo bootstrap --print-admin
  kubectl aporeto mongo bootstrap --dry-run
  ssh -N -L 27017:localhost:27017 mongo1 & kubectl aporeto mongo bootstrap --localhost
  kubectl aporeto mongo bootstrap --login-user siteRootAdmin --login-pass-file FILE
  kubectl aporeto mongo bootstrap --prune`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context()) },
	}
	o.mongo.add(f, cmd)
	o.admin.add(cmd)
	o.print.add(cmd, formatJSON, formatYAML)
	cmd.Flags().BoolVar(&o.dryRun, "dry-run", false, "show the difference and write nothing")
	cmd.Flags().BoolVar(&o.prune, "prune", false, "drop users that this environment made and does not need any more; asks")
	cmd.Flags().StringArrayVar(&o.adopt, "adopt", nil, "take over the users of the environment with this `id`, which no longer exists; asks")
	cmd.Flags().BoolVarP(&o.yes, "yes", "y", false, "do not ask")
	cmd.Flags().BoolVar(&o.privileged, "allow-privileged", false, privilegedUsage)
	return cmd
}

func (o *mongoBootstrapOptions) run(ctx context.Context) error {
	if err := o.check(); err != nil {
		return err
	}
	if o.admin.print {
		fmt.Fprintln(o.f.IO.Out, bootstrap.AdminCommand())
		return nil
	}
	want, err := o.want()
	if err != nil {
		return err
	}
	db, err := o.mongo.open(o.f)
	if err != nil {
		return err
	}
	if slices.Contains(o.adopt, db.env.ID) {
		return hint.Wrap(usagef("--adopt %s: that is this environment itself", db.env.ID), "its own users it has already: kubectl aporeto mongo bootstrap")
	}
	if len(o.adopt) > 0 && !o.dryRun {
		question := fmt.Sprintf("Take over the users of environment %s? It must not exist any more.", strings.Join(o.adopt, ", "))
		if err := o.f.confirm(ctx, o.yes, question); err != nil {
			return err
		}
	}
	if err := o.admin.ensure(ctx, db, o.dryRun); err != nil {
		return err
	}
	client, err := db.one(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = client.Close(context.WithoutCancel(ctx)) }() // what was written is acknowledged; nothing is lost
	if o.dryRun {
		p, err := bootstrap.Survey(ctx, client, want)
		if err != nil {
			return explainBootstrap(err)
		}
		return o.report(p.Writes(), p)
	}
	done, last, err := bootstrap.EnsureDatabase(ctx, client, want, func(p bootstrap.Plan) error { return o.show(ctx, p) })
	if err != nil {
		return o.broken(done, explainBootstrap(err))
	}
	return o.report(done, last)
}

// broken tells what was made before err, and returns err, or why that could not be told.
func (o *mongoBootstrapOptions) broken(done []bootstrap.Step, err error) error {
	r := bootstrapReport{APIVersion: environment.APIVersion, Kind: "MongoBootstrap", Steps: append([]bootstrap.Step{}, done...), Error: err.Error()}
	if errors.Is(err, context.Canceled) {
		r.Error = "interrupted"
	}
	printed, failed := o.print.object(o.f.IO.Out, r)
	if failed != nil {
		return errors.Join(err, failed)
	}
	if !printed {
		for _, step := range done {
			o.f.say("done: " + step.Done())
		}
	}
	return err
}

func (o *mongoBootstrapOptions) check() error {
	if err := o.print.check(); err != nil {
		return err
	}
	if err := o.admin.check(); err != nil {
		return err
	}
	if (o.prune || len(o.adopt) > 0) && !o.admin.print {
		return o.f.askable(o.yes || o.dryRun)
	}
	return nil
}

func (o *mongoBootstrapOptions) want() (bootstrap.Want, error) {
	wishes, err := o.f.wishes(&valueFlags{})
	if err != nil {
		return bootstrap.Want{}, err
	}
	if len(wishes.env.Zones) == 0 {
		return bootstrap.Want{}, noZones()
	}
	wanted, err := wishes.of(wishes.env.Zones)
	if err != nil {
		return bootstrap.Want{}, err
	}
	services, err := servicesOf(wanted, o.privileged)
	if err != nil {
		return bootstrap.Want{}, err
	}
	want := wantOf(wishes.env, services)
	want.Prune, want.Adopt = o.prune, o.adopt
	return want, nil
}

// show writes the difference before it is written to the database, and asks where users would be dropped.
func (o *mongoBootstrapOptions) show(ctx context.Context, p bootstrap.Plan) error {
	for _, step := range p.Writes() {
		o.f.say(step.String())
	}
	drops := p.Of(bootstrap.Drop)
	if len(drops) == 0 {
		return nil
	}
	return o.f.confirm(ctx, o.yes, fmt.Sprintf("Drop %d of the users above?", len(drops)))
}

// bootstrapReport is what a bootstrap prints as JSON or YAML.
type bootstrapReport struct {
	APIVersion string              `json:"apiVersion"`
	Kind       string              `json:"kind"`
	DryRun     bool                `json:"dryRun,omitempty"`
	Steps      []bootstrap.Step    `json:"steps"`          // made, or with dryRun to be made
	Left       []bootstrap.Step    `json:"left,omitempty"` // users that --prune would drop
	Findings   []bootstrap.Finding `json:"findings,omitempty"`
	Error      string              `json:"error,omitempty"` // what ended the bootstrap after steps
}

func (o *mongoBootstrapOptions) report(steps []bootstrap.Step, p bootstrap.Plan) error {
	if steps == nil {
		steps = []bootstrap.Step{} // [] in JSON, not null
	}
	left := p.Of(bootstrap.Leave)
	r := bootstrapReport{APIVersion: environment.APIVersion, Kind: "MongoBootstrap", DryRun: o.dryRun, Steps: steps, Left: left, Findings: p.Findings}
	if done, err := o.print.object(o.f.IO.Out, r); err != nil {
		return err
	} else if !done {
		if err := o.text(r); err != nil {
			return err
		}
	}
	return findingsError(p.Findings)
}

func (o *mongoBootstrapOptions) text(r bootstrapReport) error {
	if len(r.Steps) == 0 {
		fmt.Fprintln(o.f.IO.Out, "nothing to do: the database is as the environment wants it")
	} else {
		rows := make([][]string, len(r.Steps))
		for i, s := range r.Steps {
			rows[i] = []string{string(s.Action), string(s.Kind), s.Name, s.Detail}
		}
		if err := table(o.f.IO.Out, []string{"ACTION", "KIND", "NAME", "DETAIL"}, rows); err != nil {
			return err
		}
	}
	for _, s := range r.Left {
		o.f.say("left: user " + s.Name + " (" + s.Detail + "); --prune drops it")
	}
	for _, f := range r.Findings {
		if f.Note {
			o.f.say("note: " + f.Text)
		}
	}
	return nil
}

// findingsError is the error of a bootstrap that did all it could, nil where nothing is left for a person.
func findingsError(findings []bootstrap.Finding) error {
	var texts, hints []string
	for _, f := range findings {
		if !f.Note {
			texts, hints = append(texts, f.Text), append(hints, f.Hint)
		}
	}
	if texts == nil {
		return nil
	}
	return hint.New(strings.Join(texts, "\n"), strings.Join(slices.Compact(hints), "\nhint: "))
}

// servicesOf returns the services that have database users, of all zones together, and refuses privileged roles that were not allowed.
func servicesOf(wanted []plan.Wanted, privileged bool) ([]plan.Service, error) {
	lists := make([][]plan.Service, len(wanted))
	for i, w := range wanted {
		lists[i] = plan.Services(w.ControlPlane)
	}
	services := plan.Union(lists...)
	if privileged {
		return services, nil
	}
	return services, plan.Privileged(services)
}

// wantOf is what the environment wants of its database.
func wantOf(env *environment.Environment, services []plan.Service) bootstrap.Want {
	want := bootstrap.Want{Environment: env.ID, Zones: env.Zones}
	for _, service := range services {
		user := bootstrap.ServiceUser{Service: service.Name, Database: service.Database}
		for _, role := range service.Roles {
			user.Roles = append(user.Roles, mongo.Role{Role: role.Role, DB: role.DB})
		}
		want.Services = append(want.Services, user)
	}
	return want
}
