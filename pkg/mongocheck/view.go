package mongocheck

import "strings"

// View is what an agent inside a zone sees with the certificate of the zone's gateway.
type View struct {
	Routers []Router `json:"routers"`
}

// Requirements of a view, in the order in which they are shown.
const (
	Name      = "name"
	Transport = "tls"
)

// CheckView judges what the agent of a zone saw: for every router a finding of each requirement that applies inside a zone.
func CheckView(zone string, v View, p Params) []Finding {
	c := &check{p: p, zone: zone, f: Facts{Routers: v.Routers}}
	for _, r := range v.Routers {
		c.view(r)
	}
	return c.out
}

// Unasked is the finding of a zone that could not be asked.
func Unasked(zone string, err error, hint string) Finding {
	return Finding{Zone: zone, Requirement: ZoneView, Level: Warn, Reason: "unknown: " + err.Error(), Hint: hint}
}

func (c *check) view(r Router) {
	const before = "unknown: what comes before it failed"
	named := len(r.Troubles) == 0 || r.Troubles[0].Kind != NoName
	if named {
		c.add(OK, Name, r.Host, "", "%s", orNone(r.Addresses))
	}
	for _, t := range r.Troubles {
		requirement, next := Transport, t.Hint
		if t.Kind == NoName {
			requirement = Name
		}
		if next == hintOf(NoAnswer) { // it says to look from inside the zones, where this was seen
			next = "check the routers and the zone's network: kubectl aporeto value get global.database.mongo.host --zone " + c.zone + "; from this machine: kubectl aporeto mongo check"
		}
		c.add(Fail, requirement, r.Host, next, "%s", t.Text)
	}
	if len(r.Troubles) > 0 {
		if !named {
			c.add(Warn, Transport, r.Host, answerFirst, before)
		}
		for _, requirement := range []string{X509Login, Clocks, LinearRead, MajorityWrite} {
			c.add(Warn, requirement, r.Host, answerFirst, before)
		}
		return
	}
	c.add(OK, Transport, r.Host, "", "%s", millis(r.RoundTrip))
	if r.Greeting != nil && !r.Greeting.Mongos {
		t := NotMongosTrouble(r.Greeting.Set)
		c.add(Fail, Mongos, r.Host, t.Hint, "%s", t.Text)
	}
	c.viewAnswer(X509Login, r, r.Login, r.User)
	level := OK
	if surely(r.ClockOffset, r.ClockError) > farClock {
		level = Warn
	}
	c.add(level, Clocks, r.Host, setClocks, "%s", bounded(r.ClockOffset, r.ClockError))
	c.viewAnswer(LinearRead, r, r.Read, "")
	c.viewAnswer(MajorityWrite, r, r.Write, "")
}

func (c *check) viewAnswer(requirement string, r Router, a *Answer, well string) {
	switch {
	case a == nil:
		c.add(Warn, requirement, r.Host, answerFirst, "unknown: what comes before it failed")
	case a.Code == codeUserNotFound:
		c.add(Fail, requirement, r.Host, c.createUser(r.User), "there is no user %q in $external", r.User)
	case a.Err != "":
		c.add(Fail, requirement, r.Host, "kubectl aporeto deploy --all-zones repairs users and their roles; else look at the router's log", "%s", a.Err)
	case well != "":
		c.add(OK, requirement, r.Host, "", "%s", well)
	default:
		c.add(OK, requirement, r.Host, "", "%s", millis(a.Took))
	}
}

// Unknown is the cell of what was not learnt.
const Unknown = "?"

// Cell is a finding in one word or two, for a table with a column for every zone.
func (f Finding) Cell() string {
	switch {
	case strings.HasPrefix(f.Reason, "unknown"):
		return Unknown
	case f.Level == OK:
		return f.Reason
	}
	return strings.ToUpper(string(f.Level))
}
