package bootstrap

import (
	"slices"
	"strings"
	"testing"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/hint"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongo"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/zone"
)

const squall = "CN=squall,OU=root,O=system"

func squallRoles(more ...mongo.Role) []mongo.Role {
	return append([]mongo.Role{{Role: "read", DB: "shared_zoning"}, {Role: "readWrite", DB: "squall"}}, more...)
}

// done is an inventory in which everything that squall's environment "me" wants is so.
func done() mongo.Inventory {
	return mongo.Inventory{
		Users:  []mongo.User{{Name: squall, Roles: squallRoles(), Environments: []string{"me"}}},
		Roles:  agentRoles(),
		Shards: []mongo.Shard{{Name: "data", Zones: []string{"z0"}}, {Name: "reports", Zones: []string{"other", "z1"}}},
		Ranges: map[string]int{"z0": 1, "z1": 2},
		Lease:  true,
	}
}

func TestDecide(t *testing.T) {
	me := Want{Environment: "me", Services: []ServiceUser{{Service: "squall"}}}
	prune := me
	prune.Prune = true
	noService := Want{Environment: "me"}
	adopt := Want{Environment: "me", Services: me.Services, Adopt: []string{"old"}}
	user := func(name string, roles []mongo.Role, environments ...string) mongo.User {
		return mongo.User{Name: name, Roles: roles, Environments: environments}
	}
	for _, tc := range []struct {
		name     string
		want     Want
		change   func(*mongo.Inventory)
		steps    string // one line each
		findings string
		refused  string
	}{
		{name: "all is right", want: me},
		{name: "nothing is there", want: Want{Environment: "me", Zones: []zone.Zone{{Name: "West"}}}, change: func(i *mongo.Inventory) {
			*i = mongo.Inventory{Shards: []mongo.Shard{{Name: "data"}, {Name: "reports"}}}
		},
			steps: "create role aporetoGateway@aporeto_ha (journal:find+insert lease:find+update zones:find)\n" +
				"create role aporetoMaintenance@aporeto_ha (journal:find+insert lease:find zones:find+insert+update)\n" +
				"create user CN=gateway-west,OU=root,O=system (+aporetoGateway@aporeto_ha)\n" +
				"create user CN=maintenance-west,OU=root,O=system (+aporetoMaintenance@aporeto_ha)\n" +
				"create shard zone z0 (shard data)\ncreate shard zone z1 (shard reports)\ncreate lease me\ncreate zone record west",
			findings: "note: shard zone z0 has no key range: it has no effect until a service that shards its collections makes one\n" +
				"note: shard zone z1 has no key range: it has no effect until a service that shards its collections makes one"},
		{name: "order and repetition of roles do not matter", want: me, change: func(i *mongo.Inventory) {
			i.Users[0].Roles = append([]mongo.Role{{Role: "readWrite", DB: "squall"}, {Role: "readWrite", DB: "squall"}}, i.Users[0].Roles[0])
		}},
		{name: "roles differ", want: me, change: func(i *mongo.Inventory) { i.Users[0].Roles = []mongo.Role{{Role: "root", DB: "admin"}} },
			steps: "update user " + squall + " (+read@shared_zoning +readWrite@squall -root@admin)"},
		{name: "made by hand, right", want: me, change: func(i *mongo.Inventory) { i.Users[0].Environments = nil }, steps: "record user " + squall},
		{name: "made by hand, wrong", want: me, change: func(i *mongo.Inventory) { i.Users[0] = user(squall, nil) },
			steps: "update user " + squall + " (+read@shared_zoning +readWrite@squall)"},
		{name: "another environment's, the same", want: me, change: func(i *mongo.Inventory) { i.Users[0].Environments = []string{"other"} },
			steps: "record user " + squall, findings: "note: user " + squall + " is environment other's too: both use the same database"},
		{name: "another environment's, different", want: me, change: func(i *mongo.Inventory) { i.Users[0] = user(squall, nil, "other") },
			refused: "user " + squall + " belongs to environment other, which gave it other roles (+read@shared_zoning +readWrite@squall)"},
		{name: "shared, different now", want: me, change: func(i *mongo.Inventory) { i.Users[0] = user(squall, nil, "me", "other") },
			refused: "belongs to environment other"},
		{name: "an environment that is gone, different", want: adopt, change: func(i *mongo.Inventory) { i.Users[0] = user(squall, nil, "old") },
			steps: "update user " + squall + " (+read@shared_zoning +readWrite@squall)"},
		{name: "a gone environment's user that nothing needs", want: adopt, change: func(i *mongo.Inventory) { i.Users = append(i.Users, user("CN=x", nil, "old")) },
			steps: "record user CN=x (the environment has no use for it any more)"},
		{name: "gone, not pruned", want: noService, steps: "leave user " + squall + " (the environment has no use for it any more)"},
		{name: "gone, pruned", want: prune, change: func(i *mongo.Inventory) {
			i.Users = append(i.Users, user("CN=zack", []mongo.Role{{Role: "read", DB: "zack"}}, "me"), user("CN=cid", nil, "other"), user("CN=byhand", nil))
		}, steps: "drop user CN=zack (-read@zack)"},
		{name: "gone, shared, pruned", want: prune, change: func(i *mongo.Inventory) { i.Users = append(i.Users, user("CN=zack", nil, "me", "other")) },
			steps: "release user CN=zack (it is environment other's too)"},
		{name: "a role says something else", want: me, change: func(i *mongo.Inventory) { i.Roles = slices.Clone(i.Roles); i.Roles[0].Privileges = nil },
			steps: "update role aporetoGateway@aporeto_ha (journal:find+insert lease:find+update zones:find)"},
		{name: "a role inherits", want: me, change: func(i *mongo.Inventory) {
			i.Roles = slices.Clone(i.Roles)
			i.Roles[1].Inherits = []mongo.Role{{Role: "root", DB: "admin"}}
		}, steps: "update role aporetoMaintenance@aporeto_ha (journal:find+insert lease:find zones:find+insert+update)"},
		{name: "no shard of that name", want: me, change: func(i *mongo.Inventory) { i.Shards = i.Shards[:1] }, findings: "no shard is named reports: shard zone z1 cannot be made"},
		{name: "a zone on two shards", want: me, change: func(i *mongo.Inventory) { i.Shards[1].Zones = []string{"z0", "z1"} },
			findings: "shard reports is in zone z0 too, which belongs to shard data"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			have := done()
			if tc.change != nil {
				tc.change(&have)
			}
			p, err := tc.want.decide(have)
			if tc.refused != "" {
				if err == nil || !strings.Contains(err.Error(), tc.refused) || !strings.Contains(hint.Of(err), "--adopt") || p.Steps != nil {
					t.Errorf("%v (hint %q), steps %v; want %q and nothing done", err, hint.Of(err), p.Steps, tc.refused)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var steps, findings []string
			for _, s := range p.Steps {
				steps = append(steps, s.String())
			}
			for _, f := range p.Findings {
				if f.Note {
					f.Text = "note: " + f.Text
				}
				findings = append(findings, f.Text)
			}
			if got := strings.Join(steps, "\n"); got != tc.steps {
				t.Errorf("steps\n%s\nwant\n%s", got, tc.steps)
			}
			if got := strings.Join(findings, "\n"); got != tc.findings {
				t.Errorf("findings\n%s\nwant\n%s", got, tc.findings)
			}
		})
	}
}

func TestAgentsOfTwoEnvironmentsAreNoFinding(t *testing.T) {
	want := Want{Environment: "me", Zones: []zone.Zone{{Name: "default"}}}
	have := done()
	have.Users = agentUsers(want.Zones)
	for i := range have.Users {
		have.Users[i].Environments = []string{"other"}
	}
	have.Zones = []string{"default"}
	p, err := want.decide(have)
	if err != nil || len(p.Findings) > 0 || len(p.Of(Record)) != 2 || len(p.Steps) != 2 {
		t.Errorf("%v, %v, %v; want both recorded", p.Steps, p.Findings, err)
	}
}
