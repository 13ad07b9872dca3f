package cli

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/envdir"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/environment"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/failover"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/kube"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongo"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/pki"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/values"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/zone"
)

const (
	operateTime = 5 * time.Second // one look at a zone's gateways
	storeTime   = 3 * time.Second // one operation on the database
	journalTail = 8               // entries that status shows

	// electionTime is for how long an emergency's command waits for a primary. A replica set waits 10 s by default before it elects one.
	electionTime = 20 * time.Second
	lookEvery    = 250 * time.Millisecond
)

// operation is what the commands of failover share: the environment, its database, its zones' gateways.
type operation struct {
	f     *Factory
	dir   *envdir.Dir
	env   *environment.Environment
	trees []*values.Tree // of env.Zones

	client *mongo.Client // nil: dbErr says why
	dbErr  error
}

// operation loads the environment and connects to its database. A database that is not reachable is no error yet.
func (f *Factory) operation(ctx context.Context) (*operation, error) {
	dir, env, err := f.Load()
	if err != nil {
		return nil, err
	}
	if len(env.Zones) == 0 {
		return nil, noZones()
	}
	o := &operation{f: f, dir: dir, env: env}
	for _, z := range env.Zones {
		tree, err := f.tree(dir, env, &z)
		if err != nil {
			return nil, err
		}
		o.trees = append(o.trees, tree)
	}
	o.client, o.dbErr = o.connect(ctx)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return o, nil
}

// connect tries the zones' routers one zone after the other: all of them are of one cluster.
func (o *operation) connect(ctx context.Context) (*mongo.Client, error) {
	db := &database{f: o.f, dir: o.dir, env: o.env, certificates: o.f.certificates(o.dir, o.env, func(string) {})}
	for i := range o.trees {
		if host := o.text(i, values.Global, "database", "mongo", "host"); host != "" && !slices.Contains(db.hosts, host) {
			db.hosts = append(db.hosts, host)
		}
	}
	if len(db.hosts) == 0 {
		return nil, noMongoHost()
	}
	var failed []error
	for _, host := range db.hosts {
		client, err := db.reach(ctx, host)
		if err == nil {
			return client, nil
		}
		failed = append(failed, err)
	}
	return nil, errors.Join(failed...)
}

// close ends the connections; there is nobody left to tell an error to.
func (o *operation) close(ctx context.Context) {
	if o.client != nil {
		_ = o.client.Close(context.WithoutCancel(ctx))
	}
}

// text returns a string of zone n's values, "" when it is not set.
func (o *operation) text(n int, path ...any) string {
	v, _ := o.trees[n].Lookup(path)
	s, _ := v.(string)
	return s
}

// needDatabase is for commands that cannot do without.
func (o *operation) needDatabase() error {
	if o.client == nil {
		return fmt.Errorf("the lease is in MongoDB, which is not reachable from here: %w", o.dbErr)
	}
	return nil
}

func (o *operation) lease() *mongo.LeaseStore { return o.client.LeaseStore(o.env.ID, storeTime) }

// zoneName returns the zone of a key as the environment writes it.
func (o *operation) zoneName(key string) string {
	if z, ok := zone.Find(o.env.Zones, key); ok {
		return z.Name
	}
	return key
}

// observe reads the database and asks every zone's gateways, all at once.
func (o *operation) observe(ctx context.Context) failover.Observation {
	seen := failover.Observation{Environment: o.env.ID, Zones: o.env.Zones, Gateways: make([]failover.Gateways, len(o.env.Zones)), DatabaseErr: o.dbErr}
	ctx, cancel := context.WithTimeout(ctx, operateTime)
	defer cancel()
	zones := make([]chan failover.Gateways, len(o.env.Zones))
	for i, z := range o.env.Zones {
		zones[i] = make(chan failover.Gateways, 1)
		// Not waited for beyond ctx: a credential plugin of the kubeconfig may ignore it.
		go func() { zones[i] <- o.gateways(ctx, z) }()
	}
	if o.client != nil {
		seen.Database, seen.DatabaseErr = o.database(ctx)
	}
	for i := range zones {
		seen.Gateways[i] = inTime(ctx, zones[i], failover.Gateways{Err: fmt.Errorf("no answer within %s", operateTime)})
	}
	return seen
}

// database reads what MongoDB knows of the lease: nil, and why.
func (o *operation) database(ctx context.Context) (*mongo.Status, error) {
	st, err := o.client.StatusStore(o.env.ID, storeTime).Status(ctx, journalTail)
	if err != nil {
		return nil, err
	}
	return &st, nil
}

// inTime returns what one of several said before ctx ended, also where another one was waited for until then; else none.
func inTime[T any](ctx context.Context, answer <-chan T, none T) T {
	select {
	case said := <-answer:
		return said
	case <-ctx.Done():
	}
	select { // a select of two that are ready takes either
	case said := <-answer:
		return said
	default:
		return none
	}
}

func (o *operation) status(ctx context.Context) failover.Status {
	return failover.Assess(o.observe(ctx), environment.APIVersion)
}

func (o *operation) gateways(ctx context.Context, z zone.Zone) failover.Gateways {
	client, err := kube.Open(z, o.f.Kubeconfig())
	if err != nil {
		return failover.Gateways{Err: err}
	}
	nonce := rand.Text()
	replicas, err := client.GatewayReplicas(ctx, nonce)
	if err != nil {
		return failover.Gateways{Err: err}
	}
	var g failover.Gateways
	for _, r := range replicas {
		g.Replicas = append(g.Replicas, o.replica(z, r, nonce))
	}
	return g
}

// replica believes an answer only if it is this environment's, this zone's and to this question.
func (o *operation) replica(z zone.Zone, r kube.GatewayReplica, nonce string) failover.Replica {
	out := failover.Replica{Name: r.Pod}
	switch {
	case r.Err != nil:
		out.Error = r.Err.Error()
	case judge(r.Answer, o.env.ID, z.Name, nonce).active == nil:
		out.Error = fmt.Sprintf("answers for zone %q of environment %q", r.Answer.Zone, r.Answer.Environment)
	default:
		out.State, out.Epoch, out.Eligible, out.Reason, out.LeaseLeft = r.Answer.State, r.Answer.Epoch, r.Eligible, r.Reason, r.LeaseLeft
	}
	return out
}

// roots verify what answers at public addresses: the system's CAs, the environment's own, and the job's caBundle of zone n.
func (o *operation) roots(n int) *x509.CertPool {
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if chain, err := o.dir.ReadOptional(environment.CertsDir + "/" + pki.PublicChain + ".pem"); err == nil {
		pool.AppendCertsFromPEM(chain)
	}
	pool.AppendCertsFromPEM([]byte(o.text(n, values.AutoMaintenance, "caBundle")))
	return pool
}

// directGate returns the gate of a zone's public address, nil where no address is set.
func (o *operation) directGate(name, path string) failover.Gate {
	for i, z := range o.env.Zones {
		if zone.Same(z.Name, name) {
			if address := o.text(i, values.Global, "public", "api"); address != "" {
				return failover.Direct(address, path, o.roots(i))
			}
		}
	}
	return nil
}

// silent asks the public addresses of all zones once, all at once, and returns what waits for one's answer: nil, or why there is none.
func (o *operation) silent(ctx context.Context) func(name string) error {
	answers := map[string]chan error{}
	for _, z := range o.env.Zones {
		gate := o.directGate(z.Name, failover.ActivePath)
		if gate == nil {
			continue
		}
		answer := make(chan error, 1)
		answers[zone.Key(z.Name)] = answer
		go func() {
			_, err := gate(ctx)
			answer <- err
		}()
	}
	return func(name string) error { return <-answers[zone.Key(name)] }
}

// podGate asks all replicas of a zone's gateway through the API server: closed means that every one refuses.
func (o *operation) podGate(z failover.ZoneStatus) failover.Gate {
	found, _ := zone.Find(o.env.Zones, z.Name)
	client, err := kube.Open(found, o.f.Kubeconfig())
	var pods []string
	for _, r := range z.Replicas {
		pods = append(pods, r.Name)
	}
	if err == nil && len(pods) == 0 {
		err = fmt.Errorf("zone %s has no gateway that could be asked", z.Name)
	}
	return func(ctx context.Context) (bool, error) {
		if err != nil {
			return false, err
		}
		open, closed, err := client.GatesOpen(ctx, pods)
		if open > 0 || closed == len(pods) {
			return open > 0, nil
		}
		return false, err
	}
}

// newSwitch returns the order to a zone (a key).
func (o *operation) newSwitch(to, why string, say func(string)) *failover.Switch {
	return &failover.Switch{
		Lease: o.lease(), Status: o.client.StatusStore(o.env.ID, storeTime), Journal: o.client.Journal(o.env.ID, storeTime),
		To: to, By: o.f.who(), Why: why, Name: o.zoneName, Nonce: rand.Text, Now: o.f.Now, Say: say,
	}
}

// say writes a line of progress to stderr.
func (f *Factory) say(line string) { fmt.Fprintln(f.IO.ErrOut, line) }
