// Command ledger is the service that the sandbox's control plane is made of: it stands in for any service that speaks to
// MongoDB by X.509. Requests write documents and read them (handler.go), so that whoever is answered proves that the zone can.
// `ledger work` is a background worker instead, for services that are held (work.go).
//
// It takes the contract of docs/architecture.md, Services, from its environment: MONGODB_URI, MONGODB_CA_FILE,
// MONGODB_CERT_KEY_FILE. APORETO_ZONE, if set, is the zone named in its answers and documents. Its database is the URI's, else
// "ledger".
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

const (
	listenAddress  = ":8080"
	requestTimeout = 5 * time.Second  // for one request's write
	lingerTime     = 3 * time.Second  // told to end, until nobody sends requests here any more
	drainTimeout   = 10 * time.Second // for requests in flight after that
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	log := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	if err := run(ctx, log, os.Args[1:], os.Getenv); err != nil {
		log.Error("ledger ended", "error", err)
		os.Exit(1)
	}
}

// run serves, or works, until ctx ends.
func run(ctx context.Context, log *slog.Logger, args []string, getenv func(string) string) error {
	if len(args) > 1 || len(args) == 1 && args[0] != "work" {
		return fmt.Errorf("unknown arguments %q; the only one is work", args)
	}
	books, err := openBooks(ctx, getenv("MONGODB_URI"), getenv("MONGODB_CA_FILE"), getenv("MONGODB_CERT_KEY_FILE"))
	if err != nil {
		return err
	}
	defer books.close()
	zone := getenv("APORETO_ZONE")
	if zone == "" {
		zone = "unknown"
	}
	if len(args) == 1 {
		return work(ctx, zone, books, os.Stdout, log)
	}
	return serve(ctx, log, zone, books)
}

// serve answers requests until ctx ends and everybody has had time to learn of it, then lets those in flight finish.
func serve(ctx context.Context, log *slog.Logger, zone string, books *books) error {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", listenAddress)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	s := &http.Server{Handler: closing(ctx, newHandler(zone, books, log)), ReadHeaderTimeout: 5 * time.Second}
	log.Info("ledger serves", "address", listenAddress, "zone", zone, "database", books.database())
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	select {
	case err := <-served:
		return fmt.Errorf("serve: %w", err)
	case <-time.After(lingerTime):
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	if err := s.Shutdown(drain); err != nil {
		return fmt.Errorf("drain: %w", err)
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}
