// Package failover is what an operator does about who serves: it tells what is so, orders another zone to take over, and measures what
// a client sees of it.
//
// Decisions are pure and lie in files of their own (status.go, findings.go, order.go, gap.go); what they need is read, and what they
// choose is done, in others (switch.go, watch.go, drill.go). Unknown is not down: what could not be asked is shown as unknown, and an
// order whose outcome is unknown may still happen. The package opens and closes nothing by itself: it writes what the protocol of
// docs/failover.md calls a planned close, and the gateways do the rest.
package failover

import (
	"slices"
	"time"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/lease"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongo"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/zone"
)

// Observation is everything that was read. What could not be read is nil, with the reason beside it.
type Observation struct {
	Environment string // id
	Zones       []zone.Zone
	Database    *mongo.Status
	DatabaseErr error
	Gateways    []Gateways // of Zones, in their order
}

// Gateways is what the gateway's replicas of one zone said.
type Gateways struct {
	Replicas []Replica
	Err      error // the zone could not be asked at all
}

// Replica is one replica of a zone's gateway.
type Replica struct {
	Name      string   `json:"name"`
	State     string   `json:"state,omitempty"` // "" unknown
	Epoch     int64    `json:"epoch"`
	Eligible  *bool    `json:"eligible"` // null: unknown
	Reason    string   `json:"reason,omitempty"`
	LeaseLeft *float64 `json:"leaseLeftSeconds"` // until its gate closes unless it renews; 0: closed; null: unknown
	Error     string   `json:"error,omitempty"`
}

// Status is what is so, as `maintenance status` shows it.
type Status struct {
	APIVersion  string       `json:"apiVersion"`
	Kind        string       `json:"kind"`
	Environment string       `json:"environment"`
	Lease       *LeaseStatus `json:"lease"` // null: unknown
	Zones       []ZoneStatus `json:"zones"`
	Findings    []Finding    `json:"findings"`
	Journal     []Entry      `json:"journal"` // latest entries, oldest first; null: unknown
}

// LeaseStatus is the lease document, without nonces.
type LeaseStatus struct {
	Epoch     int64    `json:"epoch"`
	Holder    string   `json:"holder"` // "" before the first claim
	Open      []string `json:"open"`   // ids of the replicas that may be open
	Closing   bool     `json:"closing"`
	Successor string   `json:"successor,omitempty"`
	Override  bool     `json:"override"` // the holder was ordered, and the order still stands against the records
	Released  bool     `json:"released"`
	Pin       *Pin     `json:"pin,omitempty"`
	TermSecs  float64  `json:"termSeconds"` // how long one renewal keeps a gate open
	WaitSecs  float64  `json:"waitSeconds"` // how long others wait for a holder that says nothing
}

// Pin is an operator's freeze of automatic moves.
type Pin struct {
	By     string    `json:"by"`
	Reason string    `json:"reason,omitempty"`
	Since  time.Time `json:"since"`
}

// ZoneStatus is one zone.
type ZoneStatus struct {
	Name     string    `json:"name"`
	State    string    `json:"state"`  // of the replica that is furthest; "NotDeployed"; "?" unknown
	Holder   *bool     `json:"holder"` // null: unknown
	Epoch    *int64    `json:"epoch"`  // the newest that a replica knows; null: unknown
	Left     *float64  `json:"leaseLeftSeconds"`
	Open     *int      `json:"openReplicas"`
	Eligible *bool     `json:"eligible"`
	Reason   string    `json:"reason,omitempty"` // why not eligible, or why nothing is known
	Intent   *Intent   `json:"intent"`           // null: unknown, or never stated
	Replicas []Replica `json:"replicas"`
}

// Intent is where a zone's job saw the global record lead. Ages are by the database server's clock.
type Intent struct {
	PointsAt   string        `json:"pointsAt"` // "" never known
	AgeSecs    float64       `json:"ageSeconds"`
	SilentSecs float64       `json:"silentSeconds"` // since the job last wrote anything
	Seq        int64         `json:"seq"`
	Resolvers  []SightingOut `json:"resolvers"`
}

// SightingOut is what one resolver's way to the global endpoint led to.
type SightingOut struct {
	Resolver string `json:"resolver"`
	Address  string `json:"address,omitempty"`
	Zone     string `json:"zone,omitempty"`
	Error    string `json:"error,omitempty"`
}

// Entry is one line of the journal.
type Entry struct {
	Time   time.Time `json:"time"`
	Zone   string    `json:"zone"`
	From   string    `json:"from"`
	To     string    `json:"to"`
	Epoch  int64     `json:"epoch"`
	Reason string    `json:"reason"`
}

// Unknown is how a state that could not be read prints.
const Unknown = "?"

// notDeployed is the state of a zone without a gateway.
const notDeployed = "NotDeployed"

// ranks orders the states of replicas: a zone is in that of the one that is furthest.
func ranks() []lease.State {
	return []lease.State{lease.Active, lease.Draining, lease.Fenced, lease.Acquiring, lease.Candidate, lease.Pinned, lease.Locked}
}

// Assess says what an observation means. It is pure.
func Assess(o Observation, apiVersion string) Status {
	st := Status{APIVersion: apiVersion, Kind: "MaintenanceStatus", Environment: o.Environment}
	if o.Database != nil {
		st.Lease = leaseStatus(o)
		st.Journal = make([]Entry, len(o.Database.Journal))
		for i, e := range o.Database.Journal {
			st.Journal[i] = Entry{Time: e.Time, Zone: nameOf(o.Zones, e.Zone), From: e.From, To: e.To, Epoch: e.Epoch, Reason: e.Reason}
		}
	}
	for i, z := range o.Zones {
		st.Zones = append(st.Zones, zoneStatus(o, z, o.Gateways[i]))
	}
	st.Findings = findings(o, st)
	return st
}

func leaseStatus(o Observation) *LeaseStatus {
	doc := o.Database.Lease
	l := &LeaseStatus{
		Epoch: doc.Epoch, Holder: nameOf(o.Zones, doc.Holder), Open: []string{}, Closing: doc.Closing, Successor: nameOf(o.Zones, doc.Successor),
		Override: overrideStands(doc, o.Database.Zones), Released: doc.Released, TermSecs: doc.Term.T.Seconds(), WaitSecs: doc.Term.Wait().Seconds(),
	}
	for _, e := range doc.Open {
		l.Open = append(l.Open, e.ID)
	}
	if p := o.Database.Pin; p.On {
		l.Pin = &Pin{By: p.By, Reason: p.Reason, Since: p.Since}
	}
	return l
}

// overrideStands is the rule of docs/failover.md: an order ends when the holder's own record changes, or another zone records itself anew.
func overrideStands(doc lease.Document, records []mongo.Intent) bool {
	return doc.Override && !slices.ContainsFunc(records, func(r mongo.Intent) bool {
		return (r.Zone == doc.Holder || r.PointsAt == r.Zone) && r.Seq > doc.Basis[r.Zone]
	})
}

func zoneStatus(o Observation, z zone.Zone, g Gateways) ZoneStatus {
	s := ZoneStatus{Name: z.Name, State: Unknown, Replicas: slices.Clone(g.Replicas)}
	if s.Replicas == nil {
		s.Replicas = []Replica{}
	}
	if g.Err != nil {
		s.Reason = g.Err.Error()
	} else {
		s.gather(g.Replicas)
	}
	if o.Database == nil {
		return s
	}
	s.Holder = new(o.Database.Lease.Holder == zone.Key(z.Name))
	for _, r := range o.Database.Zones {
		if r.Zone == zone.Key(z.Name) && !r.ProbedAt.IsZero() {
			s.Intent = intentOf(o, r)
		}
	}
	return s
}

func (s *ZoneStatus) gather(replicas []Replica) {
	if len(replicas) == 0 {
		s.State, s.Open = notDeployed, new(0)
		s.Eligible, s.Reason = new(false), "no gateway runs there"
		return
	}
	rank := ranks()
	best, open, known := len(rank), 0, 0
	for _, r := range replicas {
		if r.State == "" {
			if s.Reason == "" {
				s.Reason = r.Error
			}
			continue
		}
		known++
		if n := slices.Index(rank, lease.State(r.State)); n >= 0 {
			best = min(best, n)
		}
		if r.State == string(lease.Active) {
			open++
		}
		if s.Epoch == nil || r.Epoch > *s.Epoch {
			s.Epoch = &r.Epoch
		}
		if r.LeaseLeft != nil && (s.Left == nil || *r.LeaseLeft > *s.Left) {
			s.Left = r.LeaseLeft
		}
		if r.Eligible != nil && (s.Eligible == nil || *r.Eligible) {
			s.Eligible = r.Eligible
		}
	}
	if known == 0 {
		return
	}
	if s.Open = &open; best < len(rank) {
		s.State = string(rank[best])
	}
	if s.Eligible != nil {
		if s.Reason = ""; !*s.Eligible {
			s.Reason = firstReason(replicas)
		}
	}
}

func firstReason(replicas []Replica) string {
	for _, r := range replicas {
		if r.Reason != "" {
			return r.Reason
		}
	}
	return ""
}

func intentOf(o Observation, r mongo.Intent) *Intent {
	i := &Intent{PointsAt: nameOf(o.Zones, r.PointsAt), Seq: r.Seq, SilentSecs: age(o.Database.Now, r.ProbedAt), Resolvers: []SightingOut{}}
	if !r.Since.IsZero() {
		i.AgeSecs = age(o.Database.Now, r.Since)
	}
	for _, s := range r.Resolvers {
		i.Resolvers = append(i.Resolvers, SightingOut{Resolver: s.Resolver, Address: s.Address, Zone: nameOf(o.Zones, s.Zone), Error: s.Error})
	}
	return i
}

func age(now, then time.Time) float64 { return max(0, now.Sub(then).Seconds()) }

// nameOf returns a zone's name as the environment writes it; a key that is no zone's stays as it is.
func nameOf(zones []zone.Zone, key string) string {
	if z, ok := zone.Find(zones, key); ok && key != "" {
		return z.Name
	}
	return key
}

// Zone returns the zone of that name.
func (s Status) Zone(name string) (ZoneStatus, bool) {
	for _, z := range s.Zones {
		if zone.Same(z.Name, name) {
			return z, true
		}
	}
	return ZoneStatus{}, false
}
