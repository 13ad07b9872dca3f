package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/failover"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/lease"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongo/mongotest"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/pki"
)

// kind is one way for the lease to move.
type kind string

const (
	planned kind = "planned switch"
	crash   kind = "crash of the holder"
	byDNS   kind = "record moves"
)

// kinds in the order of the tables.
func kinds() []kind { return []kind{planned, crash, byDNS} }

// group is how many environments switch in one way at once, and how often each.
type group struct {
	Kind         kind `json:"kind"`
	Environments int  `json:"environments"`
	Each         int  `json:"each"`
}

// move is what was seen of one switch, in seconds.
type move struct {
	Gap    float64        `json:"gap"`    // from the last 2xx of the old zone to the first of the new one
	Since  float64        `json:"since"`  // from the order, the fault, or the record's move to the first 2xx of the new zone
	Proof  failover.Proof `json:"proof"`  // that the old zone refused before the new one answered
	Silent int            `json:"silent"` // polls without an answer
	Polls  int            `json:"polls"`
	Late   float64        `json:"late"` // the bench's own worst delay of a poll
}

// gapsResult is the subject's.
type gapsResult struct {
	Groups []group         `json:"groups"`
	Term   lease.Term      `json:"term"`
	Seed   uint64          `json:"seed"`
	Moves  map[kind][]move `json:"moves"`
	Busy   float64         `json:"busy"` // share of the machine's CPU time that was used meanwhile, by anybody
	Errors []string        `json:"errors"`
}

// measureGaps runs all groups at once, against one stand-in.
func (l *lab) measureGaps(ctx context.Context, groups []group, seed uint64) (*gapsResult, error) {
	db, err := l.startDatabase(ctx, false)
	if err != nil {
		return nil, err
	}
	defer db.end(ctx)
	upstream, err := l.startUpstream(ctx)
	if err != nil {
		return nil, err
	}
	defer upstream.stop()
	result := &gapsResult{Groups: groups, Term: lease.DefaultTerm(), Seed: seed, Moves: map[kind][]move{}}
	var mu sync.Mutex
	var wg sync.WaitGroup
	busy := newBusy()
	index := 1
	for _, g := range groups {
		for range g.Environments {
			s := &switcher{lab: l, kind: g.Kind, index: index, random: mathrand.New(mathrand.NewPCG(seed, uint64(index)))} //nolint:gosec // spreads faults
			index++
			wg.Go(func() {
				err := s.run(ctx, db, g.Each, func(m move) {
					mu.Lock()
					defer mu.Unlock()
					result.Moves[g.Kind] = append(result.Moves[g.Kind], m)
					l.say("%-20s %3d  gap %6.3f s, %6.3f s after the cause, %s", g.Kind, len(result.Moves[g.Kind]), m.Gap, m.Since, m.Proof)
				})
				if err != nil {
					mu.Lock()
					defer mu.Unlock()
					result.Errors = append(result.Errors, fmt.Sprintf("%s, environment %d: %v", g.Kind, s.index, err))
					l.say("%s, environment %d: %v", g.Kind, s.index, err)
				}
			})
		}
	}
	wg.Wait()
	result.Busy = busy.share()
	return result, ctx.Err()
}

// switcher moves one environment's lease again and again in one way.
type switcher struct {
	lab    *lab
	kind   kind
	index  int
	random *mathrand.Rand
	env    *environment
	record *record    // of byDNS
	jobs   []*process // likewise
	holder int        // index of the zone
}

func (s *switcher) run(ctx context.Context, db *database, times int, tell func(move)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer s.end()
	if err := s.start(ctx, db); err != nil {
		return err
	}
	for range times {
		if err := s.env.settle(ctx, s.holder, s.kind == planned); err != nil {
			return err
		}
		// Where the renewals, the reads and the fault lie to each other is chance, and a passive zone has seen its record confirmed.
		pause := 2*time.Second + time.Duration(s.random.Int64N(int64(2*time.Second)))
		if s.kind == planned {
			pause -= time.Second // an order needs no confirmation
		}
		if err := sleep(ctx, pause); err != nil {
			return err
		}
		m, err := s.move(ctx)
		if err != nil {
			return err
		}
		tell(m)
		s.holder = 1 - s.holder
		if s.kind == crash {
			if err := s.env.startGateways(ctx, 1-s.holder); err != nil {
				return err
			}
		}
	}
	return nil
}

// start brings the environment up, with zone 0 open.
func (s *switcher) start(ctx context.Context, db *database) error {
	var err error
	if s.env, err = s.lab.newEnvironment(ctx, db, s.index, false); err != nil {
		return err
	}
	for z := range s.env.zones {
		if err := s.env.startGateways(ctx, z); err != nil {
			return err
		}
	}
	if s.kind != byDNS {
		return s.env.writeRecords(ctx, 0)
	}
	address := fmt.Sprintf("127.77.%d.53:5300", s.index)
	if s.record, err = newRecord(address); err != nil {
		return err
	}
	s.record.point(s.index, 0)
	for _, z := range s.env.zones {
		certKey, err := s.lab.issue(fmt.Sprintf("%s-job-%s.pem", s.env.id, z.name), pki.ServiceSubject(pki.MaintenanceName(z.name)).String())
		if err != nil {
			return err
		}
		job, err := s.lab.start(s.env.id+"-job-"+z.name, s.lab.path("aporeto-agent"), "auto-maintenance", "--environment", s.env.id, "--zone", z.name,
			"--endpoint", "https://"+net.JoinHostPort(hostName, publicPort), "--window", "0", "--resolver", address, "--ca-bundle", s.lab.path("mongo-ca.pem"),
			"--mongodb-uri", db.uri, "--mongodb-ca", s.lab.path("mongo-ca.pem"), "--mongodb-cert-key", certKey)
		if err != nil {
			return err
		}
		s.jobs = append(s.jobs, job)
	}
	return nil
}

func (s *switcher) end() {
	for _, j := range s.jobs {
		j.stop()
	}
	if s.record != nil {
		s.record.close()
	}
	if s.env != nil {
		s.env.end()
	}
}

// before is how long both zones are polled before the cause, once the old one was seen open, and after after the new one opened.
const (
	before   = 100 * time.Millisecond
	after    = 200 * time.Millisecond
	moveTime = 45 * time.Second // at the most
)

// move makes one switch happen and watches it as a client would.
func (s *switcher) move(ctx context.Context) (move, error) {
	from, to := s.env.zones[s.holder], s.env.zones[1-s.holder]
	watch := newWatch(ctx, from, to)
	defer watch.end()
	select {
	case <-watch.first:
	case <-time.After(moveTime):
		return move{}, fmt.Errorf("zone %s was not seen open%s", from.name, s.env.explain(ctx))
	case <-ctx.Done():
		return move{}, ctx.Err()
	}
	if err := sleep(ctx, before); err != nil {
		return move{}, err
	}
	cause := watch.now()
	if err := s.cause(ctx); err != nil {
		return move{}, err
	}
	select {
	case <-watch.opened:
	case <-time.After(moveTime):
		return move{}, fmt.Errorf("zone %s did not open within %s%s", to.name, moveTime, s.env.explain(ctx))
	case <-ctx.Done():
		return move{}, ctx.Err()
	}
	if err := sleep(ctx, after); err != nil {
		return move{}, err
	}
	return watch.result(cause)
}

// cause does what makes the lease move.
func (s *switcher) cause(ctx context.Context) error {
	switch s.kind {
	case crash:
		for _, r := range s.env.zones[s.holder].replicas {
			if err := r.signal(syscall.SIGKILL); err != nil {
				return err
			}
		}
		return s.env.pointAt(ctx, 1-s.holder)
	case byDNS:
		s.record.point(s.index, 1-s.holder)
		return nil
	}
	return s.env.order(ctx, 1-s.holder)
}

// order is what `kubectl aporeto failover --to` does once it has found the zone eligible.
func (e *environment) order(ctx context.Context, to int) error {
	name := func(key string) string { return key }
	order := failover.Switch{
		Lease: e.db.admin.LeaseStore(e.id, opTime), Status: e.db.admin.StatusStore(e.id, opTime), Journal: e.db.admin.Journal(e.id, opTime),
		To: e.zones[to].name, By: mongotest.AdminDN, Name: name, Nonce: rand.Text, Now: time.Now, Say: func(string) {},
	}
	_, err := order.Run(ctx)
	return err
}

// watch polls both zones' replicas directly.
type watch struct {
	began    time.Time
	from, to []failover.Sample
	late     time.Duration
	first    chan struct{} // closed at the first 2xx of the old zone
	opened   chan struct{} // closed at the first 2xx of the new one
	end      func()
	mu       sync.Mutex
}

func newWatch(ctx context.Context, from, to *zoneRun) *watch {
	ctx, cancel := context.WithCancel(ctx)
	w := &watch{began: time.Now(), first: make(chan struct{}), opened: make(chan struct{})}
	var wg sync.WaitGroup
	first, open := sync.OnceFunc(func() { close(w.first) }), sync.OnceFunc(func() { close(w.opened) })
	poll := func(r *replica, into *[]failover.Sample, seen func(failover.Sample)) {
		wg.Go(func() {
			samples, late := r.client.watch(ctx, w.began, seen)
			w.mu.Lock()
			defer w.mu.Unlock()
			*into, w.late = append(*into, samples...), max(w.late, late)
		})
	}
	for _, r := range from.replicas {
		poll(r, &w.from, func(s failover.Sample) {
			if s.Open {
				first()
			}
		})
	}
	for _, r := range to.replicas {
		poll(r, &w.to, func(s failover.Sample) {
			if s.Open {
				open()
			}
		})
	}
	w.end = sync.OnceFunc(func() { cancel(); wg.Wait() })
	return w
}

func (w *watch) now() time.Duration { return time.Since(w.began) }

// result ends the watch and judges what it saw; cause is when the move was caused.
func (w *watch) result(cause time.Duration) (move, error) {
	w.end()
	seen := failover.Compare(w.from, w.to, 0)
	if seen.GapSecs == nil {
		return move{}, errors.New("the old zone was never seen open")
	}
	m := move{Gap: seen.Gap.Seconds(), Proof: seen.Proof, Silent: seen.Silent, Polls: seen.Samples, Late: w.late.Seconds()}
	for _, s := range w.to {
		if since := (s.Received - cause).Seconds(); s.Open && (m.Since == 0 || since < m.Since) {
			m.Since = since
		}
	}
	return m, nil
}
