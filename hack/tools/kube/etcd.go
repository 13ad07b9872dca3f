package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/embed"
)

// etcdOptions are the few settings a single-member etcd needs.
type etcdOptions struct {
	name, dir         string
	listenClientURL   string
	listenPeerURL     string
	cert, key, ca     string
	logLevel          string
	unsafeNoFsync     bool
	readyTimeout      time.Duration
	snapshotCount     uint64
	compactionKeepFor string
}

// newEtcdCommand runs an embedded etcd of one member. Client traffic is mutual TLS; the peer listener is on loopback and
// nobody ever speaks to it.
func newEtcdCommand() *cobra.Command {
	o := etcdOptions{readyTimeout: time.Minute, snapshotCount: 5000, compactionKeepFor: "10m"}
	c := &cobra.Command{
		Use:          "etcd",
		Short:        "Run a single-member etcd",
		Args:         cobra.NoArgs,
		SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGTERM, syscall.SIGINT)
			defer stop()
			return runEtcd(ctx, o)
		},
	}
	f := c.Flags()
	f.StringVar(&o.dir, "data-dir", "", "data directory")
	f.StringVar(&o.name, "name", "default", "member name")
	f.StringVar(&o.listenClientURL, "listen-client-url", "https://127.0.0.1:2379", "URL for clients")
	f.StringVar(&o.listenPeerURL, "listen-peer-url", "http://127.0.0.1:2380", "URL for peers")
	f.StringVar(&o.cert, "cert-file", "", "server certificate, PEM")
	f.StringVar(&o.key, "key-file", "", "server key, PEM")
	f.StringVar(&o.ca, "trusted-ca-file", "", "CA of the clients' certificates, PEM")
	f.StringVar(&o.logLevel, "log-level", "warn", "debug, info, warn or error")
	f.BoolVar(&o.unsafeNoFsync, "unsafe-no-fsync", false, "never fsync: fast, and a power cut loses the cluster")
	return c
}

// runEtcd serves until ctx ends or etcd fails.
func runEtcd(ctx context.Context, o etcdOptions) error {
	client, err := url.Parse(o.listenClientURL)
	if err != nil {
		return fmt.Errorf("parse client URL: %w", err)
	}
	peer, err := url.Parse(o.listenPeerURL)
	if err != nil {
		return fmt.Errorf("parse peer URL: %w", err)
	}
	cfg := embed.NewConfig()
	cfg.Name, cfg.Dir = o.name, o.dir
	cfg.ListenClientUrls, cfg.AdvertiseClientUrls = []url.URL{*client}, []url.URL{*client}
	cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = []url.URL{*peer}, []url.URL{*peer}
	cfg.InitialCluster = cfg.InitialClusterFromName(o.name)
	cfg.LogLevel, cfg.LogOutputs = o.logLevel, []string{"stderr"}
	cfg.UnsafeNoFsync = o.unsafeNoFsync
	cfg.AutoCompactionMode, cfg.AutoCompactionRetention = embed.CompactorModePeriodic, o.compactionKeepFor
	cfg.SnapshotCount = o.snapshotCount // fewer raft entries kept in memory than by default
	if o.cert != "" {
		cfg.ClientTLSInfo.CertFile, cfg.ClientTLSInfo.KeyFile = o.cert, o.key
		cfg.ClientTLSInfo.TrustedCAFile, cfg.ClientTLSInfo.ClientCertAuth = o.ca, true
	}
	e, err := embed.StartEtcd(cfg)
	if err != nil {
		return fmt.Errorf("start etcd: %w", err)
	}
	defer e.Close()
	late := time.NewTimer(o.readyTimeout)
	defer late.Stop()
	select {
	case <-e.Server.ReadyNotify():
	case <-ctx.Done():
		return nil
	case <-late.C:
		return errors.New("etcd is not ready in time")
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-e.Err():
		return fmt.Errorf("etcd: %w", err)
	}
}
