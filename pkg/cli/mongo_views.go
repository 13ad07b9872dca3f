package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/hint"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongocheck"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/zone"
)

// viewTime bounds what one zone needs to look at all of its routers.
const viewTime = 30 * time.Second

// lookFromZones asks all zones at the same time. One that cannot be asked is a finding of its own.
func (o *mongoCheckOptions) lookFromZones(ctx context.Context, db *database) ([]mongocheck.Finding, error) {
	zones := db.env.Zones
	if len(zones) == 0 {
		return nil, noZones()
	}
	params := mongocheck.Params{Now: o.f.Now()}
	found := make([][]mongocheck.Finding, len(zones))
	err := zone.ForEach(ctx, zones, 0, func(ctx context.Context, z zone.Zone) error {
		i := slices.IndexFunc(zones, func(one zone.Zone) bool { return zone.Same(one.Name, z.Name) })
		view, err := o.look(ctx, z, db.env.ID)
		if err != nil {
			found[i] = []mongocheck.Finding{mongocheck.Unasked(z.Name, err, hint.Of(err))}
			return nil
		}
		found[i] = mongocheck.CheckView(z.Name, view, params)
		return nil
	})
	if err == nil {
		err = ctx.Err()
	}
	return slices.Concat(found...), err
}

func (o *mongoCheckOptions) look(ctx context.Context, z zone.Zone, environment string) (mongocheck.View, error) {
	var view mongocheck.View
	ctx, cancel := context.WithTimeout(ctx, viewTime)
	defer cancel()
	client, pod, err := o.f.agentPod(ctx, z)
	if err != nil {
		return view, err
	}
	printed, err := client.RunAgent(ctx, pod, "mongodb-view", "--environment="+environment)
	if err != nil {
		return view, err
	}
	if err := json.Unmarshal(printed, &view); err != nil {
		return view, fmt.Errorf("read what pod %s of zone %s saw: %w", pod, z.Name, err)
	}
	return view, nil
}

// sideBySide prints a row for every question to every router and a column for every zone, and then what is not well, in full.
func (o *mongoCheckOptions) sideBySide(findings []mongocheck.Finding) error {
	type row struct{ router, requirement string }
	var zones []string
	var rows []row
	cells := map[row]map[string]string{}
	var bad []mongocheck.Finding
	for _, f := range findings {
		if !slices.Contains(zones, f.Zone) {
			zones = append(zones, f.Zone)
		}
		if f.Level == mongocheck.Fail || f.Level == mongocheck.Warn && (f.Cell() != mongocheck.Unknown || f.Requirement == mongocheck.ZoneView) {
			bad = append(bad, f)
		}
		if f.Requirement == mongocheck.ZoneView {
			continue
		}
		at := row{f.Subject, f.Requirement}
		if cells[at] == nil {
			cells[at] = map[string]string{}
			rows = append(rows, at)
		}
		cells[at][f.Zone] = f.Cell()
	}
	header := []string{"ROUTER", "CHECK"}
	for _, z := range zones {
		header = append(header, strings.ToUpper(z))
	}
	slices.SortStableFunc(rows, func(a, b row) int { return strings.Compare(a.router, b.router) })
	lines := make([][]string, len(rows))
	for i, at := range rows {
		lines[i] = []string{at.router, at.requirement}
		for _, z := range zones {
			cell, asked := cells[at][z]
			if !asked {
				cell = mongocheck.Unknown
			}
			lines[i] = append(lines[i], cell)
		}
	}
	if err := table(o.f.IO.Out, header, lines); err != nil || len(bad) == 0 {
		return err
	}
	fmt.Fprintln(o.f.IO.Out)
	return o.table(bad)
}
