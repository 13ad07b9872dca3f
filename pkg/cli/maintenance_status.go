package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/failover"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/hint"
)

type maintenanceStatusOptions struct {
	f     *Factory
	print printFlags
	watch bool
	every time.Duration
}

func newMaintenanceStatusCmd(f *Factory) *cobra.Command {
	o := &maintenanceStatusOptions{f: f}
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show who serves, who may, and what is wrong",
		Long: `Show who serves, who may, and what is wrong: the lease and the zones' intents from MongoDB, and every replica of every zone's gateway, asked
through its cluster's API server. What cannot be read is shown as ?, which is not the same as down; only when nothing at all could be read
is it an error. Ages are by the database server's clock.`,
		Example: `  kubectl aporeto maintenance status -w
  kubectl aporeto maintenance status -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context()) },
	}
	o.print.add(cmd, formatJSON, formatYAML)
	cmd.Flags().BoolVarP(&o.watch, "watch", "w", false, "show it again and again")
	cmd.Flags().DurationVar(&o.every, "every", 2*time.Second, "with -w, how often")
	return cmd
}

func (o *maintenanceStatusOptions) run(ctx context.Context) error {
	if err := o.print.check(); err != nil {
		return err
	}
	if o.every <= 0 {
		return hint.Wrap(usagef("--every must be longer than nothing"), "kubectl aporeto maintenance status -w --every 2s")
	}
	op, err := o.f.operation(ctx)
	if err != nil {
		return err
	}
	defer func() { op.close(ctx) }()
	ticker := time.NewTicker(o.every)
	defer ticker.Stop()
	for {
		st := op.status(ctx)
		if err := ctx.Err(); err != nil {
			return err
		}
		switch err := o.show(st); {
		case o.watch && errors.Is(err, errNothingRead):
			o.f.say("warning: " + err.Error()) // who watches wants to see it come back
		case err != nil || !o.watch:
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
		if op.client == nil {
			op.client, op.dbErr = op.connect(ctx)
		}
	}
}

func (o *maintenanceStatusOptions) show(st failover.Status) error {
	if done, err := o.print.object(o.f.IO.Out, st); done {
		if err == nil {
			err = nothingRead(st)
		}
		return err
	}
	if o.watch {
		if newProgress(o.f.IO.Out, nil).width != nil {
			fmt.Fprint(o.f.IO.Out, "\x1b[H\x1b[2J")
		} else {
			fmt.Fprintf(o.f.IO.Out, "--- %s\n", o.f.Now().Format(time.RFC3339))
		}
	}
	if err := printStatus(o.f.IO.Out, st); err != nil {
		return err
	}
	return nothingRead(st)
}

var errNothingRead = errors.New("nothing could be read: neither MongoDB nor any zone answers from here")

// nothingRead is the error of a status in which everything is unknown.
func nothingRead(st failover.Status) error {
	for _, z := range st.Zones {
		if z.State != failover.Unknown {
			return nil
		}
	}
	if st.Lease != nil || slices.ContainsFunc(st.Findings, func(f failover.Finding) bool { return f.Code == failover.NoLease }) {
		return nil
	}
	return errNothingRead
}

func printStatus(w io.Writer, st failover.Status) error {
	fmt.Fprintf(w, "ENVIRONMENT   %s\nLEASE         %s\n\n", st.Environment, leaseLine(st.Lease))
	rows := make([][]string, len(st.Zones))
	for i, z := range st.Zones {
		at, age, silent := failover.Unknown, failover.Unknown, failover.Unknown
		if z.Intent != nil {
			at, age, silent = orNone(z.Intent.PointsAt), failover.Ago(z.Intent.AgeSecs), failover.Ago(z.Intent.SilentSecs)
		} else if st.Lease != nil {
			at, age, silent = "<none>", "", ""
		}
		rows[i] = []string{z.Name, z.State, mark(z.Holder), number(z.Epoch), seconds(z.Left), openOf(z), yesNo(z.Eligible), at, age, silent}
	}
	if err := table(w, []string{"ZONE", "STATE", "HOLDER", "EPOCH", "LEASE-LEFT", "OPEN", "ELIGIBLE", "INTENT", "AGE", "LAST-WRITE"}, rows); err != nil {
		return err
	}
	if len(st.Findings) > 0 {
		fmt.Fprintln(w)
	}
	for _, f := range st.Findings {
		fmt.Fprintf(w, "%-9s %s\n", strings.ToUpper(string(f.Level)), f.Text)
	}
	if len(st.Journal) == 0 {
		return nil
	}
	fmt.Fprintln(w)
	var entries [][]string
	for _, e := range st.Journal {
		entries = append(entries, []string{e.Time.UTC().Format("2006-01-02 15:04:05Z"), e.Zone, orNone(e.From), orNone(e.To), strconv.FormatInt(e.Epoch, 10), e.Reason})
	}
	return table(w, []string{"JOURNAL", "ZONE", "FROM", "TO", "EPOCH", "REASON"}, entries)
}

func leaseLine(l *failover.LeaseStatus) string {
	if l == nil {
		return failover.Unknown
	}
	parts := []string{"epoch " + strconv.FormatInt(l.Epoch, 10), "held by " + orNone(l.Holder), fmt.Sprintf("%d open", len(l.Open)), fmt.Sprintf("term %.3gs", l.TermSecs)}
	switch {
	case l.Released:
		parts = append(parts, "released")
	case l.Closing:
		parts = append(parts, "closing for "+orNone(l.Successor))
	}
	if l.Override {
		parts = append(parts, "by order")
	}
	if l.Pin != nil {
		parts = append(parts, "pinned")
	}
	return strings.Join(parts, ", ")
}

func number(n *int64) string {
	if n == nil {
		return failover.Unknown
	}
	return strconv.FormatInt(*n, 10)
}

func seconds(s *float64) string {
	if s == nil {
		return failover.Unknown
	}
	return fmt.Sprintf("%.1fs", *s)
}

func openOf(z failover.ZoneStatus) string {
	if z.Open == nil {
		return failover.Unknown
	}
	return fmt.Sprintf("%d/%d", *z.Open, len(z.Replicas))
}

func yesNo(b *bool) string {
	switch {
	case b == nil:
		return failover.Unknown
	case *b:
		return "yes"
	}
	return "no"
}
