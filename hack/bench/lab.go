package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongo"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongo/mongotest"
)

// Addresses, all on loopback. Those of environments are 127.77.<environment>.<10·zone + replica>.
const (
	mongoAddress    = "127.77.0.1:27017"
	upstreamAddress = "127.77.0.2:8080"
	publicPort      = "8443"
	statusPort      = "9090"
	hostName        = "api.bench.test"
)

// lab is what every subject needs: built programs, certificates, a folder, and the processes to end.
type lab struct {
	dir       string
	repo      string
	authority *mongotest.Authority
	say       func(format string, args ...any)

	bootstrap sync.Mutex // one at a time

	mu    sync.Mutex
	procs []*process
}

// newLab builds the programs into a folder of its own.
func newLab(ctx context.Context, repo string, say func(string, ...any)) (*lab, error) {
	dir, err := os.MkdirTemp("", "aporeto-bench-")
	if err != nil {
		return nil, err
	}
	l := &lab{dir: dir, repo: repo, say: say}
	if l.authority, err = mongotest.NewAuthority(); err != nil {
		return l, err
	}
	for _, program := range []string{"./cmd/aporeto-agent", "./hack/mongo-standin"} {
		if err := l.build(ctx, "", program); err != nil {
			return l, err
		}
	}
	routes, err := json.Marshal(map[string]any{"routes": []map[string]string{{"host": "", "path": "/", "upstream": "http://" + upstreamAddress}}})
	if err != nil {
		return l, err
	}
	if err := l.write("routes.json", routes); err != nil {
		return l, err
	}
	if _, err := l.issue("public.pem", "CN=bench,OU=public,O=bench", hostName); err != nil {
		return l, err
	}
	return l, l.write("mongo-ca.pem", l.authority.Chain)
}

// build builds a program of the main module, or of the module whose go.mod is given.
func (l *lab) build(ctx context.Context, modfile, program string) error {
	args := []string{"build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", l.path(filepath.Base(program))}
	if modfile != "" {
		args = append(args, "-modfile="+modfile)
	}
	cmd := exec.CommandContext(ctx, "go", append(args, program)...) //nolint:gosec // the bench's own programs
	cmd.Dir, cmd.Env = l.repo, append(os.Environ(), "CGO_ENABLED=0")
	l.say("build %s", program)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", program, err, out)
	}
	return nil
}

func (l *lab) path(name string) string { return filepath.Join(l.dir, name) }

func (l *lab) write(name string, data []byte) error { return os.WriteFile(l.path(name), data, 0o600) }

// start starts a program that the lab ends at the latest.
func (l *lab) start(name, program string, args ...string) (*process, error) {
	p, err := startProcess(l.dir, name, program, args...)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.procs = append(l.procs, p)
	return p, nil
}

// close ends every process that was started and, unless it is to be kept, removes the folder.
func (l *lab) close(keep bool) {
	l.mu.Lock()
	procs := l.procs
	l.procs = nil
	l.mu.Unlock()
	var wg sync.WaitGroup
	for _, p := range procs {
		wg.Go(p.stop)
	}
	wg.Wait()
	if keep {
		l.say("logs are in %s", l.dir)
		return
	}
	_ = os.RemoveAll(l.dir)
}

// issue writes the certificate and key of a subject into one file and returns its name.
func (l *lab) issue(file, dn string, hosts ...string) (string, error) {
	cert, err := l.authority.Issue(dn, hosts...)
	if err != nil {
		return "", err
	}
	full, err := mongotest.PEM(cert)
	if err != nil {
		return "", err
	}
	return l.path(file), l.write(file, full)
}

// publicTLS is a client's TLS towards the gateways.
func (l *lab) publicTLS() *tls.Config {
	return &tls.Config{RootCAs: l.roots(), ServerName: hostName, NextProtos: []string{"http/1.1"}, MinVersion: tls.VersionTLS13}
}

func (l *lab) roots() *x509.CertPool { return l.authority.Roots }

// database is a stand-in that runs as a process of its own.
type database struct {
	*process
	uri   string
	trace string
	admin *mongo.Client
}

// startDatabase starts the stand-in; traced, it writes down every command.
func (l *lab) startDatabase(ctx context.Context, traced bool) (*database, error) {
	host, _, _ := net.SplitHostPort(mongoAddress)
	full, err := l.issue("mongo-router.pem", mongotest.RouterDN, host)
	if err != nil {
		return nil, err
	}
	if err := free(mongoAddress); err != nil {
		return nil, err
	}
	args := []string{"--listen", mongoAddress, "--tls-cert-key", full, "--tls-ca", l.path("mongo-ca.pem"), "--admin-user", mongotest.AdminDN}
	db := &database{}
	if traced {
		db.trace = l.path("mongo-trace.jsonl")
		args = append(args, "--trace", db.trace)
	}
	if db.uri, err = mongo.URI(mongoAddress, ""); err != nil {
		return nil, err
	}
	if db.process, err = l.start("mongo-standin", l.path("mongo-standin"), args...); err != nil {
		return nil, err
	}
	if err := awaitListener(ctx, mongoAddress, db.process); err != nil {
		return nil, err
	}
	db.admin, err = l.connect(ctx, db.uri, "admin", mongotest.AdminDN)
	return db, err
}

// end ends the stand-in; another may be started.
func (db *database) end(ctx context.Context) {
	_ = db.admin.Close(ctx)
	db.stop()
}

// connect returns a client of the database as the subject dn.
func (l *lab) connect(ctx context.Context, uri, name, dn string) (*mongo.Client, error) {
	cert, err := l.authority.Issue(dn)
	if err != nil {
		return nil, err
	}
	return mongo.Connect(ctx, mongo.Options{URI: uri, CA: l.authority.Chain, AppName: "bench-" + name, Certificate: func() (*tls.Certificate, error) { return &cert, nil }})
}

// free returns an error when something listens at address already: it would be measured in our program's place.
func free(address string) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("%w: another program, or another bench, uses it", err)
	}
	return listener.Close()
}

// awaitListener waits until address takes connections; it fails when p ends before.
func awaitListener(ctx context.Context, address string, p *process) error {
	err := await(ctx, 20*time.Second, func() bool {
		conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", address)
		if err != nil {
			return !p.running()
		}
		conn.Close()
		return true
	})
	if err == nil && !p.running() {
		err = errors.New("ended at once")
	}
	if err != nil {
		return fmt.Errorf("%s does not listen at %s: %w\n%s", p.name, address, err, p.tail())
	}
	return nil
}

// errLate means that what was waited for did not come.
var errLate = errors.New("not within its time")

// await polls until holds returns true.
func await(ctx context.Context, limit time.Duration, holds func() bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, errLate)
	defer cancel()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for !holds() {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-ticker.C:
		}
	}
	return nil
}

// sleep waits for d or until ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
