package failover

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// DrillReport is what a drill did and measured.
type DrillReport struct {
	APIVersion  string    `json:"apiVersion"`
	Kind        string    `json:"kind"`
	Environment string    `json:"environment"`
	By          string    `json:"by"`
	Started     time.Time `json:"started"` // this machine's clock
	Seconds     float64   `json:"seconds"`
	Home        string    `json:"home"` // zone that served before, and must afterwards
	Away        string    `json:"away"`
	Path        string    `json:"path"` // asked of both zones' public addresses
	EverySecs   float64   `json:"everySeconds"`
	Legs        []Leg     `json:"legs"`
	Result      string    `json:"result"` // passed, failed or interrupted
	Restored    bool      `json:"restored"`
	Error       string    `json:"error,omitempty"`
}

// Leg is one switch of a drill.
type Leg struct {
	From    string  `json:"from"`
	To      string  `json:"to"`
	Epoch   int64   `json:"epoch"`   // in which To served
	Seconds float64 `json:"seconds"` // from the order to an open gateway, as the lease shows it
	Measure
	Error string `json:"error,omitempty"`
}

// Results of a drill.
const (
	Passed      = "passed"
	Failed      = "failed"
	Interrupted = "interrupted"
)

// restoreTime bounds the way back, whatever happened on the way there.
const restoreTime = 2 * time.Minute

// Drill moves the role from Home to Away, stays, and moves it back.
type Drill struct {
	Switch     func(to string) *Switch
	Watch      *Watch
	Home, Away string // zone keys
	Stay       time.Duration
	Say        func(string)
}

// Run fills report. Once anything was ordered it comes home, also when ctx is cancelled; its error is that of the first thing that went
// wrong.
func (d *Drill) Run(ctx context.Context, report *DrillReport) error {
	err := d.leg(ctx, report, d.Home, d.Away)
	if err == nil {
		d.Say(fmt.Sprintf("staying for %s", d.Stay))
		err = pause(ctx, d.Stay)
	}
	if ctx.Err() != nil {
		d.Say("interrupted: moving back first")
	}
	back, cancel := context.WithTimeout(context.WithoutCancel(ctx), restoreTime)
	defer cancel()
	homeErr := d.home(back, report)
	report.Restored = homeErr == nil
	err = errors.Join(err, homeErr, violated(report))
	switch {
	case ctx.Err() != nil:
		report.Result = Interrupted
	case err != nil:
		report.Result = Failed
	default:
		report.Result = Passed
	}
	if err != nil {
		report.Error = err.Error()
	}
	return err
}

func violated(report *DrillReport) error {
	for _, l := range report.Legs {
		if l.Proof == Violated {
			return fmt.Errorf("zone %s answered a request that was sent after zone %s had answered one", l.From, l.To)
		}
	}
	return nil
}

func (d *Drill) leg(ctx context.Context, report *DrillReport, from, to string) error {
	since := d.Watch.Now()
	sw := d.Switch(to)
	done, err := sw.Run(ctx)
	if done.Already {
		return err
	}
	d.Watch.Seen(ctx, to, since, 3*time.Second)
	leg := Leg{From: sw.Name(from), To: sw.Name(to), Epoch: done.Epoch, Seconds: done.Seconds, Measure: d.Watch.Compare(from, to, since)}
	if err != nil {
		leg.Error = err.Error()
	}
	report.Legs = append(report.Legs, leg)
	return err
}

// home brings the role back, from wherever it is. A switch that is still under way is waited for.
func (d *Drill) home(ctx context.Context, report *DrillReport) error {
	for {
		err := d.leg(ctx, report, d.Away, d.Home)
		if err == nil {
			return nil
		}
		d.Say(fmt.Sprintf("zone %s does not serve again yet: %v", d.Home, err))
		if pause(ctx, time.Second) != nil {
			return fmt.Errorf("zone %s does not serve again: %w", d.Home, err)
		}
	}
}

// Text writes the report for people.
func (r *DrillReport) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Drill of environment %s\nby %s at %s, %.1f s\n", r.Environment, r.By, r.Started.Format(time.RFC3339), r.Seconds)
	fmt.Fprintf(&b, "asked: %s of both zones' public addresses, every %.0f ms\n\n", r.Path, 1000*r.EverySecs)
	for _, l := range r.Legs {
		fmt.Fprintf(&b, "%s -> %s\n  epoch           %d\n  order to open   %.2f s\n  gap             %s\n  old then new    %s (%d samples, %d without an answer)\n",
			l.From, l.To, l.Epoch, l.Seconds, gapText(l.GapSecs), l.Proof.Text(), l.Samples, l.Silent)
		if l.Error != "" {
			fmt.Fprintf(&b, "  error           %s\n", l.Error)
		}
	}
	fmt.Fprintf(&b, "\nresult: %s", r.Result)
	if !r.Restored {
		fmt.Fprintf(&b, "; zone %s does NOT serve again: kubectl aporeto maintenance status", r.Home)
	}
	b.WriteString("\n")
	if r.Error != "" {
		fmt.Fprintf(&b, "error: %s\n", r.Error)
	}
	return b.String()
}

func gapText(seconds *float64) string {
	if seconds == nil {
		return "not seen"
	}
	return fmt.Sprintf("%.3f s, from the last 2xx of the old zone to the first of the new one", *seconds)
}

// Text says what a proof shows.
func (p Proof) Text() string {
	switch p {
	case Proven:
		return "proven: the old zone answered 423 before the new one opened"
	case Consistent:
		return "nothing contradicts it: the refusal fell between two samples"
	case Violated:
		return "VIOLATED: the old zone answered after the new one had"
	}
	return "not seen from here: the lease alone says so"
}
