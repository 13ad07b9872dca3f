package cli

import (
	"context"
	"crypto/tls"
	"slices"

	"github.com/spf13/cobra"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/bootstrap"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/envdir"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/environment"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/hint"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongo"
)

func newMongoCmd(f *Factory) *cobra.Command {
	return newGroup("mongo", "Check, bootstrap and look into the MongoDB that all zones share", "",
		newMongoCheckCmd(f), newMongoBootstrapCmd(f), newMongoStatusCmd(f), newMongoShellCmd(f))
}

// mongoFlags are the flags that every MongoDB command has.
type mongoFlags struct {
	via string
}

func (m *mongoFlags) add(f *Factory, cmd *cobra.Command) {
	cmd.Flags().StringVar(&m.via, "via", "", "reach the routers through this `zone`'s gateway pods; TLS is end to end, the admin's key stays here (default: directly)")
	_ = cmd.RegisterFlagCompletionFunc("via", f.completeZones)
}

// open loads the environment and finds out where its routers are. Nothing is reached yet.
func (m *mongoFlags) open(f *Factory) (*database, error) {
	dir, env, err := f.Load()
	if err != nil {
		return nil, err
	}
	hosts, err := f.mongoHosts(dir, env)
	if err != nil {
		return nil, err
	}
	db := &database{f: f, dir: dir, env: env, certificates: f.certificates(dir, env, f.notify), zoneOf: map[string]string{}}
	for i, host := range hosts {
		if host != "" && !slices.Contains(db.hosts, host) {
			db.hosts = append(db.hosts, host)
			if i < len(env.Zones) {
				db.zoneOf[host] = env.Zones[i].Name
			}
		}
	}
	if len(db.hosts) == 0 {
		return nil, noMongoHost()
	}
	if m.via != "" {
		z, err := findZone(env, m.via)
		if err != nil {
			return nil, err
		}
		db.via = f.through(z)
		db.dial = db.via.dial
	}
	return db, nil
}

func noMongoHost() error {
	return hint.New("global.database.mongo.host is not set", "kubectl aporeto value set global.database.mongo.host HOST1:27017,HOST2:27017")
}

// database is the way to an environment's MongoDB.
type database struct {
	f            *Factory
	dir          *envdir.Dir
	env          *environment.Environment
	certificates *bootstrap.Certificates
	hosts        []string          // the values of global.database.mongo.host, each once: zones may have routers of their own
	zoneOf       map[string]string // the first zone that has each of them
	dial         mongo.Dial        // how a router is reached; nil: from here
	via          *through          // whose dial it is, or nil
}

// connect returns a client of the routers host, logged in by the environment's admin certificate on first use. Only what is written
// idempotently may be retried by the driver: the lease is not.
func (d *database) connect(ctx context.Context, host string, retry bool) (*mongo.Client, error) {
	o, err := d.options(host)
	if err != nil {
		return nil, err
	}
	o.Retry = retry
	return mongo.Connect(ctx, o)
}

// way tells what is wrong with the way of --via, nil where there is none: else every router would look as if it were down.
func (d *database) way(ctx context.Context) error {
	if d.via == nil {
		return nil
	}
	_, _, err := d.via.find(ctx)
	return err
}

// options are those of the administrator's connection to the routers host.
func (d *database) options(host string) (mongo.Options, error) {
	trust, err := d.certificates.MongoTrust()
	if err != nil {
		return mongo.Options{}, err
	}
	admin, err := d.certificates.AdminTLS()
	if err != nil {
		return mongo.Options{}, err
	}
	uri, err := mongo.URI(host, "")
	if err != nil {
		return mongo.Options{}, err
	}
	return mongo.Options{URI: uri, CA: trust, AppName: "kubectl-aporeto", Dial: d.dial,
		Certificate: func() (*tls.Certificate, error) { return &admin, nil }}, nil
}

// reach is connect without the driver's retries, proved: a router has answered over TLS.
func (d *database) reach(ctx context.Context, host string) (*mongo.Client, error) {
	client, err := d.connect(ctx, host, false)
	if err != nil {
		return nil, err
	}
	if err := client.Probe(ctx); err != nil {
		_ = client.Close(context.WithoutCancel(ctx)) // the probe's error is the one that counts
		return nil, err
	}
	return client, nil
}

// one returns a client of one of the first routers, after all that the zones name were found to lead to one database. The work must be one
// that can be repeated, by the driver too.
func (d *database) one(ctx context.Context) (*mongo.Client, error) {
	clients := make([]*mongo.Client, 0, len(d.hosts))
	closeFrom := func(n int) {
		for _, c := range clients[n:] {
			_ = c.Close(context.WithoutCancel(ctx)) // nothing was written through them
		}
	}
	for _, host := range d.hosts {
		c, err := d.nearest(ctx, host)
		if err != nil {
			closeFrom(0)
			return nil, err
		}
		clients = append(clients, c)
	}
	if err := oneDatabase(ctx, d.hosts, clients, d.zoneOf); err != nil {
		closeFrom(0)
		return nil, err
	}
	closeFrom(1)
	return clients[0], nil
}

// nearest returns a client of the router of host that answers first.
func (d *database) nearest(ctx context.Context, host string) (*mongo.Client, error) {
	o, err := d.options(host)
	if err != nil {
		return nil, err
	}
	o.Retry = true
	return mongo.Reach(ctx, o)
}
