package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/bootstrap"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/hint"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/lease"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongo"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongocheck"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/pki"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/plan"
)

type mongoCheckOptions struct {
	f     *Factory
	mongo mongoFlags
	print printFlags

	fromZones bool
}

func newMongoCheckCmd(f *Factory) *cobra.Command {
	o := &mongoCheckOptions{f: f}
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check every requirement on MongoDB, one line each",
		Long: `Check every requirement on MongoDB, one line each: ok, warn or fail, the reason, and what to do. Each router is asked by itself and all
at the same time, so that one that is down hides nothing. What cannot be seen from here is a warning that begins with "unknown".

A document is written into the database aporeto_ha, read back, and removed. Nothing else is changed. The exit code is 1 when a requirement
is known to be broken.

With --via ZONE the routers are asked through that zone's cluster, as its pods see them. With --from-zones the gateway of every zone looks
for itself, with its own certificate and rights: names, TLS, login, clock, a linearizable read, a majority write, side by side. A zone that
cannot be asked is shown as ? and stops no other.`,
		Example: `  kubectl aporeto mongo check
  kubectl aporeto mongo check --via passive -o json
  kubectl aporeto mongo check --from-zones`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context()) },
	}
	o.mongo.add(f, cmd)
	o.print.add(cmd, formatJSON, formatYAML)
	cmd.Flags().BoolVar(&o.fromZones, "from-zones", false, "show what every zone sees, side by side")
	return cmd
}

func (o *mongoCheckOptions) run(ctx context.Context) error {
	if err := o.print.check(); err != nil {
		return err
	}
	if o.fromZones && o.mongo.via != "" {
		return usagef("--via and --from-zones exclude each other")
	}
	db, err := o.mongo.open(o.f)
	if err != nil {
		return err
	}
	ask, show := o.check, o.table
	if o.fromZones {
		ask, show = o.lookFromZones, o.sideBySide
	}
	findings, err := ask(ctx, db)
	if err != nil {
		return err
	}
	if done, err := o.print.object(o.f.IO.Out, newList("MongoCheckList", findings)); err != nil {
		return err
	} else if !done {
		if err := show(findings); err != nil {
			return err
		}
	}
	return checkError(findings)
}

// check asks the routers of every zone, each once.
func (o *mongoCheckOptions) check(ctx context.Context, db *database) ([]mongocheck.Finding, error) {
	options, err := db.options(db.routers())
	if err != nil {
		return nil, err
	}
	params, err := db.checkParams()
	if err != nil {
		return nil, err
	}
	if err := db.way(ctx); err != nil {
		return nil, err
	}
	facts, err := mongo.Inspect(ctx, options, db.dial == nil)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return mongocheck.Check(facts, params), nil
}

func (o *mongoCheckOptions) table(findings []mongocheck.Finding) error {
	rows := make([][]string, len(findings))
	for i, f := range findings {
		reason := f.Reason
		if f.Subject != "" {
			reason = f.Subject + ": " + reason
		}
		if f.Zone != "" {
			reason = "zone " + f.Zone + ": " + reason
		}
		rows[i] = []string{strings.ToUpper(string(f.Level)), f.Requirement, reason}
	}
	var text strings.Builder
	if err := table(&text, []string{"LEVEL", "REQUIREMENT", "REASON"}, rows); err != nil {
		return err
	}
	line := -1 // the header's
	for row := range strings.Lines(text.String()) {
		fmt.Fprint(o.f.IO.Out, row)
		if line >= 0 && findings[line].Hint != "" {
			fmt.Fprintf(o.f.IO.Out, "        hint: %s\n", findings[line].Hint)
		}
		line++
	}
	return nil
}

// checkError is the error of a check that was printed.
func checkError(findings []mongocheck.Finding) error {
	var broken []string
	unasked := 0
	for _, f := range findings {
		if f.Requirement == mongocheck.ZoneView {
			unasked++
		}
		if f.Level == mongocheck.Fail && !slices.Contains(broken, f.Requirement) {
			broken = append(broken, f.Requirement)
		}
	}
	if unasked > 0 && unasked == len(findings) {
		return hint.New("no zone could be asked", "each zone's line says why; from this machine: kubectl aporeto mongo check")
	}
	if len(broken) == 0 {
		return nil
	}
	return hint.New("MongoDB is not as it must be: "+strings.Join(broken, ", "), "each FAIL line says what to do; docs/mongodb.md explains every line")
}

// routers are all routers of all zones, each once, as one host list.
func (d *database) routers() string {
	var all []string
	for _, hosts := range d.hosts {
		for host := range strings.SplitSeq(hosts, ",") {
			if host = strings.TrimSpace(host); !slices.Contains(all, host) {
				all = append(all, host)
			}
		}
	}
	return strings.Join(all, ",")
}

// checkParams is what this environment's MongoDB is judged against.
func (d *database) checkParams() (mongocheck.Params, error) {
	p := mongocheck.Params{Now: d.f.Now(), Zones: len(d.env.Zones), Admin: pki.AdminSubject().String(), CreateAdmin: bootstrap.AdminCommand(), Term: lease.DefaultTerm().T}
	p.Subjects = []string{p.Admin}
	for _, z := range d.env.Zones {
		p.Subjects = append(p.Subjects, pki.ServiceSubject(pki.GatewayName(z.Name)).String(), pki.ServiceSubject(pki.MaintenanceName(z.Name)).String())
	}
	want, err := d.f.wishes(&valueFlags{})
	if err != nil {
		return p, err
	}
	wanted, err := want.of(d.env.Zones)
	if err != nil {
		return p, err
	}
	calm := len(wanted) > 0
	services := make([][]plan.Service, len(wanted))
	for i, w := range wanted {
		services[i] = plan.Services(w.ControlPlane)
		calm = calm && calmProfile(w.ControlPlane)
	}
	for _, service := range plan.Union(services...) {
		p.Subjects = append(p.Subjects, pki.ServiceSubject(service.Name).String())
	}
	if calm {
		p.Term = lease.CalmTerm().T
	}
	own := []string{pki.RootCA, pki.SystemCA, pki.Admin, pki.CustomCA}
	files, err := d.dir.CertificateFiles()
	if err != nil {
		return p, err
	}
	statuses, err := d.certificates.Check(files)
	if err != nil {
		return p, err
	}
	for _, s := range statuses {
		if s.Name == pki.Admin && s.Subject != "" && !slices.Contains(p.Subjects, s.Subject) {
			p.Subjects = append(p.Subjects, s.Subject) // what logs in, whatever it should be
		}
		if s.Name == pki.CustomCA {
			p.CustomCA = s.Subject
		}
		if slices.Contains(own, s.Name) && s.Subject != "" {
			p.Own = append(p.Own, mongocheck.Certificate{Subject: s.Subject, Issuer: s.Issuer, NotBefore: s.NotBefore, NotAfter: s.NotAfter})
		}
	}
	return p, nil
}

// calmProfile tells whether a zone's gateways claim the lease with the constants for slow links.
func calmProfile(controlPlane map[string]any) bool {
	gateway, _ := controlPlane["gateway"].(map[string]any)
	return gateway["profile"] == "calm"
}
