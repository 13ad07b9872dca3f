package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/bootstrap"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/gateway"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/lease"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongo"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/pki"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/zone"
)

const (
	replicas = 2 // of a zone
	opTime   = 1500 * time.Millisecond
)

// zoneNames are those of every environment. They share the agents' MongoDB users.
var zoneNames = [2]string{"zone-a", "zone-b"}

// environment is two zones with their gateways, real processes.
type environment struct {
	lab   *lab
	db    *database
	index int
	id    string
	zones [2]*zoneRun
	flags []string // of every gateway, besides the usual
}

// zoneRun is one zone: its gateways and what its record says.
type zoneRun struct {
	name     string
	replicas [replicas]*replica
	record   *recordWriter // nil where a real job writes it
}

// replica is one gateway.
type replica struct {
	*process
	name   string
	host   string // its address on loopback
	dn     string // of its MongoDB user
	client *rawClient
}

// zoneAddress is the host of a replica.
func zoneAddress(index, zone, replica int) string {
	return fmt.Sprintf("127.77.%d.%d", index, 10*(zone+1)+replica+1)
}

// newEnvironment bootstraps an environment in the database as deploy does it. Own makes a MongoDB user for every replica, so that the
// stand-in's trace tells them apart.
func (l *lab) newEnvironment(ctx context.Context, db *database, index int, own bool, flags ...string) (*environment, error) {
	e := &environment{lab: l, db: db, index: index, id: fmt.Sprintf("bench-%d-%s", index, rand.Text()[:6]), flags: flags}
	want := bootstrap.Want{Environment: e.id, Zones: []zone.Zone{{Name: zoneNames[0]}, {Name: zoneNames[1]}}}
	l.bootstrap.Lock() // the environments share users: a bootstrap that finds another one at them starts again
	defer l.bootstrap.Unlock()
	if _, _, err := bootstrap.EnsureDatabase(ctx, db.admin, want, nil); err != nil {
		return nil, err
	}
	var users []mongo.User
	for z, name := range zoneNames {
		e.zones[z] = &zoneRun{name: name}
		for r := range replicas {
			rep := &replica{name: fmt.Sprintf("%s-%d", name, r+1), host: zoneAddress(index, z, r), dn: pki.ServiceSubject(pki.GatewayName(name)).String()}
			if own {
				rep.dn = pki.ServiceSubject(pki.GatewayName(rep.name)).String()
				users = append(users, mongo.User{Name: rep.dn, Roles: []mongo.Role{{Role: "aporetoGateway", DB: mongo.Database}}})
			}
			rep.client = &rawClient{address: net.JoinHostPort(rep.host, publicPort), tls: l.publicTLS()}
			e.zones[z].replicas[r] = rep
		}
	}
	for _, u := range users {
		if _, err := db.admin.CreateUser(ctx, u); err != nil {
			return nil, err
		}
	}
	return e, nil
}

// startGateways starts those of zone z that do not run, and waits until they listen.
func (e *environment) startGateways(ctx context.Context, z int) error {
	for _, r := range e.zones[z].replicas {
		if r.process != nil && r.running() {
			continue
		}
		certKey, err := e.lab.issue(fmt.Sprintf("%s-%s.pem", e.id, r.name), r.dn)
		if err != nil {
			return err
		}
		args := append([]string{"gateway", "--environment", e.id, "--zone", e.zones[z].name, "--replica", r.name,
			"--listen", net.JoinHostPort(r.host, publicPort), "--status-listen", net.JoinHostPort(r.host, statusPort),
			"--tls-cert", e.lab.path("public.pem"), "--tls-key", e.lab.path("public.pem"), "--routes", e.lab.path("routes.json"),
			"--mongodb-uri", e.db.uri, "--mongodb-ca", e.lab.path("mongo-ca.pem"), "--mongodb-cert-key", certKey}, e.flags...)
		if r.process, err = e.lab.start(e.id+"-"+r.name, e.lab.path("aporeto-agent"), args...); err != nil {
			return err
		}
	}
	for _, r := range e.zones[z].replicas {
		if err := awaitListener(ctx, net.JoinHostPort(r.host, publicPort), r.process); err != nil {
			return err
		}
	}
	return nil
}

// end ends the environment's gateways: the next subject's database knows their users too.
func (e *environment) end() {
	for _, z := range e.zones {
		for _, r := range z.replicas {
			if r.process != nil {
				r.kill()
			}
			r.client.close()
		}
	}
}

// state asks a replica what it is doing, and whether load balancers may choose it.
func (r *replica) state(ctx context.Context) (lease.State, bool) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	var id gateway.Identity
	if get(ctx, "http://"+net.JoinHostPort(r.host, statusPort)+gateway.IdentityPath, &id) != nil {
		return "", false
	}
	return id.State, get(ctx, "http://"+net.JoinHostPort(r.host, statusPort)+"/healthz/eligible", nil) == nil
}

// get fetches a JSON document, or, with into nil, only the status, which must be 200.
func get(ctx context.Context, url string, into any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", url, response.Status)
	}
	if into == nil {
		return nil
	}
	return json.NewDecoder(response.Body).Decode(into)
}

// withZones has measure look at two zones of two gateways, the first of which serves, over a traced database. Records move at once; ordered says
// whether by an order, after which the other zone need not be eligible.
func (l *lab) withZones(ctx context.Context, index int, ordered bool, measure func(context.Context, *database, *environment) error) error {
	db, err := l.startDatabase(ctx, true)
	if err != nil {
		return err
	}
	defer db.end(ctx)
	upstream, err := l.startUpstream(ctx) // eligible zones connect to it now and then
	if err != nil {
		return err
	}
	defer upstream.stop()
	e, err := l.newEnvironment(ctx, db, index, true)
	if err != nil {
		return err
	}
	defer e.end()
	for z := range e.zones {
		if err := e.startGateways(ctx, z); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := e.writeRecords(ctx, 0); err != nil {
		return err
	}
	if err := e.settle(ctx, 0, ordered); err != nil {
		return err
	}
	return measure(ctx, db, e)
}

// settle waits until both replicas of zone z are open and those of the other zone are passive and could take over, and returns an
// error when that does not come.
func (e *environment) settle(ctx context.Context, z int, ordered bool) error {
	err := await(ctx, 60*time.Second, func() bool {
		for n, zone := range e.zones {
			for _, r := range zone.replicas {
				state, eligible := r.state(ctx)
				// After an order the other zone is ineligible on purpose.
				if n == z && state != lease.Active || n != z && (state != lease.Locked && state != lease.Candidate || !eligible && !ordered) {
					return false
				}
			}
		}
		return true
	})
	if err != nil {
		return fmt.Errorf("environment %s with %s active: %w%s", e.id, e.zones[z].name, err, e.explain(ctx))
	}
	return nil
}

// explain says what every replica is doing.
func (e *environment) explain(ctx context.Context) string {
	text := ""
	for _, zone := range e.zones {
		for _, r := range zone.replicas {
			state, eligible := r.state(ctx)
			text += fmt.Sprintf("\n%s: state %q, eligible %v; its log ends:\n%s", r.name, state, eligible, r.tail())
		}
	}
	return text
}

// recordWriter keeps a zone's record as its auto-maintenance job would: it confirms every other second, and moves the record at once
// when told to.
type recordWriter struct {
	store *mongo.IntentStore
	mu    sync.Mutex
	now   lease.Record
}

// confirmEvery is how often the job, with its default interval of 1 s, confirms a record.
const confirmEvery = 2 * time.Second

func (e *environment) newRecordWriter(ctx context.Context, z int) (*recordWriter, error) {
	w := &recordWriter{store: e.db.admin.IntentStore(e.id, e.zones[z].name, opTime)}
	intent, err := w.store.Intent(ctx)
	w.now = intent.Record
	return w, err
}

// move makes the record name a zone, or, with the one it names already, confirms it.
func (w *recordWriter) move(ctx context.Context, to string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	is := w.now
	is.Confirmed++
	if to != "" && to != is.PointsAt {
		is.PointsAt, is.Seq = to, is.Seq+1
	}
	after, applied, err := w.store.WriteIntent(ctx, mongo.IntentWrite{Was: w.now, Is: is, Version: "bench"})
	if err != nil {
		return err
	}
	if !applied {
		return fmt.Errorf("the record of zone %s was written by somebody else", w.now.Zone)
	}
	w.now = after.Record
	return nil
}

// confirm confirms until ctx ends. A failure is left to the next time.
func (w *recordWriter) confirm(ctx context.Context) {
	for sleep(ctx, confirmEvery) == nil {
		_ = w.move(ctx, "")
	}
}

// pointAt moves every zone's record to zone z at once.
func (e *environment) pointAt(ctx context.Context, z int) error {
	for _, run := range e.zones {
		if err := run.record.move(ctx, e.zones[z].name); err != nil {
			return err
		}
	}
	return nil
}

// writeRecords makes the bench write both zones' records, pointing at zone z, until ctx ends.
func (e *environment) writeRecords(ctx context.Context, z int) error {
	for n, run := range e.zones {
		var err error
		if run.record, err = e.newRecordWriter(ctx, n); err != nil {
			return err
		}
	}
	if err := e.pointAt(ctx, z); err != nil {
		return err
	}
	for _, run := range e.zones {
		go run.record.confirm(ctx)
	}
	return nil
}
