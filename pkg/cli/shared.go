package cli

import (
	"context"
	"fmt"
	"slices"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/bootstrap"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/hint"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongo"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/plan"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/zone"
)

// shared is what all zones of a deploy share and what is made once, before any of them is touched.
type shared struct {
	f            *Factory
	want         *wishes
	progress     *progress
	privileged   bool                    // services may have roles that reach beyond their own data
	certificates *bootstrap.Certificates // set by ensure
}

// ensure makes certificates, then users and lease.
func (s *shared) ensure(ctx context.Context) error {
	// Every zone of the environment counts, not only the chosen ones: their users are roles' owners too, and the routers' certificate is
	// one for all.
	wanted, err := s.want.of(s.want.env.Zones)
	if err != nil {
		return err
	}
	hosts, zoneOf := make([]string, 0, len(wanted)), map[string]string{}
	for i, w := range wanted {
		if host := w.Hosts(); host != "" && !slices.Contains(hosts, host) {
			hosts, zoneOf[host] = append(hosts, host), s.want.env.Zones[i].Name
		}
	}
	services, err := servicesOf(wanted, s.privileged)
	if err != nil {
		return err
	}
	s.progress.settle()
	if err := s.pki(ctx); err != nil {
		return err
	}
	if slices.ContainsFunc(wanted, func(w plan.Wanted) bool { return w.ShardDatabase() != nil }) {
		return nil // its servers do not run yet: see inCluster
	}
	return s.database(ctx, hosts, zoneOf, services)
}

// pki makes the certificates and reads the environment again: its certificates' generation may have been raised.
func (s *shared) pki(ctx context.Context) error {
	changes, certificates, err := s.f.ensureCertificates(ctx, s.want.dir, nil)
	for _, change := range changes {
		s.progress.say("certificates: " + change.String())
	}
	if err != nil {
		return err
	}
	s.certificates, s.want.env = certificates, certificates.Environment
	s.certificates.Notify = s.progress.say
	return nil
}

func (s *shared) database(ctx context.Context, hosts []string, zoneOf map[string]string, services []plan.Service) error {
	db := &database{f: s.f, dir: s.want.dir, env: s.want.env, certificates: s.certificates, hosts: hosts, zoneOf: zoneOf}
	client, err := db.one(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = client.Close(context.WithoutCancel(ctx)) }() // what was written is acknowledged; nothing is lost
	if err := s.bootstrap(ctx, client, services); err != nil {
		return databaseError(hosts[0], err)
	}
	return nil
}

// oneDatabase refuses zones whose hosts lead to different databases: each would have a lease of its own, and two zones would serve.
func oneDatabase(ctx context.Context, hosts []string, clients []*mongo.Client, zoneOf map[string]string) error {
	if len(hosts) < 2 {
		return nil
	}
	first := ""
	for i, client := range clients {
		id, err := client.ClusterID(ctx)
		if err != nil {
			return databaseError(hosts[i], err)
		}
		if i == 0 {
			first = id
		}
		if id != first {
			return hint.New(fmt.Sprintf("zones reach different databases: %s is cluster %s, %s is cluster %s", hosts[0], first, hosts[i], id),
				fmt.Sprintf("every zone must reach the same MongoDB: kubectl aporeto value set global.database.mongo.host %s --zone %s", hosts[0], hint.Quote(zoneOf[hosts[i]])))
		}
	}
	return nil
}

func databaseError(host string, err error) error {
	return hint.Wrap(fmt.Errorf("MongoDB %s: %w", host, err), "nothing was touched in any zone; kubectl aporeto value get global.database.mongo.host")
}

// bootstrap makes what mongo bootstrap makes, and says what it would say. Users that nothing needs any more are never dropped here.
func (s *shared) bootstrap(ctx context.Context, client *mongo.Client, services []plan.Service) error {
	done, last, err := bootstrap.EnsureDatabase(ctx, client, wantOf(s.want.env, services), nil)
	for _, step := range done {
		s.progress.say("MongoDB: " + step.Done())
	}
	if err != nil {
		return explainBootstrap(err)
	}
	for _, step := range last.Of(bootstrap.Leave) {
		s.progress.say("MongoDB: user " + step.Name + " is not used any more; kubectl aporeto mongo bootstrap --prune drops it")
	}
	for _, f := range last.Findings {
		if !f.Note {
			s.progress.say("MongoDB: warning: " + f.Text + "; " + f.Hint)
		}
	}
	return nil
}

// issue returns the content of a Secret; reissued says why the certificate in have was not kept.
func issue(certificates *bootstrap.Certificates, z zone.Zone, s plan.Secret, have map[string][]byte) (data map[string][]byte, reissued string, err error) {
	switch s.Kind {
	case plan.ServiceSecret:
		return certificates.ServiceSecret(s.Service, s.Names, have)
	case plan.GatewaySecret:
		data, err = certificates.ZoneSecret(bootstrap.Gateway, z.Name)
	case plan.MaintenanceSecret:
		data, err = certificates.ZoneSecret(bootstrap.Maintenance, z.Name)
	case plan.MemberSecret:
		return certificates.MemberSecret(s.Service, s.Names, have)
	case plan.PublicSecret:
		return certificates.PublicSecret(z, s.Names, have)
	default:
		err = fmt.Errorf("unknown kind of Secret %d", s.Kind)
	}
	return data, "", err
}
