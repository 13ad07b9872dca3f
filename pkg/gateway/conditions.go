package gateway

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/lease"
)

const conditionsPath = "/conditions"

// Condition is one thing that holds of this replica, or does not, in Kubernetes' form.
type Condition struct {
	Type   string `json:"type"`
	Status string `json:"status"` // True, False, or Unknown
	Reason string `json:"reason,omitempty"`
}

const (
	conditionTrue    = "True"
	conditionFalse   = "False"
	conditionUnknown = "Unknown"
)

// facts are what the conditions are made of.
type facts struct {
	zone       string // key
	standing   bool
	view       lease.View
	open       bool
	records    *[]lease.Record
	reachable  bool
	ineligible string
	fenced     bool
}

// conditionsOf is a pure function. The order is always the same.
func conditionsOf(f facts) []Condition {
	status := func(holds bool) string {
		if holds {
			return conditionTrue
		}
		return conditionFalse
	}
	here := Condition{Type: "GlobalPointsHere", Status: conditionUnknown, Reason: "the zone's job has not said yet"}
	if f.standing {
		here = Condition{Type: here.Type, Status: conditionTrue, Reason: "the environment has this one zone"}
	} else if f.records != nil {
		for _, r := range *f.records {
			if r.Zone == f.zone && r.PointsAt != "" {
				here = Condition{Type: here.Type, Status: status(r.PointsAt == f.zone), Reason: fmt.Sprintf("the zone's job last saw %q", r.PointsAt)}
			}
		}
	}
	held := Condition{Type: "LeaseHeld", Status: conditionUnknown, Reason: "the lease was not read yet"}
	if f.view.Known {
		held.Status, held.Reason = status(f.view.Holder == f.zone), fmt.Sprintf("epoch %d belongs to %q", f.view.Epoch, f.view.Holder)
	}
	return []Condition{
		here, held,
		{Type: "DatabaseReachable", Status: status(f.reachable)},
		{Type: "Eligible", Status: status(f.ineligible == ""), Reason: f.ineligible},
		{Type: "Active", Status: status(f.open), Reason: string(f.view.State)},
		{Type: "Fenced", Status: status(f.fenced)},
	}
}

func (g *Gateway) listConditions() []Condition {
	return conditionsOf(facts{
		zone: g.cfg.Lease.Zone, standing: g.cfg.Lease.Standing, view: g.keeper.View(), open: g.gate.Open(), records: g.keeper.records.Load(),
		reachable: g.health.databaseReachable(), ineligible: g.ineligible(), fenced: g.keeper.fenced.Load(),
	})
}

// conditions answers for people and for status: this replica's conditions.
func (g *Gateway) conditions(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(g.listConditions()) // an error means that the client went away
}
