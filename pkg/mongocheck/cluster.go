package mongocheck

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// wanted are the shards that must be there and the zone that each must be in.
var wanted = []struct{ shard, zone string }{{"data", "z0"}, {"reports", "z1"}} //nolint:gochecknoglobals // a table

// usualElection is MongoDB's own electionTimeoutMillis.
const usualElection = 10 * time.Second

// cluster returns what one router told, or says that nothing was.
func (c *check) cluster(requirement string) *Cluster {
	if c.f.Cluster == nil {
		c.unknown(requirement, enterFirst, noRouterIn)
	}
	return c.f.Cluster
}

// readAgain is what ends a reading's failure, for want of a right or for another reason.
func readAgain(err string) string {
	if strings.Contains(err, "not authorized") {
		return "the administrator needs the role root@admin: the line " + AdminRights + " says how"
	}
	return "look at the shards' primaries, then check again: kubectl aporeto mongo status"
}

func (c *check) shards() {
	cluster := c.cluster(Shards)
	switch {
	case cluster == nil:
		return
	case cluster.ShardsErr != "":
		c.unknown(Shards, readAgain(cluster.ShardsErr), "%s", cluster.ShardsErr)
		return
	}
	names := make([]string, len(cluster.Shards))
	for i, s := range cluster.Shards {
		names[i] = s.Name
	}
	count := len(c.out)
	for _, w := range wanted {
		if !slices.Contains(names, w.shard) {
			c.add(Fail, Shards, w.shard, fmt.Sprintf("in a mongo shell: db.adminCommand({addShard: 'SET/HOST:27018', name: '%s'})", w.shard),
				"there is no shard named %q; the shards are: %s", w.shard, orNone(names))
		}
	}
	if len(c.out) == count { // so they are two at least
		c.ok(Shards, "%d: %s", len(names), list(names))
	}
}

func (c *check) shardZones() {
	cluster := c.cluster(ShardZones)
	if cluster == nil {
		return
	}
	if cluster.ShardsErr != "" {
		c.unknown(ShardZones, readAgain(cluster.ShardsErr), "%s", cluster.ShardsErr)
		return
	}
	count := len(c.out)
	var well []string
	for _, w := range wanted {
		i := slices.IndexFunc(cluster.Shards, func(s Shard) bool { return s.Name == w.shard })
		if i >= 0 && slices.Contains(cluster.Shards[i].Zones, w.zone) {
			well = append(well, w.zone+" on "+w.shard)
			continue
		}
		c.add(Fail, ShardZones, w.shard, fmt.Sprintf("kubectl aporeto mongo bootstrap; or in a mongo shell: sh.addShardToZone('%s', '%s')", w.shard, w.zone),
			"the shard %q is not in the zone %q", w.shard, w.zone)
	}
	if len(c.out) == count {
		c.ok(ShardZones, "%s", list(well))
	}
}

func (c *check) keyRanges() {
	cluster := c.cluster(KeyRanges)
	if cluster == nil {
		return
	}
	if cluster.RangesErr != "" {
		c.unknown(KeyRanges, readAgain(cluster.RangesErr), "%s", cluster.RangesErr)
		return
	}
	var without, well []string
	for _, w := range wanted {
		if n := cluster.Ranges[w.zone]; n == 0 {
			without = append(without, w.zone)
		} else {
			well = append(well, plural(n, "range", "ranges")+" in "+w.zone)
		}
	}
	if len(without) > 0 {
		c.add(Warn, KeyRanges, "", "it is well before the first deploy: services shard their collections themselves; later, look in a mongo shell: db.getSiblingDB('config').tags.find()",
			"no collection's key range is in the zone %s: a zone without ranges has no effect", strings.Join(without, ", nor in "))
		return
	}
	c.ok(KeyRanges, "%s", list(well))
}

// regionLoss asks whether every shard still has a majority when one region is gone.
func (c *check) regionLoss() {
	if c.p.Zones < 2 {
		c.ok(RegionLoss, "the environment has one zone: there is no other region to go on in")
		return
	}
	cluster := c.cluster(RegionLoss)
	if cluster == nil {
		return
	}
	if cluster.ShardsErr != "" {
		c.unknown(RegionLoss, readAgain(cluster.ShardsErr), "%s", cluster.ShardsErr)
		return
	}
	count := len(c.out)
	caveats := ""
	for _, s := range cluster.Shards {
		level, reason := s.survives()
		if s.Caveat != "" {
			caveats = " (" + s.Caveat + ")"
		}
		hint := "rs.conf() on a member shows votes and tags; tag members with their region: rs.conf().members[n].tags.region, then rs.reconfig"
		if level == Fail {
			hint = "spread the voting members over three regions, none with half of the votes; an arbiter may stand in the third: rs.add, rs.addArb"
		}
		if level != OK {
			c.add(level, RegionLoss, s.Name, hint, "%s", reason)
		}
	}
	if len(c.out) == count {
		c.ok(RegionLoss, "in every shard a majority of the voting members is outside of any one region%s", caveats)
	}
}

// survives judges one replica set.
func (s Shard) survives() (Level, string) {
	voters := slices.DeleteFunc(slices.Clone(s.Members), func(m Member) bool { return m.Mute })
	data := slices.DeleteFunc(slices.Clone(voters), func(m Member) bool { return m.Arbiter })
	switch {
	case len(s.Members) == 0:
		return Warn, "unknown: nobody told its members"
	case len(data) == 1:
		return Fail, fmt.Sprintf("%s is its only member with data (told by %s)", data[0].Host, s.Source)
	case s.Complete && len(voters) < 3:
		return Fail, fmt.Sprintf("it has %s: the loss of one ends the majority", plural(len(voters), "voting member", "voting members"))
	}
	key := regionKey(data)
	if key == "" {
		return Warn, fmt.Sprintf("unknown: it has %s, told by %s, but their tags do not tell their regions", plural(len(voters), "member", "members"), s.Source)
	}
	regions := map[string]int{}
	for _, m := range data {
		regions[m.Tags[key]]++
	}
	names := slices.SortedFunc(maps.Keys(regions), func(a, b string) int { return cmp.Or(cmp.Compare(regions[b], regions[a]), cmp.Compare(a, b)) })
	largest, arbiters := regions[names[0]], len(voters)-len(data) // arbiters have no tags: they may be anywhere
	switch share := fmt.Sprintf("%s %s holds %d of %d votes", key, names[0], largest, len(voters)); {
	case !s.Complete && 2*largest >= len(voters):
		return Warn, "unknown: of the members that a router sees, " + share + "; arbiters, which it does not see, may change that"
	case !s.Complete:
		return Warn, "unknown: no region holds half of the members that a router sees; arbiters, which it does not see, may change that"
	case 2*largest >= len(voters):
		return Fail, share + ": its loss ends the majority"
	case 2*(largest+arbiters) >= len(voters):
		return Warn, fmt.Sprintf("unknown: %s, and where %s, without tags, cannot be seen: it must be in no region that has members with data", share, plural(arbiters, "arbiter stands", "arbiters stand"))
	}
	return OK, ""
}

// regionKey is the tag that tells every one of members' regions; "" where none does.
func regionKey(members []Member) string {
	for _, key := range []string{"region", "Region", "dc", "datacenter", "dataCenter", "site", "location", "zone"} {
		if !slices.ContainsFunc(members, func(m Member) bool { return m.Tags[key] == "" }) {
			return key
		}
	}
	return ""
}

func (c *check) election() {
	cluster := c.cluster(ElectionTime)
	if cluster == nil {
		return
	}
	term := millis(c.p.Term)
	const hint = "on a shard's primary: cfg = rs.conf(); cfg.settings.electionTimeoutMillis = 5000; rs.reconfig(cfg); or, for slower and calmer failovers: kubectl aporeto value set gateway.profile calm"
	var longest Shard
	unknown := len(cluster.Shards) == 0
	for _, s := range cluster.Shards {
		unknown = unknown || s.Election == 0
		if s.Election > longest.Election {
			longest = s
		}
	}
	switch {
	case longest.Election >= c.p.Term:
		c.add(Warn, ElectionTime, longest.Name, hint, "its members wait %s before they elect a new primary, the lease lasts %s: the gates are closed for the rest when a primary dies", millis(longest.Election), term)
	case unknown && usualElection >= c.p.Term:
		c.unknown(ElectionTime, hint, "only a shard's member tells electionTimeoutMillis; MongoDB's usual %s is longer than the lease's %s: the gates would be closed for the rest when a primary dies",
			millis(usualElection), term)
	case unknown:
		c.unknown(ElectionTime, "rs.conf().settings.electionTimeoutMillis on a member shows it", "only a shard's member tells electionTimeoutMillis; MongoDB's usual %s is shorter than the lease's %s", millis(usualElection), term)
	default:
		c.ok(ElectionTime, "members elect after %s at most, the lease lasts %s", millis(longest.Election), term)
	}
}

func (c *check) trials() {
	for _, t := range []struct {
		requirement, what, hint string
		of                      func(*Cluster) *Answer
	}{
		{MajorityWrite, "a document in aporeto_ha was acknowledged by a majority", "look at the shards' members: kubectl aporeto mongo status; a majority of each must be up",
			func(c *Cluster) *Answer { return c.Write }},
		{LinearRead, "the document was read back linearizably", "look at the shards' primaries: kubectl aporeto mongo status",
			func(c *Cluster) *Answer { return c.Read }},
	} {
		cluster := c.cluster(t.requirement)
		if cluster == nil {
			continue
		}
		switch answer := t.of(cluster); {
		case answer == nil:
			c.unknown(t.requirement, t.hint, "it was not tried, since what comes before it failed")
		case strings.Contains(answer.Err, "not authorized"):
			c.add(Fail, t.requirement, "", readAgain(answer.Err), "through %s: %s", cluster.Router, answer.Err)
		case answer.Err != "":
			c.add(Fail, t.requirement, "", t.hint, "through %s: %s", cluster.Router, answer.Err)
		default:
			c.ok(t.requirement, "%s, in %s", t.what, millis(answer.Took))
		}
	}
}
