package bootstrap

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/hint"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongo"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongocheck"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/pki"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/zone"
)

// shardZones are the zones that the platform's services place their data by, and the shards that belong to them.
func shardZones() []struct{ shard, zone string } {
	return []struct{ shard, zone string }{{"data", "z0"}, {"reports", "z1"}}
}

// Want is what an environment wants of its database.
type Want struct {
	Environment string
	Zones       []zone.Zone
	Services    []ServiceUser
	// Prune drops the users that the environment recorded and does not want any more.
	Prune bool
	// Adopt are the ids of environments that no longer exist, whose users become this one's.
	Adopt []string
}

// Plan is what a bootstrap would do, and what it cannot do anything about.
type Plan struct {
	Steps    []Step
	Findings []Finding
}

// Finding is something that is not as the platform needs it, and that a person must judge.
type Finding struct {
	Text string `json:"text"`
	Hint string `json:"hint,omitempty"`
	// Note marks a finding that is worth knowing and keeps nothing from working.
	Note bool `json:"note,omitempty"`
}

// Writes returns the steps that change the database.
func (p Plan) Writes() []Step {
	return slices.DeleteFunc(slices.Clone(p.Steps), func(s Step) bool { return !s.Writes() })
}

// Of returns the steps with one of the actions.
func (p Plan) Of(actions ...Action) []Step {
	return slices.DeleteFunc(slices.Clone(p.Steps), func(s Step) bool { return !slices.Contains(actions, s.Action) })
}

// decide compares. An error names every user that is another environment's.
func (w Want) decide(have mongo.Inventory) (Plan, error) {
	if err := w.members(have.Member); err != nil {
		return Plan{}, err
	}
	var p Plan
	p.roles(have.Roles)
	if err := w.users(&p, have.Users); err != nil {
		return Plan{}, err
	}
	p.shardZones(have)
	if !have.Lease {
		p.Steps = append(p.Steps, Step{Action: Create, Kind: LeaseKind, Name: w.Environment})
	}
	for _, z := range w.Zones {
		if key := zone.Key(z.Name); !slices.Contains(have.Zones, key) {
			p.Steps = append(p.Steps, Step{Action: Create, Kind: ZoneRecordKind, Name: key})
		}
	}
	return p, nil
}

// members refuses users that the cluster would take for its own members.
func (w Want) members(member string) error {
	var taken []string
	for _, u := range slices.Concat([]mongo.User{AdminUser()}, agentUsers(w.Zones), serviceUsers(w.Services)) {
		if mongocheck.TakenForMember(u.Name, member) {
			taken = append(taken, u.Name)
		}
	}
	if taken == nil {
		return nil
	}
	return memberError(strings.Join(taken, "; "), member)
}

func memberError(users, member string) error {
	return hint.New(fmt.Sprintf("the routers' certificate %s has the same O, OU and DC as %s: MongoDB would take such a client for a member of the cluster, with every right",
		member, users), mongocheck.MemberHint)
}

func (p *Plan) roles(have []mongo.CustomRole) {
	for _, want := range agentRoles() {
		step := Step{Action: Create, Kind: RoleKind, Name: want.Name + "@" + mongo.Database, Detail: privilegeText(want), role: want}
		if n := slices.IndexFunc(have, func(r mongo.CustomRole) bool { return r.Name == want.Name }); n >= 0 {
			if samePrivileges(have[n], want) {
				continue
			}
			step.Action = Update
		}
		p.Steps = append(p.Steps, step)
	}
}

func (w Want) users(p *Plan, have []mongo.User) error {
	asRead, byName, adopted := map[string]mongo.User{}, map[string]mongo.User{}, map[string]bool{}
	for _, u := range have {
		asRead[u.Name], byName[u.Name] = u, u
		if kept := w.withoutAdopted(u.Environments); len(kept) < len(u.Environments) {
			u.Environments = kept
			byName[u.Name], adopted[u.Name] = u, true
		}
	}
	var conflicts []error
	wanted := map[string]bool{}
	for _, want := range slices.Concat(agentUsers(w.Zones), serviceUsers(w.Services)) {
		wanted[want.Name] = true
		found, exists := byName[want.Name]
		step, err := w.user(found, exists, want)
		if err != nil {
			conflicts = append(conflicts, err)
		}
		if others := w.others(found); err == nil && len(others) > 0 && !isAgent(want) {
			p.Findings = append(p.Findings, Finding{Note: true,
				Text: fmt.Sprintf("user %s is environment %s's too: both use the same database", want.Name, strings.Join(others, ", "))})
		}
		if step != nil {
			p.Steps = append(p.Steps, *step)
		}
	}
	for _, id := range w.Adopt {
		if !slices.ContainsFunc(have, func(u mongo.User) bool { return slices.Contains(u.Environments, id) }) {
			p.Findings = append(p.Findings, Finding{Note: true, Text: "no user is recorded as environment " + id + "'s: there is none to adopt"})
		}
	}
	if len(conflicts) > 0 {
		return hint.Wrap(errors.Join(conflicts...),
			"give the service another name here; or, where that environment no longer exists: kubectl aporeto mongo bootstrap --adopt ID")
	}
	for _, u := range have {
		if u = byName[u.Name]; !wanted[u.Name] && (adopted[u.Name] || slices.Contains(u.Environments, w.Environment)) {
			p.Steps = append(p.Steps, w.gone(u, adopted[u.Name]))
		}
	}
	for i := range p.Steps {
		if p.Steps[i].Kind == UserKind {
			p.Steps[i].found = asRead[p.Steps[i].Name]
		}
	}
	return nil
}

// user returns the step that makes found what want says, nil where it is so.
func (w Want) user(found mongo.User, exists bool, want mongo.User) (*Step, error) {
	want.Environments = []string{w.Environment}
	step := Step{Action: Create, Kind: UserKind, Name: want.Name, Detail: rolesDiff(nil, want.Roles), user: want}
	if !exists {
		return &step, nil
	}
	step.Detail = rolesDiff(found.Roles, want.Roles)
	if others := w.others(found); len(others) > 0 && step.Detail != "" {
		return nil, fmt.Errorf("user %s belongs to environment %s, which gave it other roles (%s)", want.Name, strings.Join(others, ", "), step.Detail)
	}
	step.user = found
	step.user.Roles = want.Roles
	recorded := slices.Contains(found.Environments, w.Environment)
	if !recorded {
		step.user.Environments = append(slices.Clone(found.Environments), w.Environment)
	}
	switch {
	case step.Detail != "":
		step.Action = Update
	case !recorded:
		step.Action = Record
	default:
		return nil, nil
	}
	return &step, nil
}

// gone returns what becomes of a user that the environment recorded, or adopted, and does not want any more.
func (w Want) gone(u mongo.User, adopted bool) Step {
	step := Step{Action: Leave, Kind: UserKind, Name: u.Name, Detail: "the environment has no use for it any more", user: u}
	others := w.others(u)
	switch {
	case w.Prune && len(others) > 0:
		step.Action, step.Detail, step.user.Environments = Release, "it is environment "+strings.Join(others, ", ")+"'s too", others
	case w.Prune:
		step.Action, step.Detail = Drop, rolesDiff(u.Roles, nil)
	case adopted:
		step.Action, step.user.Environments = Record, append(others, w.Environment)
	}
	return step
}

// withoutAdopted takes the environments out of ids whose users this one adopts.
func (w Want) withoutAdopted(ids []string) []string {
	return slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return slices.Contains(w.Adopt, id) })
}

// others are the environments besides this one that recorded u.
func (w Want) others(u mongo.User) []string {
	return slices.DeleteFunc(slices.Clone(u.Environments), func(id string) bool { return id == w.Environment })
}

// isAgent tells the users of gateways and jobs, which may be several environments': what they may write carries the environment's id.
func isAgent(u mongo.User) bool {
	return len(u.Roles) == 1 && u.Roles[0].DB == mongo.Database
}

func (p *Plan) shardZones(have mongo.Inventory) {
	for _, want := range shardZones() {
		n := slices.IndexFunc(have.Shards, func(s mongo.Shard) bool { return s.Name == want.shard })
		switch {
		case n < 0:
			p.Findings = append(p.Findings, Finding{
				Text: fmt.Sprintf("no shard is named %s: shard zone %s cannot be made", want.shard, want.zone),
				Hint: "the platform needs two shards, named data and reports; kubectl aporeto mongo status shows those that there are",
			})
		case !slices.Contains(have.Shards[n].Zones, want.zone):
			p.Steps = append(p.Steps, Step{Action: Create, Kind: ShardZoneKind, Name: want.zone, Detail: "shard " + want.shard, shard: want.shard})
		}
		for _, s := range have.Shards {
			if s.Name != want.shard && slices.Contains(s.Zones, want.zone) {
				p.Findings = append(p.Findings, Finding{
					Text: fmt.Sprintf("shard %s is in zone %s too, which belongs to shard %s", s.Name, want.zone, want.shard),
					Hint: fmt.Sprintf("sh.removeShardFromZone('%s','%s') in: kubectl aporeto mongo shell", s.Name, want.zone),
				})
			}
		}
		if have.Ranges[want.zone] == 0 {
			p.Findings = append(p.Findings, Finding{Note: true,
				Text: fmt.Sprintf("shard zone %s has no key range: it has no effect until a service that shards its collections makes one", want.zone)})
		}
	}
}

// AdminUser is the user that administers the database: the subject of the environment's admin certificate, with every right.
func AdminUser() mongo.User {
	return mongo.User{Name: pki.AdminSubject().String(), Roles: []mongo.Role{{Role: "root", DB: "admin"}}}
}

// AdminCommand is what creates AdminUser in a shell on a router.
func AdminCommand() string {
	u := AdminUser()
	return fmt.Sprintf("db.getSiblingDB('%s').runCommand({ createUser: '%s', roles: [ { role: '%s', db: '%s' } ] });",
		mongo.External, u.Name, u.Roles[0].Role, u.Roles[0].DB)
}
