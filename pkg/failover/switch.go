package failover

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/hint"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/lease"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongo"
)

// Lease is the lease in the database; *mongo.LeaseStore is it. Each call ends by itself within seconds.
type Lease interface {
	Read(ctx context.Context) (lease.Document, []lease.Record, error)
	Write(ctx context.Context, w lease.Write) (lease.Document, lease.Outcome, error)
}

// Reader reads what the database knows, with times; *mongo.StatusStore is it.
type Reader interface {
	Status(ctx context.Context, tail int) (mongo.Status, error)
}

// Journal takes entries; *mongo.Journal is it.
type Journal interface {
	Append(ctx context.Context, e mongo.JournalEntry) error
}

// ErrUnknown means that an order was sent and nobody knows what became of it: it may still happen.
var ErrUnknown = errors.New("the outcome of the order is unknown, and it may still happen")

// ErrOvertaken means that the order did not, and cannot any more, bring the zone that it was for to serve.
var ErrOvertaken = errors.New("the order was overtaken")

const (
	orderTime = 15 * time.Second       // to get the order into the document, or to know that it is not there
	pollEvery = 100 * time.Millisecond // as the gateways do while the holder closes
)

// Switch orders one zone to take over from the holder and watches it happen.
type Switch struct {
	Lease   Lease
	Status  Reader
	Journal Journal
	To      string                  // zone key
	By      string                  // who orders, for the journal
	Why     string                  // for the journal, "" none
	Name    func(key string) string // of a zone, as people write it
	Nonce   func() string
	Now     func() time.Time
	Say     func(string) // progress
}

// Switched is what became of a switch.
type Switched struct {
	From    string // zone key of the former holder
	Epoch   int64  // in which To serves
	Already bool   // To held the lease, and nothing was ordered
	Seconds float64
}

// Run orders and waits until a gateway of the zone is open. An error that is ErrUnknown says that the order may still happen.
// Cancelling ctx ends the watching, not the order.
func (s *Switch) Run(ctx context.Context) (Switched, error) {
	doc, records, err := s.read(ctx)
	if err != nil {
		return Switched{}, err
	}
	already, err := CheckLease(doc, s.To, s.Name)
	if err != nil {
		return Switched{}, err
	}
	done := Switched{From: doc.Holder, Epoch: doc.Epoch}
	if already && !doc.Closing {
		done.Already = true
		return done, nil
	}
	epoch, term, began := doc.Epoch, doc.Term, time.Now()
	switch {
	case already:
	case doc.Unheld():
		done.From = ""
		if err := s.appoint(ctx, doc, records); err != nil {
			return done, err
		}
		s.Say(fmt.Sprintf("zone %s is appointed (epoch %d)", s.Name(s.To), epoch+1))
		s.journal(ctx, epoch, "")
	default:
		if err := s.order(ctx, doc, records); err != nil {
			return done, err
		}
		s.Say(fmt.Sprintf("zone %s is asked to close for %s (epoch %d)", s.Name(doc.Holder), s.Name(s.To), epoch))
		s.journal(ctx, epoch, doc.Holder)
	}
	done.Epoch, err = s.await(ctx, epoch, term)
	done.Seconds = time.Since(began).Seconds()
	return done, err
}

func (s *Switch) read(ctx context.Context) (doc lease.Document, records []lease.Record, err error) {
	for end := time.Now().Add(orderTime); ; {
		if doc, records, err = s.Lease.Read(ctx); err == nil || errors.Is(err, mongo.ErrNoLease) || time.Now().After(end) {
			return doc, records, err
		}
		if err := pause(ctx, pollEvery); err != nil {
			return doc, records, err
		}
	}
}

// order writes the planned close. After an outcome that is not known only a read may tell: the same close again matches nothing if the
// first one was applied.
func (s *Switch) order(ctx context.Context, doc lease.Document, records []lease.Record) error {
	st, err := s.Status.Status(ctx, 0)
	if err != nil {
		return err
	}
	basis, epoch := Basis(records, s.To, st.Zones, st.Now, doc.Term.D), doc.Epoch
	for end := time.Now().Add(orderTime); ; {
		switch Judge(doc, epoch, s.To) {
		case Pending:
		case Overtaken:
			return s.overtaken(doc)
		default:
			return nil
		}
		// Not interrupted: half a second later it is known whether the order stands.
		_, outcome, err := s.Lease.Write(context.WithoutCancel(ctx), lease.CloseWrite(doc, s.To, basis, s.Nonce()))
		if outcome == lease.Applied {
			return nil
		}
		if doc, err = s.reread(ctx, end, err); err != nil {
			return err
		}
	}
}

// reread reads the lease after a write that was not applied, or may have been: why, where that is known. Only a reading may tell.
func (s *Switch) reread(ctx context.Context, end time.Time, why error) (lease.Document, error) {
	for {
		if time.Now().After(end) || pause(ctx, pollEvery) != nil {
			return lease.Document{}, s.unknown(why)
		}
		doc, _, err := s.Lease.Read(ctx)
		if err == nil {
			return doc, nil
		}
		if why == nil {
			why = err
		}
	}
}

func (s *Switch) unknown(err error) error {
	if err == nil {
		err = errors.New("MongoDB did not take it")
	}
	return hint.Wrap(fmt.Errorf("%w: %w", ErrUnknown, err), "kubectl aporeto maintenance status -w shows whether it does; the same command again is harmless")
}

func (s *Switch) overtaken(doc lease.Document) error {
	return hint.Wrap(fmt.Errorf("%w: zone %s holds epoch %d", ErrOvertaken, s.Name(doc.Holder), doc.Epoch), "kubectl aporeto maintenance status")
}

// await watches the order until a gateway of the new holder is open.
func (s *Switch) await(ctx context.Context, epoch int64, term lease.Term) (int64, error) {
	// A dead holder takes W, a dead successor 2W, draining at most T.
	end := time.Now().Add(3*term.Wait() + 2*term.T + 10*time.Second)
	last := UnderWay
	var why error
	for {
		doc, _, err := s.Lease.Read(ctx)
		if err != nil {
			why = err
		} else {
			p := Judge(doc, epoch, s.To)
			if p != last && p == HandedOver {
				s.Say(fmt.Sprintf("zone %s holds the lease (epoch %d)", s.Name(s.To), doc.Epoch))
			}
			switch last = p; p {
			case Opened:
				s.Say(fmt.Sprintf("zone %s is open", s.Name(s.To)))
				return doc.Epoch, nil
			case Overtaken:
				return doc.Epoch, s.overtaken(doc)
			}
			why = fmt.Errorf("zone %s has not opened", s.Name(s.To))
		}
		if time.Now().After(end) {
			return epoch, hint.Wrap(fmt.Errorf("%w: %w", ErrUnknown, why), "kubectl aporeto maintenance status -w")
		}
		if err := pause(ctx, pollEvery); err != nil {
			return epoch, fmt.Errorf("%w: %w", ErrUnknown, err)
		}
	}
}

// journal notes the order. The lease does not depend on the journal, so neither does the order.
func (s *Switch) journal(ctx context.Context, epoch int64, from string) {
	reason := "planned switch by " + s.By
	if s.Why != "" {
		reason += ": " + s.Why
	}
	err := s.Journal.Append(ctx, mongo.JournalEntry{
		Key: "order/" + strconv.FormatInt(epoch, 10) + "/" + s.To, Time: s.Now().UTC(), Zone: s.To, From: from, To: s.To, Epoch: epoch, Reason: reason,
	})
	if err != nil {
		s.Say(fmt.Sprintf("the journal was not written: %v", err))
	}
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
