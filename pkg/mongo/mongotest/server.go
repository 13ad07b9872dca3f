package mongotest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"go.mongodb.org/mongo-driver/bson/primitive"
	"golang.org/x/sync/semaphore"
)

// Dialect is the server version imitated.
type Dialect string

// The dialects: what hello, error codes and handshake versions follow.
const (
	Dialect40 Dialect = "4.0"
	Dialect42 Dialect = "4.2"
	Dialect44 Dialect = "4.4"
)

// dialects gives version text, maxWireVersion and order of each dialect.
var dialects = map[Dialect]struct {
	version string
	wire    int32
}{Dialect40: {"4.0.19", 7}, Dialect42: {"4.2.8", 8}, Dialect44: {"4.4.29", 9}}

// Config says how a Standin behaves. Certificate and ClientCAs are required.
type Config struct {
	// Dialect is 4.0 unless set.
	Dialect Dialect
	// Mongod answers as the primary of a replica set instead of as a mongos.
	Mongod bool
	// Certificate is the routers' certificate with its chain and key.
	Certificate tls.Certificate
	// ClientCAs (PEM) verify the clients' certificates; their names go to clients
	// in the handshake, so a Go client withholds a certificate of another issuer.
	// As with OpenSSL a chain must end in a root that is in here.
	ClientCAs []byte
	// AdminUser, when set, is a DN that gets root@admin at the start, as the user
	// would have created it once. Repeating it changes nothing.
	AdminUser string
	// NoLocalhostBypass is enableLocalhostAuthBypass=false.
	NoLocalhostBypass bool
	// NoClusterX509 is a clusterAuthMode other than x509: a client with the
	// members' O, OU and DC is then no __system.
	NoClusterX509 bool
	// Secondary, with Mongod, answers as a secondary: no writes, and reads only
	// for who accepts them.
	Secondary bool
	// ReplicaSet, with Mongod, is the name of the set; data unless set.
	ReplicaSet string
	// UserCache is how long a router may believe a user as it was before another
	// router changed it; 0 means 30 s, as a mongos does.
	UserCache time.Duration
	// MaxConnections bounds the open connections; 0 means 10,000.
	MaxConnections int
	// Fresh is a mongod that belongs to no replica set until replSetInitiate makes it the primary of ReplicaSet; config is the name of the config servers'.
	Fresh bool
	// Shards are the shards, NAME or NAME/HOST:PORT; nil means data and reports.
	// HOST:PORT is the only member; else Sets says who the members are.
	Shards []string
	// Sets are the replica sets behind the shards, by the shards' names; a shard without one has three members in three
	// regions, and nobody there answers. A mongod that the first one names is a member of that.
	Sets []ReplicaSet
	// DataFile, when set, keeps the state over restarts: read at the start,
	// replaced atomically a moment after a change and at Close.
	DataFile string
	// patience bounds how long a peer may take over one message; 0 means a minute.
	patience time.Duration
	// Logger gets one line a refused connection and a failed snapshot; nil
	// logs nothing.
	Logger *slog.Logger
	// Trace, when set, is called for every command that was carried out, or refused by its own rules, one after the other and under
	// the server's mutex, in the order in which they took effect.
	Trace func(Command)
}

// Standin is the server. Several listeners (routers) share one state. Make it
// with New, give it listeners by Serve, end it with Close.
type Standin struct {
	cfg      Config
	clients  clientCAs
	version  string
	wire     int32
	members  string // memberKey of our own certificate
	commands map[string]*command
	log      *slog.Logger
	started  time.Time

	mu        sync.Mutex // guards store, passwords, cursors, sessions, replay and the routers' users
	store     *store
	passwords passwords
	cursors   *cursors
	sessions  *sessionTable
	replay    *replayTable
	now       func() time.Time // the clock of sessions and caches
	// processID and counters of replies.
	processID primitive.ObjectID
	requestID atomic.Int32
	connID    atomic.Int32
	clock     atomic.Uint64

	faults    *faults
	fresh     atomic.Bool // see Config.Fresh
	observers observers
	saver     *saver

	ctx     context.Context //nolint:containedctx // the server's life: delays and writes end with it
	cancel  context.CancelFunc
	wg      sync.WaitGroup
	netMu   sync.Mutex
	routers []*router
	conns   map[*conn]struct{}
	room    *semaphore.Weighted // for large messages
	closed  bool
}

// router is one listener.
type router struct {
	index int
	gate  gate
	users userCache

	// Of the present listener; guarded by netMu.
	listener    net.Listener
	certificate tls.Certificate
}

// New makes a stand-in and loads its data file. It listens nowhere yet. ctx is
// the life of the server: when it ends, delays and saving end, but Close must
// still be called.
func New(ctx context.Context, cfg Config) (*Standin, error) {
	if cfg.Dialect == "" {
		cfg.Dialect = Dialect40
	}
	d, ok := dialects[cfg.Dialect]
	if !ok {
		return nil, fmt.Errorf("unknown dialect %q: use 4.0, 4.2 or 4.4", cfg.Dialect)
	}
	if len(cfg.Certificate.Certificate) == 0 {
		return nil, errors.New("a server certificate is required")
	}
	clients, err := parseClientCAs(cfg.ClientCAs)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(cfg.Certificate.Certificate[0])
	if err != nil {
		return nil, fmt.Errorf("parse server certificate: %w", err)
	}
	subject, err := Subject(leaf)
	if err != nil {
		return nil, err
	}
	if cfg.Shards == nil {
		cfg.Shards = []string{"data", "reports"}
	}
	if cfg.ReplicaSet == "" {
		cfg.ReplicaSet = "data"
	}
	if cfg.UserCache == 0 {
		cfg.UserCache = userCacheInterval
	}
	if cfg.patience == 0 {
		cfg.patience = messageTimeout
	}
	if cfg.MaxConnections == 0 {
		cfg.MaxConnections = maxConnections
	}
	cfg.Sets = completeSets(cfg)
	log := cfg.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	s := &Standin{cfg: cfg, clients: clients, version: d.version, wire: d.wire, members: memberKey(subject), log: log, started: time.Now(),
		store: newStore(), passwords: passwords{}, cursors: newCursors(), sessions: newSessionTable(time.Now()), replay: newReplayTable(), now: time.Now, faults: newFaults(),
		processID: primitive.NewObjectID(), conns: map[*conn]struct{}{}, room: semaphore.NewWeighted(messageRoom)}
	s.commands = commandTable()
	s.fresh.Store(cfg.Fresh)
	s.ctx, s.cancel = context.WithCancel(ctx)
	if err := s.openData(); err != nil {
		s.cancel()
		return nil, err
	}
	s.seedConfig()
	if cfg.AdminUser != "" {
		s.ensureAdmin(cfg.AdminUser)
	}
	return s, nil
}

// Serve accepts connections of one more router until Close, in the background.
// The index of the router (0, 1, …) names it to faults.
func (s *Standin) Serve(l net.Listener) int {
	s.netMu.Lock()
	defer s.netMu.Unlock()
	rt := &router{index: len(s.routers), listener: l, certificate: s.cfg.Certificate}
	s.routers = append(s.routers, rt)
	if s.closed {
		_ = l.Close()
		return rt.index
	}
	s.noteMongos(l.Addr().String())
	s.wg.Go(func() { s.accept(rt, l) })
	return rt.index
}

func (s *Standin) accept(rt *router, l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) || s.ctx.Err() != nil {
				return
			}
			s.log.Warn("accept", "error", err)
			// Out of descriptors, most likely: give them time to come back.
			if wait(s.ctx, 50*time.Millisecond) != nil {
				return
			}
			continue
		}
		s.netMu.Lock()
		if s.closed || rt.listener != l { // taken at the moment of the end
			s.netMu.Unlock()
			_ = c.Close()
			return
		}
		if len(s.conns) >= s.cfg.MaxConnections {
			s.netMu.Unlock()
			s.log.Warn("connection refused: too many", "limit", s.cfg.MaxConnections)
			_ = c.Close()
			continue
		}
		cn := &conn{server: s, router: rt, certificate: rt.certificate, raw: c, id: s.connID.Add(1)}
		s.conns[cn] = struct{}{}
		s.wg.Go(func() {
			cn.serve()
			s.netMu.Lock()
			delete(s.conns, cn)
			s.netMu.Unlock()
		})
		s.netMu.Unlock()
	}
}

// Close stops listening, ends every connection, waits for what is under way
// and writes the last snapshot. It may be called twice.
func (s *Standin) Close() error {
	s.netMu.Lock()
	already := s.closed
	s.closed = true
	s.cancel()
	for _, rt := range s.routers {
		_ = rt.listener.Close()
	}
	for c := range s.conns {
		_ = c.raw.Close()
	}
	s.netMu.Unlock()
	s.wg.Wait()
	if already {
		return nil
	}
	return s.closeData()
}

// wait lets d pass, or gives the context's error.
func wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *Standin) mongos() bool { return !s.cfg.Mongod }

// since tells whether the dialect is d or newer.
func (s *Standin) since(d Dialect) bool { return s.cfg.Dialect >= d }
