package mongo

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/bson/primitive"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongocheck"
)

const (
	inspectTime = 5 * time.Second // one question to a router
	memberTime  = 3 * time.Second // one shard's member, which a workstation often cannot reach
)

// Inspect learns what `mongo check` must know, as the administrator: every router side by side, then the cluster through one that let us
// in, and its members directly where direct tells that they may be reached like the routers. What cannot be learnt is not in the facts;
// the error is about o alone.
func Inspect(ctx context.Context, o Options, direct bool) (mongocheck.Facts, error) {
	i, err := o.inspector()
	if err != nil {
		return mongocheck.Facts{}, err
	}
	facts := mongocheck.Facts{Routers: i.routers(ctx, (*node).administer)}
	for _, r := range facts.Routers {
		if r.Login != nil && r.Login.Err == "" {
			facts.Cluster = i.cluster(ctx, r.Host, direct)
			break
		}
	}
	return facts, nil
}

// Look learns what an agent inside a zone can see of the environment's routers, with its own certificate and within its user's rights:
// nothing is changed.
func Look(ctx context.Context, o Options, environment string) (mongocheck.View, error) {
	i, err := o.inspector()
	if err != nil {
		return mongocheck.View{}, err
	}
	return mongocheck.View{Routers: i.routers(ctx, func(n *node, ctx context.Context, r *mongocheck.Router) { n.try(ctx, r, environment) })}, nil
}

// inspector knows how routers are reached.
type inspector struct {
	options Options
	config  *tls.Config
	hosts   []string
	dial    Dial
	user    string // subject of the client's certificate
}

func (o Options) inspector() (*inspector, error) {
	settings, config, err := o.driver()
	if err != nil {
		return nil, err
	}
	i := &inspector{options: o, config: config, hosts: settings.Hosts, dial: o.dialer()}
	// The certificate is the client's own; a file that cannot be read is the caller's error.
	own, err := o.Certificate()
	if err != nil {
		return nil, err
	}
	if own.Leaf != nil {
		i.user = mongocheck.Subject(own.Leaf)
	}
	return i, nil
}

func (i *inspector) routers(ctx context.Context, then func(*node, context.Context, *mongocheck.Router)) []mongocheck.Router {
	routers := make([]mongocheck.Router, len(i.hosts))
	var wg sync.WaitGroup
	for n, host := range i.hosts {
		wg.Go(func() { routers[n] = i.router(ctx, host, then) })
	}
	wg.Wait()
	return routers
}

// router asks one router, as far as it lets us.
func (i *inspector) router(ctx context.Context, host string, then func(*node, context.Context, *mongocheck.Router)) mongocheck.Router {
	r := mongocheck.Router{Host: host}
	if mongocheck.IsAtlas(host) {
		return r // refused by its name alone
	}
	if i.options.Dial == nil {
		r.Addresses = lookup(ctx, host)
	}
	n, hello, chain, troubles := dialNode(ctx, i.dial, i.config, host, probeTime)
	r.Troubles, r.Chain = troubles, mongocheck.Certificates(chain)
	if n == nil {
		return r
	}
	defer n.close()
	r.TLS = tls.VersionName(n.tls)
	r.Greeting = &mongocheck.Greeting{Mongos: isRouter(hello), Set: hello.SetName, Wire: hello.MaxWireVersion}
	ctx, cancel := context.WithTimeout(ctx, 4*inspectTime)
	defer cancel()
	n.clock(ctx, &r, hello)
	n.build(ctx, &r)
	if !r.Greeting.Mongos || old(r.Version) {
		return r // its users, if it has any, are its own
	}
	r.User = i.user
	r.Login = answer(time.Now(), n.login(ctx))
	if r.Login.Err == "" {
		then(n, ctx, &r)
	}
	return r
}

func lookup(ctx context.Context, host string) []string {
	_, name, err := address(host)
	if err != nil {
		return nil
	}
	if net.ParseIP(name) != nil {
		return []string{name}
	}
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	addresses, err := net.DefaultResolver.LookupHost(ctx, name)
	if err != nil {
		return nil // the connection says why
	}
	slices.Sort(addresses)
	return addresses
}

// clock compares clocks: the server read its own between sending and receiving. The shortest of a few round trips bounds it best.
func (n *node) clock(ctx context.Context, r *mongocheck.Router, hello greeting) {
	best := hello
	for range 2 {
		next, err := n.greet(ctx)
		if err != nil {
			break // what follows fails too, and says why
		}
		if next.received.Sub(next.sent) < best.received.Sub(best.sent) {
			best = next
		}
	}
	r.RoundTrip = best.received.Sub(best.sent)
	if !best.LocalTime.IsZero() {
		const cut = time.Millisecond / 2 // the server tells whole milliseconds
		r.ClockOffset = best.LocalTime.Add(cut).Sub(best.sent.Add(r.RoundTrip / 2).Round(0))
		r.ClockError = r.RoundTrip/2 + cut
	}
}

func (n *node) build(ctx context.Context, r *mongocheck.Router) {
	var info struct {
		Version      string
		Modules      []string
		Standin      bool
		AtlasVersion any `bson:"atlasVersion"`
	}
	if n.run(ctx, "admin", bson.D{{Key: "buildInfo", Value: 1}}, &info) == nil { // else the version stays unknown
		r.Version, r.Standin, r.Atlas = info.Version, info.Standin, info.AtlasVersion != nil
	}
}

// old tells whether a version is one that the product does not work with, and that may not know what is asked next.
func old(version string) bool {
	major, _, _ := strings.Cut(version, ".")
	n, err := strconv.Atoi(major)
	return err == nil && n < 4
}

// login proves who we are by the certificate that the TLS connection has shown.
func (n *node) login(ctx context.Context) error {
	return n.run(ctx, External, bson.D{{Key: "authenticate", Value: 1}, {Key: "mechanism", Value: "MONGODB-X509"}}, nil)
}

// administer asks what only an administrator may.
func (n *node) administer(ctx context.Context, r *mongocheck.Router) {
	var status struct {
		AuthInfo struct {
			Roles []mongocheck.Role `bson:"authenticatedUserRoles"`
		} `bson:"authInfo"`
	}
	if n.run(ctx, "admin", bson.D{{Key: "connectionStatus", Value: 1}}, &status) == nil {
		r.Roles = status.AuthInfo.Roles
	}
	var parameter struct {
		Bypass *bool `bson:"enableLocalhostAuthBypass"`
	}
	if n.run(ctx, "admin", bson.D{{Key: "getParameter", Value: 1}, {Key: "enableLocalhostAuthBypass", Value: 1}}, &parameter) == nil {
		r.Bypass = parameter.Bypass
	}
	var version struct {
		Cursor struct {
			FirstBatch []struct {
				ClusterID primitive.ObjectID `bson:"clusterId"`
			} `bson:"firstBatch"`
		}
	}
	if n.run(ctx, "config", bson.D{{Key: "find", Value: "version"}, {Key: "limit", Value: 1}, {Key: "singleBatch", Value: true}}, &version) == nil &&
		len(version.Cursor.FirstBatch) > 0 {
		r.ClusterID = version.Cursor.FirstBatch[0].ClusterID.Hex()
	}
}

// try reads and writes as a gateway may: the lease linearizably, and an update that matches nothing, acknowledged by a majority.
func (n *node) try(ctx context.Context, r *mongocheck.Router, environment string) {
	limit := bson.E{Key: "maxTimeMS", Value: inspectTime.Milliseconds()}
	start := time.Now()
	r.Read = answer(start, n.run(ctx, Database, bson.D{{Key: "find", Value: leaseCollection}, {Key: "filter", Value: bson.D{{Key: "_id", Value: environment}}},
		{Key: "limit", Value: 1}, {Key: "singleBatch", Value: true}, {Key: "readConcern", Value: bson.D{{Key: "level", Value: "linearizable"}}}, limit}, nil))
	start = time.Now()
	nobody := bson.D{{Key: "q", Value: bson.D{{Key: "_id", Value: environment + "/mongo check"}}}, {Key: "u", Value: bson.D{{Key: "$set", Value: bson.D{{Key: "seen", Value: true}}}}}}
	r.Write = answer(start, n.run(ctx, Database, bson.D{{Key: "update", Value: leaseCollection}, {Key: "updates", Value: bson.A{nobody}},
		{Key: "writeConcern", Value: bson.D{{Key: "w", Value: "majority"}, {Key: "wtimeout", Value: inspectTime.Milliseconds()}}}, limit}, nil))
}

// answer is how a question that was asked at start went.
func answer(start time.Time, err error) *mongocheck.Answer {
	a := &mongocheck.Answer{Took: time.Since(start)}
	if err != nil {
		a.Err = err.Error()
		var refused *commandError
		if errors.As(err, &refused) {
			a.Code = refused.Code
		}
	}
	return a
}
