// Package maintenance states a zone's intent: it watches which zone the global endpoint leads to and writes what it saw into the zone's
// record, which pkg/lease reads.
//
// One cycle is observe → Decide → write. Decide is pure and lives in a file of its own. Every write is conditional on the record that
// the decision was made from, so two jobs at once do what one does, and a job can be killed anywhere: the last intent stands, and the
// journal entry of a change that was killed before it was written is written by the next run.
//
// Intent is not permission: nothing here opens or closes a gate, or reads a clock other than this process's monotonic one.
package maintenance

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongo"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/probe"
)

// Store keeps the zone's record and the environment's journal.
type Store interface {
	// Intent returns the zone's record, made where there was none.
	Intent(ctx context.Context) (mongo.Intent, error)
	// WriteIntent applies w and returns the record after it and true, or false where the record was no longer w.Was.
	WriteIntent(ctx context.Context, w mongo.IntentWrite) (mongo.Intent, bool, error)
	// Append adds an entry to the journal, once for each key.
	Append(ctx context.Context, e mongo.JournalEntry) error
}

// Prober asks the global endpoint once by each resolver.
type Prober interface {
	Round(ctx context.Context) []probe.Result
}

// Config is one run of the job.
type Config struct {
	Zone     string        // zone key
	Window   time.Duration // how long the run lasts; 0 means until it is asked to end
	Interval time.Duration // between the starts of two rounds
	Params   Params
	Version  string // written into the record
	Mirror   Mirror // nil means none
}

// minInterval keeps a mistyped interval from hammering the endpoint.
const minInterval = 50 * time.Millisecond

// Validate returns every problem of c, joined.
func (c Config) Validate() error {
	var problems []error
	if c.Interval < minInterval {
		problems = append(problems, fmt.Errorf("interval %s is shorter than %s", c.Interval, minInterval))
	}
	if c.Params.Samples < 1 {
		problems = append(problems, fmt.Errorf("%d samples decide nothing", c.Params.Samples))
	}
	if c.Params.Threshold < 1 || c.Params.Threshold > c.Params.Samples {
		problems = append(problems, fmt.Errorf("threshold %d is not between 1 and the number of samples, %d", c.Params.Threshold, c.Params.Samples))
	}
	if need := time.Duration(c.Params.Threshold) * c.Interval; c.Window != 0 && c.Window < need {
		problems = append(problems, fmt.Errorf("window %s is too short for %d rounds, one every %s", c.Window, c.Params.Threshold, c.Interval))
	}
	return errors.Join(problems...)
}

// Summary is what a run did.
type Summary struct {
	Rounds    int
	Results   map[string]map[probe.Kind]int // by resolver
	Moves     int                           // changes of the record that this run made or saw another make
	Confirms  int                           // confirmations, likewise
	Writes    int                           // writes of the record that were applied
	LostRaces int                           // writes that found the record changed by another job
	Failures  int                           // operations on the store that failed
	Intent    mongo.Intent
	Known     bool // Intent was read
}

// LogValue shows s in one structured log line.
func (s Summary) LogValue() slog.Value {
	attrs := []slog.Attr{
		slog.Int("rounds", s.Rounds), slog.Int("moves", s.Moves), slog.Int("confirms", s.Confirms), slog.Int("writes", s.Writes), slog.Int("lostRaces", s.LostRaces),
		slog.Int("storeFailures", s.Failures),
	}
	if s.Known {
		attrs = append(attrs, slog.String("pointsAt", s.Intent.PointsAt), slog.Int64("seq", s.Intent.Seq))
	}
	var byResolver []slog.Attr
	for _, resolver := range slices.Sorted(maps.Keys(s.Results)) {
		var counts []slog.Attr
		for _, kind := range slices.Sorted(maps.Keys(s.Results[resolver])) {
			counts = append(counts, slog.Int(kindName(kind), s.Results[resolver][kind]))
		}
		byResolver = append(byResolver, slog.GroupAttrs(resolver, counts...))
	}
	return slog.GroupValue(append(attrs, slog.GroupAttrs("probes", byResolver...))...)
}

func kindName(k probe.Kind) string {
	if k == probe.OK {
		return "ok"
	}
	return string(k)
}

// journalEntry is the entry of the change that led to i. Whoever writes it, and however often, it is the same one.
func journalEntry(i mongo.Intent) mongo.JournalEntry {
	return mongo.JournalEntry{
		Key: "intent/" + i.Zone + "/" + strconv.FormatInt(i.Seq, 10), Time: i.Since, Zone: i.Zone, From: i.Previous, To: i.PointsAt,
		Epoch: i.Epoch, Reason: "intent: the global endpoint leads there",
	}
}

// sightings are results as the record keeps them.
func sightings(results []probe.Result) []mongo.Sighting {
	out := make([]mongo.Sighting, len(results))
	for i, r := range results {
		out[i] = mongo.Sighting{Resolver: r.Resolver, Address: r.Address, Zone: r.Zone}
		if r.Err != nil {
			out[i].Error = string(r.Kind) + ": " + r.Err.Error()
		}
	}
	return out
}
