package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// Limits of the public listener. Bodies are limited neither in size nor in time: they stream. A connection must finish its handshake, and
// each request its header, within headerTime.
const (
	headerTime  = 10 * time.Second
	idleTime    = 120 * time.Second
	headerBytes = 64 << 10
	streams     = 250 // requests at once on one HTTP/2 connection
	pingAfter   = 30 * time.Second
	pingTime    = 15 * time.Second
	writeStall  = 60 * time.Second // an HTTP/2 connection that takes no byte for this long is closed
	restTime    = 5 * time.Second  // for the rest of a body that was answered without it, before its connection is closed
)

// tlsConfig returns what the public address speaks: HTTP/2 and HTTP/1.1, over TLS 1.2 and later. Clients are asked for a certificate only
// where something is done with it, because browsers put the question to their users.
func (g *Gateway) tlsConfig() *tls.Config {
	config := &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return g.cfg.Certificate() },
	}
	switch {
	case g.cfg.ClientCA != nil:
		config.ClientAuth = tls.VerifyClientCertIfGiven
		config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
			pool, err := g.cfg.ClientCA()
			if err != nil {
				return nil, err
			}
			now := config.Clone()
			now.ClientCAs, now.GetConfigForClient = pool, nil
			return now, nil
		}
	case g.cfg.CertHeader != "":
		config.ClientAuth = tls.RequestClientCert
	}
	return config
}

// publicServer returns the server of the public address.
func (g *Gateway) publicServer() *http.Server {
	return &http.Server{
		Handler: g.Public(), TLSConfig: g.tlsConfig(), ErrorLog: slog.NewLogLogger(g.cfg.Log.Handler(), slog.LevelDebug),
		ReadHeaderTimeout: headerTime, IdleTimeout: idleTime, MaxHeaderBytes: headerBytes,
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, conn)
		},
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: streams, SendPingTimeout: pingAfter, PingTimeout: pingTime, WriteByteTimeout: writeStall,
		},
	}
}

// insideServer returns a server of an address inside the cluster.
func (g *Gateway) insideServer(handler http.Handler) *http.Server {
	return &http.Server{
		Handler: handler, ErrorLog: slog.NewLogLogger(g.cfg.Log.Handler(), slog.LevelDebug),
		ReadHeaderTimeout: headerTime, ReadTimeout: headerTime, IdleTimeout: idleTime, MaxHeaderBytes: headerBytes,
	}
}

// Run serves until ctx ends, goes on until load balancers have forgotten this replica, closes the gate, lets what is under way drain, and
// returns. An error means that it could not serve.
func (g *Gateway) Run(ctx context.Context) error {
	type service struct {
		name, address string
		server        *http.Server
		facing        bool // clients ask it, or ingresses do for them
		listener      net.Listener
	}
	services := []*service{
		{name: "public address", address: g.cfg.Listen, server: g.publicServer(), facing: true},
		{name: "status address", address: g.cfg.Status, server: g.insideServer(g.Status())},
	}
	if g.cfg.Authz != "" {
		services = append(services, &service{name: "authz address", address: g.cfg.Authz, server: g.insideServer(g.Authz()), facing: true})
	}
	var facing []*http.Server
	came := &arrivals{began: time.Now()}
	for _, s := range services {
		listener, err := net.Listen("tcp", s.address)
		if err != nil {
			return fmt.Errorf("listen on %q: %w", s.address, err)
		}
		defer listener.Close()
		if s.listener = listener; s.facing {
			s.listener = counted{listener, came}
			facing = append(facing, s.server)
		}
	}

	// What is under way lives on past ctx, until it has drained.
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	var wg sync.WaitGroup
	failed := make(chan error, len(services))
	for _, s := range services {
		s.server.BaseContext = func(net.Listener) context.Context { return life }
		serve := s.server.Serve
		if s.server.TLSConfig != nil {
			serve = func(l net.Listener) error { return s.server.ServeTLS(bundling{l}, "", "") }
		}
		wg.Go(func() {
			if err := serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
				failed <- fmt.Errorf("serve %s: %w", s.name, err)
			}
		})
	}
	wg.Go(func() { g.health.run(life) })
	wg.Go(func() { g.journal.run(life) })
	g.cfg.Log.InfoContext(ctx, "gateway started", "zone", g.cfg.Zone, "environment", g.cfg.Environment,
		"listen", services[0].listener.Addr().String(), "version", g.cfg.Version)

	stop, stopped := make(chan struct{}), make(chan struct{})
	wg.Go(func() { defer close(stopped); g.keeper.Run(life, stop) })

	var err error
	select {
	case <-ctx.Done():
		if err = g.leave(life, came, failed, facing...); err == nil {
			close(stop)
			<-stopped // the gate is closed and what was under way has drained or was cut
		}
	case err = <-failed:
	}
	last, cancel := context.WithTimeout(life, lastAnswers)
	defer cancel()
	g.lanes.stop()
	g.lanes.wait(last)
	for _, s := range services {
		if s.server.Shutdown(last) != nil {
			s.server.Close()
		}
	}
	end()
	wg.Wait()
	return err
}
