// Package gateway is the program in front of a zone's services: TLS, a reverse proxy by route, and the gate that answers 423 unless
// this replica holds a confirmed lease.
//
// Invariant: a request is proxied, and every piece of it written, only while the gate's current opening holds. Every error, unknown
// state and restart means closed. The HTTP surface is that of docs/failover.md; pkg/lease decides, pkg/mongo stores.
package gateway

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/lease"
)

// Config is what a gateway is started with.
type Config struct {
	Environment string
	Zone        string
	Version     string
	Listen      string // public address, TLS
	Status      string // address inside the cluster, plain HTTP: probes and metrics
	Routes      Routes
	Certificate func() (*tls.Certificate, error) // the public certificate, asked at every handshake
	UpstreamCA  *x509.CertPool                   // verifies https upstreams; nil means the system's roots
	ZoneURLs    map[string]string                // zone key → public URL; a 423 names the active zone's
	Redirect    int                              // 3xx that sends browsers to the active zone; 0 means none
	Lease       lease.Config
	Store       Store
	Clock       func() lease.Time
	Log         *slog.Logger
}

// Limits of the public listener. Bodies are unlimited: they stream.
const (
	headerTime  = 10 * time.Second
	idleTime    = 120 * time.Second
	headerBytes = 64 << 10
)

// Gateway is one replica.
type Gateway struct {
	cfg     Config
	gate    *Gate
	keeper  *Keeper
	metrics *metrics
	health  *health
	held    *held
	proxy   http.Handler
	refusal *refusal
}

// New returns a gateway that is closed and listens nowhere yet.
func New(cfg Config) *Gateway {
	g := &Gateway{cfg: cfg, gate: NewGate(cfg.Clock), refusal: newRefusal(cfg)}
	g.held = newHeld(g.gate)
	g.metrics = newMetrics(cfg.Zone)
	g.keeper = NewKeeper(lease.New(cfg.Lease), cfg.Store, g.gate, cfg.Clock, cfg.Log, &observer{log: cfg.Log, zone: cfg.Zone, metrics: g.metrics})
	g.metrics.watch(g.keeper, g.gate, cfg.Clock)
	g.health = newHealth(cfg.Routes.Upstreams(), cfg.Certificate, g.keeper, 3*cfg.Lease.Term.P+2*cfg.Lease.Term.C)
	g.proxy = newProxy(cfg.Routes, cfg.UpstreamCA, cfg.Log)
	return g
}

// Run serves until ctx ends, then closes the gate, lets what is under way drain, and returns. An error means that it could not serve.
func (g *Gateway) Run(ctx context.Context) error {
	public, err := net.Listen("tcp", g.cfg.Listen)
	if err != nil {
		return fmt.Errorf("listen on %q: %w", g.cfg.Listen, err)
	}
	defer public.Close()
	status, err := net.Listen("tcp", g.cfg.Status)
	if err != nil {
		return fmt.Errorf("listen on %q: %w", g.cfg.Status, err)
	}
	defer status.Close()

	// What is under way lives on past ctx, until it has drained.
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	base := func(net.Listener) context.Context { return life }
	errorLog := slog.NewLogLogger(g.cfg.Log.Handler(), slog.LevelDebug)
	publicServer := &http.Server{
		Handler: g.Public(), BaseContext: base, ErrorLog: errorLog, ReadHeaderTimeout: headerTime, IdleTimeout: idleTime, MaxHeaderBytes: headerBytes,
		TLSConfig: &tls.Config{
			MinVersion:     tls.VersionTLS12,
			GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return g.cfg.Certificate() },
		},
	}
	statusServer := &http.Server{Handler: g.Status(), BaseContext: base, ErrorLog: errorLog, ReadHeaderTimeout: headerTime, IdleTimeout: idleTime}

	var wg sync.WaitGroup
	failed := make(chan error, 2)
	serve := func(name string, run func() error) {
		wg.Go(func() {
			if err := run(); !errors.Is(err, http.ErrServerClosed) {
				failed <- fmt.Errorf("serve %s: %w", name, err)
			}
		})
	}
	serve("public address", func() error { return publicServer.ServeTLS(public, "", "") })
	serve("status address", func() error { return statusServer.Serve(status) })
	wg.Go(func() { g.health.run(life) })
	g.cfg.Log.InfoContext(ctx, "gateway started", "zone", g.cfg.Zone, "environment", g.cfg.Environment, "listen", public.Addr().String(), "version", g.cfg.Version)

	keeperDone := make(chan struct{})
	wg.Go(func() { defer close(keeperDone); g.keeper.Run(life, ctx.Done()) })

	select {
	case <-ctx.Done():
		<-keeperDone // the gate is closed and what was under way has drained or was cut
	case err = <-failed:
	}
	last, cancel := context.WithTimeout(life, time.Second)
	defer cancel()
	for _, s := range []*http.Server{publicServer, statusServer} {
		if s.Shutdown(last) != nil {
			s.Close()
		}
	}
	end()
	wg.Wait()
	return err
}
