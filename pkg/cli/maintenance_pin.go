package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/hint"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongo"
)

func newMaintenancePinCmd(f *Factory) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:   "pin",
		Short: "Keep the lease where it is, whatever the global record does",
		Long: `Keep the lease in the zone that holds it, whatever the global record does: no zone takes over by itself, not after a crash of the holder
either. Only the holder's own zone, or failover --to, may go on. It lasts until unpin, and keeps no gate open: a zone that loses MongoDB
still closes.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runPin(cmd.Context(), f, true, reason) },
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for those who read status and the journal")
	return cmd
}

func newMaintenanceUnpinCmd(f *Factory) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:   "unpin",
		Short: "Let the lease follow the global record again",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return runPin(cmd.Context(), f, false, reason) },
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for those who read the journal")
	return cmd
}

// pinTries bounds how often a pin that met another change is tried again.
const pinTries = 5

func runPin(ctx context.Context, f *Factory, on bool, reason string) error {
	o, err := f.operation(ctx)
	if err != nil {
		return err
	}
	defer o.close(ctx)
	if err := o.needDatabase(); err != nil {
		return err
	}
	var last error
	for range pinTries {
		st, err := o.client.StatusStore(o.env.ID, storeTime).Status(ctx, 0)
		if err != nil {
			return explainBootstrap(err)
		}
		holder := o.zoneName(st.Lease.Holder)
		switch {
		case st.Lease.Holder == "" && on:
			return hint.New("no zone has ever held the lease, so there is nothing to pin", "kubectl aporeto maintenance status -w")
		case st.Pin.On && on && (reason == "" || reason == st.Pin.Reason):
			fmt.Fprintf(f.IO.Out, "zone %s is pinned already, by %s since %s\n", holder, st.Pin.By, st.Pin.Since.UTC().Format("2006-01-02 15:04:05Z"))
			return last
		case !st.Pin.On && !on:
			fmt.Fprintln(f.IO.Out, "the lease is not pinned")
			return nil
		}
		pin, ok, err := o.lease().WritePin(ctx, mongo.PinWrite{
			Epoch: st.Lease.Epoch, Holder: st.Lease.Holder, Was: st.Pin.Seq, On: on, By: f.who(), Reason: reason,
		})
		if err != nil || !ok {
			last = err // the next read tells whether it was written
			continue
		}
		return o.pinned(ctx, st, pin)
	}
	return errors.Join(errors.New("the lease keeps changing, or does not answer: nothing is known of the pin"), last)
}

func (o *operation) pinned(ctx context.Context, st mongo.Status, pin mongo.Pin) error {
	words := map[bool]string{false: "unpinned", true: "pinned"}
	was, is, holder := words[st.Pin.On], words[pin.On], o.zoneName(st.Lease.Holder)
	reason := is + " by " + pin.By
	if pin.Reason != "" {
		reason += ": " + pin.Reason
	}
	err := o.client.Journal(o.env.ID, storeTime).Append(ctx, mongo.JournalEntry{
		Key: "pin/" + strconv.FormatInt(pin.Seq, 10), Time: pin.Since, Zone: st.Lease.Holder, From: was, To: is, Epoch: st.Lease.Epoch, Reason: reason,
	})
	if err != nil {
		o.f.say(fmt.Sprintf("warning: the journal was not written: %v", err))
	}
	if pin.On {
		fmt.Fprintf(o.f.IO.Out, "pinned to zone %s (epoch %d)\n", holder, st.Lease.Epoch)
		return nil
	}
	fmt.Fprintln(o.f.IO.Out, "unpinned: the lease follows the global record again")
	return nil
}
