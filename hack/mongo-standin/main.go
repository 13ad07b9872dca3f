// Command mongo-standin serves pkg/mongo/mongotest: a stand-in for the routers
// of a sharded MongoDB cluster, for the sandbox, where no server can be
// installed. docs/mongodb-standin.md says what it can do. It runs until SIGINT
// or SIGTERM and keeps its state in --data, when given. On SIGHUP it reads its
// certificate again and restarts its routers with it, one after the other.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongo/mongotest"
)

type settings struct {
	listen, certKey, passFile, ca, dialect, data, admin, trace string
	control, tell                                              string
	order                                                      []string // of tell
	mongod, verbose                                            bool
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := runProgram(ctx, os.Args[1:], os.Stderr)
	stop()
	if errors.Is(err, flag.ErrHelp) {
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func parse(args []string, stderr io.Writer) (settings, error) {
	var o settings
	fs := flag.NewFlagSet("mongo-standin", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.StringVar(&o.listen, "listen", "127.0.0.1:27017", "addresses of the routers, `HOST:PORT,…`")
	fs.StringVar(&o.certKey, "tls-cert-key", "", "`FILE` with the routers' certificate chain and key (required)")
	fs.StringVar(&o.passFile, "tls-cert-key-pass-file", "", "`FILE` with the passphrase of that key")
	fs.StringVar(&o.ca, "tls-ca", "", "`FILE` with the CAs of the clients (required)")
	fs.StringVar(&o.dialect, "dialect", "4.0", "server `VERSION` to imitate: 4.0, 4.2 or 4.4")
	fs.StringVar(&o.data, "data", "", "`FILE` that keeps users and documents over restarts")
	fs.StringVar(&o.admin, "admin-user", "", "`DN` of a user to make with root@admin, once")
	fs.StringVar(&o.trace, "trace", "", "`FILE` that gets one JSON line for each command, as it took effect")
	fs.BoolVar(&o.mongod, "mongod", false, "answer as a mongod of a replica set, not as a mongos")
	fs.BoolVar(&o.verbose, "verbose", false, "log connections that end in an error")
	fs.StringVar(&o.control, "control", "", "unix `SOCKET` that takes orders while it runs")
	fs.StringVar(&o.tell, "tell", "", "give an order to the stand-in with this control `SOCKET`, and end: --tell SOCKET election 10s")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	if o.tell != "" {
		o.order = fs.Args()
		return o, nil
	}
	if fs.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}
	if o.certKey == "" || o.ca == "" {
		return o, errors.New("--tls-cert-key and --tls-ca are required")
	}
	return o, nil
}

func runProgram(ctx context.Context, args []string, stderr io.Writer) error {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	if o.tell != "" {
		return tell(ctx, o.tell, o.order)
	}
	level := slog.LevelInfo
	if o.verbose {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: level}))
	cfg := mongotest.Config{Dialect: mongotest.Dialect(o.dialect), DataFile: o.data, AdminUser: o.admin, Mongod: o.mongod, Logger: log}
	if err := loadTLS(o, &cfg); err != nil {
		return err
	}
	if o.trace != "" {
		file, err := os.OpenFile(o.trace, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return fmt.Errorf("open trace: %w", err)
		}
		defer file.Close()
		lines := json.NewEncoder(file)
		cfg.Trace = func(c mongotest.Command) {
			if err := lines.Encode(c); err != nil {
				log.Error("trace", "error", err)
			}
		}
	}
	// Listeners first: an address in use is an error before anything is written.
	var listeners []net.Listener
	var lc net.ListenConfig
	for addr := range strings.SplitSeq(o.listen, ",") {
		l, err := lc.Listen(ctx, "tcp", addr)
		if err != nil {
			for _, open := range listeners {
				_ = open.Close()
			}
			return fmt.Errorf("listen: %w", err)
		}
		listeners = append(listeners, l)
	}
	s, err := mongotest.New(ctx, cfg)
	if err != nil {
		for _, open := range listeners {
			_ = open.Close()
		}
		return fmt.Errorf("start stand-in: %w", err)
	}
	if o.control != "" {
		wait, err := openControl(ctx, o.control, s)
		if err != nil {
			for _, open := range listeners {
				_ = open.Close()
			}
			return errors.Join(err, s.Close())
		}
		defer wait()
	}
	for _, l := range listeners {
		s.Serve(l)
		log.Info("listening", "address", l.Addr().String(), "dialect", o.dialect)
	}
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-hangup:
			if err := restart(ctx, o, s, len(listeners), log); err != nil {
				log.Error("restart", "error", err) // the routers that were not reached go on as they are
			}
		}
	}
	return s.Close()
}

// How a careful operator restarts routers: each is away for a moment, and the next one waits until clients have found it again.
const (
	away    = 500 * time.Millisecond
	between = 3 * time.Second
)

// restart gives the routers the certificate that the files hold now, one router after the other.
func restart(ctx context.Context, o settings, s *mongotest.Standin, routers int, log *slog.Logger) error {
	var cfg mongotest.Config
	if err := loadTLS(o, &cfg); err != nil {
		return err
	}
	for i := range routers {
		if i > 0 {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(between):
			}
		}
		if err := s.Restart(ctx, i, cfg.Certificate, away); err != nil {
			return err
		}
		log.Info("restarted", "router", i, "certificate", cfg.Certificate.Leaf.Subject.String())
	}
	log.Info("all routers restarted")
	return nil
}

func loadTLS(o settings, cfg *mongotest.Config) error {
	var pass []byte
	if o.passFile != "" {
		data, err := os.ReadFile(o.passFile)
		if err != nil {
			return fmt.Errorf("read passphrase: %w", err)
		}
		pass = bytes.TrimRight(data, "\r\n")
	}
	pem, err := os.ReadFile(o.certKey)
	if err != nil {
		return fmt.Errorf("read certificate: %w", err)
	}
	if cfg.Certificate, err = mongotest.ParseCertKey(pem, pass); err != nil {
		return fmt.Errorf("%q: %w", o.certKey, err)
	}
	if cfg.ClientCAs, err = os.ReadFile(o.ca); err != nil {
		return fmt.Errorf("read CAs: %w", err)
	}
	return nil
}
