// Package gateway is the program in front of a zone's services: TLS, a reverse proxy by route, and the gate that answers 423 unless
// this replica holds a confirmed lease.
//
// Invariant: a request is proxied, and every piece of it written, only while the gate's current opening holds. Every error, unknown
// state and restart means closed. The HTTP surface is that of docs/failover.md; pkg/lease decides, pkg/mongo stores.
package gateway

import (
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/lease"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongo"
)

// Config is what a gateway is started with.
type Config struct {
	Environment string
	Zone        string
	Version     string
	Listen      string // public address, TLS
	Status      string // address inside the cluster, plain HTTP: probes and metrics
	Authz       string // address inside the cluster, plain HTTP: the decision for other ingresses; "" for none
	Routes      Routes
	Certificate func() (*tls.Certificate, error) // the public certificate, asked at every handshake
	ClientCA    func() (*x509.CertPool, error)   // verifies clients' certificates, asked at every handshake; nil verifies none
	CertHeader  string                           // header that carries a client's certificate to https upstreams; "" for none
	UpstreamCA  *x509.CertPool                   // verifies https upstreams; nil means the system's roots
	ZoneURLs    map[string]string                // zone key → public URL; a 423 names the active zone's
	ZoneNames   map[string]string                // zone key → name as people write it, for as many as are known
	Redirect    int                              // 3xx that sends browsers to the active zone; 0 means none
	Lease       lease.Config
	Linger      time.Duration // for how long a stopping replica goes on as before, while load balancers forget it
	Store       Store
	Journal     Journal                 // nil for none
	Probes      func() []mongo.Sighting // what the zone's job last saw, for metrics; nil for none
	Clock       func() lease.Time
	Log         *slog.Logger
}

// Gateway is one replica.
type Gateway struct {
	cfg     Config
	gate    *Gate
	keeper  *Keeper
	metrics *metrics
	health  *health
	held    *held
	proxy   *proxy
	refusal *refusal
	journal *journal
	surface map[string]http.HandlerFunc // what the public address answers in every state, by path
	lanes   lanes
	leaving atomic.Bool // asked to stop: readiness says so, and connections are not kept
}

// New returns a gateway that is closed and listens nowhere yet.
func New(cfg Config) *Gateway {
	g := &Gateway{cfg: cfg, gate: NewGate(cfg.Clock), refusal: newRefusal(cfg), lanes: lanes{idle: idleTime, bundles: newBundles()}}
	g.held = newHeld(g.gate)
	g.metrics = newMetrics(cfg.Zone)
	g.journal = newJournal(cfg.Journal, cfg.Lease.Zone, cfg.Log)
	g.keeper = NewKeeper(cfg.Lease, cfg.Store, g.gate, cfg.Clock, cfg.Log, &observer{log: cfg.Log, zone: cfg.Zone, metrics: g.metrics, journal: g.journal})
	g.health = newHealth(cfg.Routes.Upstreams(), cfg.Certificate, g.keeper, 3*cfg.Lease.Term.P+2*cfg.Lease.Term.C)
	g.metrics.watch(g.keeper, g.gate, cfg.Clock, g.listConditions)
	g.metrics.watchProbes(cfg.Probes, cfg.Lease.Zone, g.keeper)
	g.proxy = newProxy(cfg.Routes, cfg.UpstreamCA, hygiene{clientCert: cfg.CertHeader}, cfg.Log)
	g.surface = map[string]http.HandlerFunc{
		IdentityPath: g.identity, "/healthz/live": live, "/healthz/eligible": g.eligible, "/healthz/active": g.active,
	}
	return g
}
