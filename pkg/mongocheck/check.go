package mongocheck

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Level is how a requirement stands.
type Level string

// The levels.
const (
	OK   Level = "ok"
	Warn Level = "warn" // unknown, or a weakness
	Fail Level = "fail" // known to be broken
)

// Finding is one line of a check.
type Finding struct {
	Zone        string `json:"zone,omitempty"` // whose view it is; "": the workstation's
	Requirement string `json:"requirement"`
	Subject     string `json:"subject,omitempty"` // the router or shard that it is about; "": the cluster
	Level       Level  `json:"level"`
	Reason      string `json:"reason"`
	Hint        string `json:"hint,omitempty"`
}

// The requirements.
const (
	NotAtlas        = "not-atlas"
	RouterAnswers   = "router"
	Mongos          = "mongos"
	ServerVersion   = "version"
	X509Login       = "login"
	OneCluster      = "one-cluster"
	AdminRights     = "admin-rights"
	Membership      = "membership"
	LocalException  = "localhost-exception"
	CertificateLife = "certificates"
	Clocks          = "clocks"
	Shards          = "shards"
	ShardZones      = "shard-zones"
	KeyRanges       = "key-ranges"
	RegionLoss      = "region-loss"
	ElectionTime    = "election-time"
	MajorityWrite   = "majority-write"
	LinearRead      = "linearizable-read"
	ZoneView        = "zone" // only where a zone could not be asked
)

// Params is what the facts are judged against.
type Params struct {
	Now   time.Time
	Zones int    // of the environment
	Admin string // subject of the administrator
	// CreateAdmin is what creates that user in a shell.
	CreateAdmin string
	// Subjects are those of every certificate with which this environment logs in.
	Subjects []string
	// Own are the environment's certificates that MongoDB sees.
	Own []Certificate
	// CustomCA is the subject of the customer's CA that issues the routers' certificates; "" where they are the environment's own.
	CustomCA string
	// Term is how long a lease lasts without a renewal, the shortest of all zones.
	Term time.Duration
}

// Check judges f: at least one finding for every requirement, in a fixed order.
func Check(f Facts, p Params) []Finding {
	c := &check{f: f, p: p}
	c.atlas()
	for _, r := range f.Routers {
		c.router(r)
	}
	c.mongos()
	c.version()
	c.login()
	c.oneCluster()
	c.adminRights()
	c.membership()
	c.localException()
	c.certificates()
	c.clocks()
	c.shards()
	c.shardZones()
	c.keyRanges()
	c.regionLoss()
	c.election()
	c.trials()
	return c.out
}

// Worst is the gravest level of findings; OK where there are none.
func Worst(findings []Finding) Level {
	worst := OK
	for _, f := range findings {
		if f.Level == Fail || f.Level == Warn && worst == OK {
			worst = f.Level
		}
	}
	return worst
}

// check collects the findings of one call.
type check struct {
	f    Facts
	p    Params
	zone string
	out  []Finding
}

func (c *check) add(level Level, requirement, subject, hint, format string, args ...any) {
	hint = c.p.issuer(hint)
	if level == OK {
		hint = ""
	}
	c.out = append(c.out, Finding{Zone: c.zone, Requirement: requirement, Subject: subject, Level: level, Reason: fmt.Sprintf(format, args...), Hint: hint})
}

func (c *check) ok(requirement, format string, args ...any) {
	c.add(OK, requirement, "", "", format, args...)
}

// unknown is the finding of what was not learnt.
func (c *check) unknown(requirement, hint, format string, args ...any) {
	c.add(Warn, requirement, "", hint, "unknown: "+format, args...)
}

const (
	noRouter    = "no router could be asked"
	noRouterIn  = "no router let the administrator in"
	answerFirst = "make a router answer first: the lines above say how"
	enterFirst  = "get the administrator in first: the lines router and login say how"
)

// greeted are the routers that answered.
func (c *check) greeted() []Router {
	return slices.DeleteFunc(slices.Clone(c.f.Routers), func(r Router) bool { return r.Greeting == nil })
}

// entered are the routers that let us in.
func (c *check) entered() []Router {
	return slices.DeleteFunc(slices.Clone(c.f.Routers), func(r Router) bool { return r.Login == nil || r.Login.Err != "" })
}

// each adds one line for all routers where all are well, else one for each trouble, naming the routers that have it. judge returns the
// level, reason and hint of one router.
func (c *check) each(requirement string, routers []Router, well string, judge func(Router) (Level, string, string)) {
	if len(routers) == 0 {
		c.unknown(requirement, answerFirst, noRouter)
		return
	}
	count := len(c.out)
	for _, r := range routers {
		level, reason, hint := judge(r)
		if level == OK {
			continue
		}
		same := func(f Finding) bool { return f.Level == level && f.Reason == reason && f.Hint == hint }
		if i := slices.IndexFunc(c.out[count:], same); i >= 0 {
			c.out[count+i].Subject += ", " + r.Host
			continue
		}
		c.add(level, requirement, r.Host, hint, "%s", reason)
	}
	if len(c.out) == count {
		c.ok(requirement, "%s", well)
	}
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// millis writes a short time for a person.
func millis(d time.Duration) string {
	switch {
	case d >= 10*time.Second:
		return d.Round(time.Second).String()
	case d >= 100*time.Millisecond:
		return d.Round(time.Millisecond).String()
	}
	return d.Round(10 * time.Microsecond).String()
}

// unique keeps the first of each value.
func unique(list []string) []string {
	var out []string
	for _, v := range list {
		if !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	return out
}

func list(names []string) string { return strings.Join(unique(names), ", ") }
