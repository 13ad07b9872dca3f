package failover

import (
	"context"
	"fmt"
	"time"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/lease"
)

// appoint makes the zone the holder where there is none: the lease was released, or no zone ever held it. It is a claim, so it waits as one:
// not at all for what was released, else until the lease stayed as it is for W, by this machine's monotonic clock.
func (s *Switch) appoint(ctx context.Context, doc lease.Document, records []lease.Record) error {
	st, err := s.Status.Status(ctx, 0)
	if err != nil {
		return err
	}
	basis, epoch := Basis(records, s.To, st.Zones, st.Now, doc.Term.D), doc.Epoch
	if !doc.Released {
		s.Say(fmt.Sprintf("no zone ever held the lease: it must stay as it is for %.0f s, as before every claim", doc.Term.Wait().Seconds()))
		if doc, err = s.unchanged(ctx, doc); err != nil {
			return err
		}
	}
	for end := time.Now().Add(orderTime); ; {
		switch {
		case doc.Epoch > epoch && doc.Holder == s.To && !doc.Unheld():
			return nil
		case doc.Epoch != epoch || !doc.Unheld():
			return s.overtaken(doc)
		}
		// Not interrupted: half a second later it is known whether the order stands.
		_, outcome, err := s.Lease.Write(context.WithoutCancel(ctx), lease.AppointWrite(doc, s.To, basis, s.Nonce()))
		if outcome == lease.Applied {
			return nil
		}
		nonce := doc.Nonce
		if doc, err = s.reread(ctx, end, err); err != nil {
			return err
		}
		if doc.Epoch == epoch && doc.Nonce != nonce && !doc.Released {
			return s.overtaken(doc) // what was waited for is not there any more
		}
	}
}

// unchanged returns the lease once its epoch and nonce have stayed the same for W, counted from the receipt of the reading that first
// showed them. Readings that fail do no harm: the write matches both exactly.
func (s *Switch) unchanged(ctx context.Context, doc lease.Document) (lease.Document, error) {
	for since := time.Now(); time.Since(since) < doc.Term.Wait(); {
		if err := pause(ctx, time.Second); err != nil {
			return doc, err
		}
		now, _, err := s.Lease.Read(ctx)
		switch {
		case err != nil:
		case !now.Unheld():
			return now, s.overtaken(now)
		case now.Epoch != doc.Epoch || now.Nonce != doc.Nonce:
			doc, since = now, time.Now()
		}
	}
	return doc, nil
}
