package maintenance

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/lease"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongo"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/probe"
)

// A record is confirmed every other round or so: far within the dwell of 15 intervals even when rounds are lost. When there is nothing
// to confirm, what the resolvers see is still written now and then, for those who look at the record.
const (
	confirmEvery = 2
	reportEvery  = 5
)

// races is how often a round tries again after another job was faster.
const races = 3

// ErrStore means that the database failed and nothing could be written to the record in a whole run.
var ErrStore = errors.New("the zone's record could not be kept")

// Run watches the global endpoint for the length of the window, or until ctx ends, which is no error. An endpoint that answers nobody
// is none either.
func Run(ctx context.Context, c Config, p Prober, s Store, log *slog.Logger) (Summary, error) {
	r := &run{config: c, prober: p, store: s, log: log, seen: map[string]string{}}
	r.sum.Results = map[string]map[probe.Kind]int{}
	if c.Mirror != nil {
		r.mirror = newReflection(ctx, c.Mirror, log)
	}
	r.watch(ctx)
	r.mirror.end()
	r.sum.Intent, r.sum.Known = r.current, r.known
	if r.sum.Writes > 0 || r.failed == nil {
		return r.sum, nil
	}
	return r.sum, fmt.Errorf("%w, %d tries failed: %w", ErrStore, r.sum.Failures, r.failed)
}

// run is the state of one run.
type run struct {
	config Config
	prober Prober
	store  Store
	log    *slog.Logger
	sum    Summary
	seen   map[string]string // by resolver: its last result, as logged

	window    []Observation
	known     bool // current was read, and no later write's outcome is unknown
	everKnown bool
	current   mongo.Intent
	confirmed time.Time // when this process last saw the record confirmed, by itself or another; zero: never
	written   time.Time
	unwritten []mongo.JournalEntry // owed to the journal
	failed    error                // last failure of the store
	mirror    *reflection          // nil: none
}

func (r *run) watch(ctx context.Context) {
	window, cancel := context.WithCancel(ctx)
	if r.config.Window > 0 {
		window, cancel = context.WithTimeout(ctx, r.config.Window)
	}
	defer cancel()
	ticker := time.NewTicker(r.config.Interval)
	defer ticker.Stop()
	for {
		results := r.prober.Round(window)
		if window.Err() != nil {
			return // the round was cut short: what it says of the endpoint means nothing
		}
		r.take(results)
		r.keep(ctx, results) // not bounded by the window: a write under way at its end is finished
		select {
		case <-window.Done():
			return
		case <-ticker.C:
		}
	}
}

// take adds a round to the window and logs what each resolver sees when that has changed.
func (r *run) take(results []probe.Result) {
	r.sum.Rounds++
	for _, res := range results {
		if r.sum.Results[res.Resolver] == nil {
			r.sum.Results[res.Resolver] = map[probe.Kind]int{}
		}
		r.sum.Results[res.Resolver][res.Kind]++
		if now := kindName(res.Kind) + " " + res.Zone; r.seen[res.Resolver] != now {
			r.seen[res.Resolver] = now
			r.log.Info("endpoint", "resolver", res.Resolver, "address", res.Address, "result", kindName(res.Kind), "zone", res.Zone, "state", res.State, "error", errText(res.Err))
		}
	}
	r.window = append(r.window, Observe(results))
	if extra := len(r.window) - r.config.Params.Samples; extra > 0 {
		r.window = r.window[extra:]
	}
}

// keep brings the record up to what the window says, and the journal up to the record.
func (r *run) keep(ctx context.Context, results []probe.Result) {
	defer r.writeJournal(ctx)
	for range races {
		if !r.known && !r.read(ctx) {
			return
		}
		write, due := r.due(results)
		if !due {
			return
		}
		after, applied, err := r.store.WriteIntent(ctx, write)
		switch {
		case err != nil:
			r.fail(ctx, err)
			r.known = false // it may have been applied: the next round reads
			return
		case applied:
			r.sum.Writes++
			r.learn(after)
			r.written = time.Now()
			return
		}
		r.sum.LostRaces++
		r.known = false
	}
}

// due turns the window's decision into the write that is due now, if any is.
func (r *run) due(results []probe.Result) (mongo.IntentWrite, bool) {
	w := mongo.IntentWrite{Was: r.current.Record, Is: r.current.Record, Resolvers: sightings(results), Version: r.config.Version}
	switch d := Decide(r.window, r.current.Record, r.config.Params); {
	case d.Action == Move:
		w.Is = lease.Record{Zone: w.Was.Zone, PointsAt: d.Zone, Seq: w.Was.Seq + 1, Confirmed: w.Was.Confirmed + 1}
		w.Epoch = d.Epoch
		return w, true
	case d.Action == Confirm && r.past(r.confirmed, confirmEvery):
		w.Is.Confirmed++
		return w, true
	}
	// Counters stay: this write says nothing to the lease.
	return w, r.past(r.written, reportEvery) && r.past(r.confirmed, reportEvery)
}

// past tells whether about n intervals have gone by since t; half of one is left to the rounds' irregularity.
func (r *run) past(t time.Time, n int) bool {
	return t.IsZero() || time.Since(t) >= time.Duration(2*n-1)*r.config.Interval/2
}

func (r *run) read(ctx context.Context) bool {
	found, err := r.store.Intent(ctx)
	if err != nil {
		r.fail(ctx, err)
		return false
	}
	r.learn(found)
	return true
}

// learn takes the record as it is now. A change of it is logged, and owed to the journal, by whomever it was made: the maker may be gone.
func (r *run) learn(now mongo.Intent) {
	before, first := r.current, !r.everKnown
	r.known, r.everKnown, r.current = true, true, now
	r.mirror.show(now, first)
	if !first && now.Confirmed != before.Confirmed {
		r.confirmed = time.Now()
		r.sum.Confirms++
	}
	if now.Seq == before.Seq {
		return
	}
	r.unwritten = append(r.unwritten, journalEntry(now))
	if !first {
		r.sum.Moves++
		r.log.Info("intent moved", "from", now.Previous, "to", now.PointsAt, "seq", now.Seq, "epoch", now.Epoch)
	}
}

func (r *run) writeJournal(ctx context.Context) {
	for len(r.unwritten) > 0 {
		if err := r.store.Append(ctx, r.unwritten[0]); err != nil {
			r.fail(ctx, err)
			return
		}
		r.unwritten = r.unwritten[1:]
	}
}

// fail notes and logs a failure of the store, unless the run is only being ended.
func (r *run) fail(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	r.sum.Failures++
	if r.failed == nil || r.failed.Error() != err.Error() {
		r.log.Warn("store", "error", err.Error())
	}
	r.failed = err
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
