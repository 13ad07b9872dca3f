package failover

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/lease"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongo"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/zone"
)

// Level says how much a finding matters.
type Level string

// A note is nothing wrong. A warning means that a failover would not go as it should, or that nobody can tell. Critical means that
// nobody serves, or that two zones may.
const (
	Note     Level = "note"
	Warning  Level = "warning"
	Critical Level = "critical"
)

// Finding is one thing that an operator should know.
type Finding struct {
	Level Level  `json:"level"`
	Code  string `json:"code"`           // stable; see docs/operations.md
	Zone  string `json:"zone,omitempty"` // "" the environment's
	Text  string `json:"text"`
}

// NoLease is the code of the finding that MongoDB answers and has no lease for this environment.
const NoLease = "no-lease"

// silence is how long a job may write nothing before it counts as dead. A CronJob's runs touch end to end, but pods take time to start.
const silence = 2 * time.Minute

// Healthy tells whether a planned switch there and back can be expected to go well: nothing worse than a note.
func (s Status) Healthy() bool {
	return !slices.ContainsFunc(s.Findings, func(f Finding) bool { return f.Level != Note })
}

type finder struct {
	o     Observation
	st    Status
	found []Finding
}

func (f *finder) add(level Level, code, zoneName, format string, args ...any) {
	f.found = append(f.found, Finding{Level: level, Code: code, Zone: zoneName, Text: fmt.Sprintf(format, args...)})
}

func findings(o Observation, st Status) []Finding {
	f := &finder{o: o, st: st, found: []Finding{}}
	switch {
	case errors.Is(o.DatabaseErr, mongo.ErrNoLease):
		f.add(Critical, NoLease, "", "%v; until it is made (kubectl aporeto deploy --all-zones) no gateway opens", o.DatabaseErr)
	case o.Database == nil:
		f.add(Warning, "database-unknown", "", "MongoDB was not read from here, so the lease and the intents are unknown: %v", o.DatabaseErr)
	default:
		f.lease()
		f.intents()
	}
	f.gateways()
	f.nobody()
	return f.found
}

// nobody finds that no gateway is open by what the gateways say themselves: those that died, or were cut off, stay in the lease's list.
func (f *finder) nobody() {
	l := f.st.Lease
	if slices.ContainsFunc(f.found, func(x Finding) bool { return x.Level == Critical }) {
		return // which says it, or more
	}
	closed := func(n int) bool {
		return f.o.Gateways[n].Err == nil && !slices.ContainsFunc(f.o.Gateways[n].Replicas, func(r Replica) bool {
			return r.State == "" || r.State == string(lease.Active)
		})
	}
	all := len(f.st.Zones) > 0
	for n, z := range f.st.Zones {
		all = all && closed(n)
		if l != nil && zone.Same(l.Holder, z.Name) && closed(n) {
			f.add(Critical, "nobody-open", z.Name, "zone %s holds the lease and none of its gateways is open", z.Name)
			return
		}
	}
	if all {
		f.add(Critical, "nobody-open", "", "no gateway of any zone is open")
	}
}

func (f *finder) lease() {
	l := f.st.Lease
	switch {
	case l.Holder == "":
		f.add(Critical, "never-held", "", "no zone has ever held the lease: the zone that the global record points at claims it after %.0f s; or: kubectl aporeto failover --to ZONE", l.WaitSecs)
	case l.Released:
		f.add(Critical, "released", "", "no zone holds the lease: the zone that its own job says the record points at claims it at once; or: kubectl aporeto failover --to ZONE")
	case l.Closing && l.Successor != "":
		f.add(Critical, "closing", l.Holder, "zone %s is closing for %s", l.Holder, l.Successor)
	case l.Closing:
		f.add(Critical, "closing", l.Holder, "zone %s is closing for whichever zone the record points at", l.Holder)
	case len(l.Open) == 0:
		f.add(Critical, "nobody-open", l.Holder, "zone %s holds the lease and none of its gateways is open", l.Holder)
	}
	if l.Pin != nil {
		why := ""
		if l.Pin.Reason != "" {
			why = ": " + l.Pin.Reason
		}
		f.add(Warning, "pinned", l.Holder, "pinned to zone %s by %s%s; no zone takes over by itself, not after a crash either, until: kubectl aporeto maintenance unpin", l.Holder, l.Pin.By, why)
	}
	if l.Override {
		if at := f.pointsAt(l.Holder); at == l.Holder {
			f.add(Warning, "override", l.Holder, "zone %s serves by an operator's order, which stands until a zone's record changes; no other zone takes over by itself before", l.Holder)
		} else {
			f.add(Warning, "override", l.Holder, "zone %s serves by an operator's order, against the global record: move the record to %s", l.Holder, l.Holder)
		}
	}
}

func (f *finder) pointsAt(name string) string {
	if z, ok := f.st.Zone(name); ok && z.Intent != nil {
		return z.Intent.PointsAt
	}
	return ""
}

// intents judges what the jobs wrote, by the database server's clock alone.
func (f *finder) intents() {
	if len(f.o.Zones) < 2 {
		return // one zone has standing intent
	}
	var selves []string
	for _, z := range f.st.Zones {
		switch i := z.Intent; {
		case i == nil:
			f.add(Warning, "no-intent", z.Name, "the job of zone %s has never said where the global record points: kubectl aporeto deploy --zone %s", z.Name, z.Name)
			continue
		case i.SilentSecs > silence.Seconds():
			f.add(Warning, "job-silent", z.Name, "the job of zone %s has written nothing for %s; its last intent stands", z.Name, Ago(i.SilentSecs))
			continue
		case i.PointsAt == "":
			f.add(Warning, "no-intent", z.Name, "the job of zone %s does not know yet where the global record points%s", z.Name, unanswered(i))
		case unanswered(i) != "":
			f.add(Warning, "endpoint-unanswered", z.Name, "zone %s gets no answer from the global endpoint%s; its last intent stands", z.Name, unanswered(i))
		}
		if zone.Same(z.Intent.PointsAt, z.Name) && z.Intent.SilentSecs < f.o.Database.Lease.Term.D.Seconds() { // an older one moves nothing
			selves = append(selves, z.Name)
		}
	}
	if len(selves) > 1 {
		f.add(Warning, "split-view", "", "zones %s each see the global record at themselves: their resolvers disagree, nothing moves while that lasts, and failover --to decides", strings.Join(selves, " and "))
	}
	if l := f.st.Lease; len(selves) == 1 && !zone.Same(selves[0], l.Holder) && l.Holder != "" && !l.Closing && !l.Override && l.Pin == nil {
		f.add(Warning, "move-due", selves[0], "the record points at %s and %s holds the lease: a move is due, or was just decided", selves[0], l.Holder)
	}
	for _, r := range f.o.Database.Zones {
		if _, ok := zone.Find(f.o.Zones, r.Zone); !ok {
			f.add(Warning, "foreign-record", r.Zone, "a job writes the record of zone %s, which this environment directory does not have", r.Zone)
		}
	}
}

// unanswered returns why no resolver's way led to a zone, "" when one did.
func unanswered(i *Intent) string {
	why := ""
	for _, s := range i.Resolvers {
		if s.Error == "" {
			return ""
		}
		why = ": " + s.Error
	}
	return why
}

func (f *finder) gateways() {
	var active []string
	for i, z := range f.st.Zones {
		g := f.o.Gateways[i]
		switch {
		case g.Err != nil:
			f.add(Warning, "zone-unknown", z.Name, "zone %s was not asked: %v", z.Name, g.Err)
			continue
		case z.Open == nil:
			f.add(Warning, "zone-unknown", z.Name, "no gateway of zone %s answers: %s", z.Name, z.Reason)
			continue
		case z.Eligible == nil:
			f.add(Warning, "eligible-unknown", z.Name, "whether zone %s could serve is unknown", z.Name)
		case !*z.Eligible && f.orderedAway(z):
			f.add(Note, "ordered-away", z.Name, "zone %s tells load balancers to follow the order to %s", z.Name, f.st.Lease.Holder)
		case !*z.Eligible:
			f.add(Warning, "not-eligible", z.Name, "zone %s could not serve: %s", z.Name, z.Reason)
		}
		if *z.Open > 0 {
			active = append(active, z.Name)
		}
		f.replicas(z)
	}
	if len(active) > 1 {
		f.add(Critical, "dual-active", "", "zones %s say that they are active; they were asked one after the other, so look again", strings.Join(active, " and "))
	}
}

// orderedAway tells whether z refuses load balancers only because an operator ordered another zone.
func (f *finder) orderedAway(z ZoneStatus) bool { return f.st.orderedAway(z) }

func (f *finder) replicas(z ZoneStatus) {
	for _, r := range z.Replicas {
		switch l := f.st.Lease; {
		case r.State == "":
			f.add(Warning, "replica-unknown", z.Name, "replica %s: %s", r.Name, r.Error)
		case l != nil && r.Epoch < l.Epoch:
			f.add(Warning, "replica-behind", z.Name, "replica %s knows epoch %d and the lease is in %d: it may be cut off from MongoDB", r.Name, r.Epoch, l.Epoch)
		case l != nil && zone.Same(l.Holder, z.Name) && !l.Closing && r.State != string(lease.Active):
			f.add(Warning, "replica-closed", z.Name, "replica %s of the zone that holds the lease is %s", r.Name, r.State)
		}
	}
}

// Ago writes seconds as people say them: 5s, 4m10s, 3h5m, 2d4h.
func Ago(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second)).Round(time.Second)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm%ds", d/time.Minute, d%time.Minute/time.Second)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%dd%dh", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
}
