package maintenance

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/mirror"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongo"
)

// Mirror shows the record to those who look with kubectl. Nothing is ever read from it.
type Mirror interface {
	// Put replaces what is shown.
	Put(ctx context.Context, data map[string]string) error
	// Tell reports an event, once for each key.
	Tell(ctx context.Context, e mirror.Event) error
}

// What the mirror may cost: an unchanged intent is shown this often, and what is under way at the end of a run gets this long.
const (
	mirrorEvery = 10 * time.Second
	mirrorLast  = time.Second
)

// recent is how old a change may be for the first look of a run to report it. Kubernetes forgets Events after an hour; a run that
// reported every old change would bring them back for ever.
const recent = 10 * time.Minute

// reflection keeps the mirror up to the record, on a goroutine of its own: whatever the Kubernetes API does, or does not do, the job
// neither waits for it nor fails by it. A nil reflection shows nothing.
type reflection struct {
	latest chan seen // one place: a newer look replaces one that was not shown yet
	ended  chan struct{}
	cancel context.CancelFunc
}

// seen is one look at the record.
type seen struct {
	intent mongo.Intent
	first  bool
}

func newReflection(ctx context.Context, to Mirror, log *slog.Logger) *reflection {
	// It outlives ctx for a moment: the last change is shown though the job was asked to end.
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	r := &reflection{latest: make(chan seen, 1), ended: make(chan struct{}), cancel: cancel}
	go func() {
		defer close(r.ended)
		m := &reflector{to: to, log: log}
		for s := range r.latest {
			m.show(ctx, s)
		}
		m.flush(ctx)
	}()
	return r
}

// show has intent shown soon. Only one goroutine calls it.
func (r *reflection) show(intent mongo.Intent, first bool) {
	if r == nil {
		return
	}
	s := seen{intent, first}
	select {
	case old := <-r.latest:
		s.first = old.first
	default:
	}
	r.latest <- s // there is room: nobody else sends
}

// end shows what is left to show, for a moment at most.
func (r *reflection) end() {
	if r == nil {
		return
	}
	close(r.latest)
	last := time.AfterFunc(mirrorLast, r.cancel)
	defer last.Stop()
	<-r.ended
	r.cancel()
}

// reflector is what the goroutine knows.
type reflector struct {
	to      Mirror
	log     *slog.Logger
	known   bool
	current mongo.Intent
	shown   time.Time // when the mirror was last put; zero: never
	seq     int64     // that is shown
	owed    []mirror.Event
	trouble string
}

func (m *reflector) show(ctx context.Context, s seen) {
	if s.intent.Seq != m.current.Seq && (!s.first || time.Since(s.intent.Since).Abs() < recent) {
		m.owed = append(m.owed, event(s.intent))
	}
	m.known, m.current = true, s.intent
	if m.shown.IsZero() || m.seq != s.intent.Seq || time.Since(m.shown) >= mirrorEvery {
		m.flush(ctx)
	}
}

// flush puts the mirror and tells what is owed; what fails is tried again with the next look.
func (m *reflector) flush(ctx context.Context) {
	if !m.known {
		return
	}
	err := m.to.Put(ctx, mirrored(m.current))
	m.shown = time.Now() // also after a failure: the API is not hammered
	if err == nil {
		m.seq = m.current.Seq
	}
	for err == nil && len(m.owed) > 0 {
		if err = m.to.Tell(ctx, m.owed[0]); err == nil {
			m.owed = m.owed[1:]
		}
	}
	if m.owed = m.owed[max(0, len(m.owed)-maxOwed):]; err == nil {
		m.trouble = ""
	} else if now := err.Error(); now != m.trouble && ctx.Err() == nil {
		m.trouble = now
		m.log.Warn("mirror", "error", now)
	}
}

// maxOwed bounds what a run keeps for an API that does not answer.
const maxOwed = 20

// event is the Event of the change that led to i.
func event(i mongo.Intent) mirror.Event {
	before := "nowhere known"
	if i.Previous != "" {
		before = "zone " + i.Previous
	}
	return mirror.Event{
		Key: i.Zone + "." + strconv.FormatInt(i.Seq, 10), Time: i.Since, Reason: "IntentMoved",
		Note: fmt.Sprintf("the global endpoint leads to zone %s; before, to %s (change %d of zone %s, lease epoch %d)", i.PointsAt, before, i.Seq, i.Zone, i.Epoch),
	}
}

// mirrored is what kubectl shows of i.
func mirrored(i mongo.Intent) map[string]string {
	var resolvers strings.Builder
	for _, s := range i.Resolvers {
		said := "zone " + s.Zone
		if s.Error != "" {
			said = s.Error
		}
		fmt.Fprintf(&resolvers, "%s %s: %s\n", s.Resolver, s.Address, said)
	}
	return map[string]string{
		"zone": i.Zone, "pointsAt": i.PointsAt, "previous": i.Previous, "since": timestamp(i.Since), "seq": strconv.FormatInt(i.Seq, 10),
		"confirmed": strconv.FormatInt(i.Confirmed, 10), "epoch": strconv.FormatInt(i.Epoch, 10), "probedAt": timestamp(i.ProbedAt),
		"resolvers": resolvers.String(), "version": i.Version,
	}
}

func timestamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}
