package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/lease"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongo"
)

// Journal keeps the environment's transitions, for people. It decides nothing.
type Journal interface {
	// Append adds e, once for each key.
	Append(ctx context.Context, e mongo.JournalEntry) error
}

const (
	journalQueue = 64              // entries that wait for a database that is away; more are lost, the log has them
	journalAgain = 2 * time.Second // between two attempts at one entry
)

// journal writes entries beside the keeper, which never waits for it.
type journal struct {
	to    Journal
	zone  string
	log   *slog.Logger
	queue chan mongo.JournalEntry
}

func newJournal(to Journal, zone string, log *slog.Logger) *journal {
	return &journal{to: to, zone: zone, log: log, queue: make(chan mongo.JournalEntry, journalQueue)}
}

// note enters what concerns the zone: opening and closing once an epoch, whichever replica is the first, and every fence.
func (j *journal) note(from, to lease.View, reason string) {
	e := mongo.JournalEntry{Time: time.Now(), Zone: j.zone, From: string(from.State), To: string(to.State), Epoch: to.Epoch, Reason: "gate: " + reason}
	switch {
	case to.State == lease.Active, to.State == lease.Draining && reason != reasonStopping:
		e.Key = fmt.Sprintf("gate/%s/%d/%s", j.zone, to.Epoch, to.State)
	case to.State == lease.Fenced:
		e.Epoch = from.Epoch // that it was open in
		e.Key = fmt.Sprintf("gate/%s/%d/%s/%s", j.zone, from.Epoch, to.State, from.Opening)
	default:
		return
	}
	if j.to == nil {
		return
	}
	select {
	case j.queue <- e:
	default:
		j.log.Warn("a journal entry is lost: the database is away for too long", "to", e.To, "reason", reason)
	}
}

// run writes until ctx ends. An entry is repeated until it is there: its key makes the repetition harmless.
func (j *journal) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-j.queue:
			for j.to.Append(ctx, e) != nil {
				again := time.NewTimer(journalAgain)
				select {
				case <-ctx.Done():
					again.Stop()
					return
				case <-again.C:
				}
			}
		}
	}
}
