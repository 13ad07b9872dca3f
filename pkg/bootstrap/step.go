package bootstrap

import (
	"slices"
	"strings"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongo"
)

// Action is what a step does.
type Action string

// What becomes of a thing in the database.
const (
	Create  Action = "create"
	Update  Action = "update"
	Record  Action = "record"  // it is right, and is recorded as this environment's too
	Drop    Action = "drop"    // it is gone from the environment, and nobody else's
	Release Action = "release" // it is gone from the environment, and stays for the others that recorded it
	Leave   Action = "leave"   // it is gone from the environment, and stays until it is pruned: nothing is written
)

// Kind is the kind of thing that a step is about.
type Kind string

// The things that a bootstrap makes.
const (
	UserKind       Kind = "user"
	RoleKind       Kind = "role"
	ShardZoneKind  Kind = "shard zone"
	LeaseKind      Kind = "lease"
	ZoneRecordKind Kind = "zone record"
)

// Step is one difference between the database and what the environment wants of it.
type Step struct {
	Action Action `json:"action"`
	Kind   Kind   `json:"kind"`
	Name   string `json:"name"`
	Detail string `json:"detail,omitempty"` // roles as +role@db and -role@db, or a word of explanation

	user  mongo.User // as it shall be
	found mongo.User // as it was read, where there was one
	role  mongo.CustomRole
	shard string
}

// Writes tells whether the step changes the database.
func (s Step) Writes() bool { return s.Action != Leave }

// String is one line for a person.
func (s Step) String() string {
	line := string(s.Action) + " " + string(s.Kind) + " " + s.Name
	if s.Detail != "" {
		line += " (" + s.Detail + ")"
	}
	return line
}

// Done is String for a step that was made.
func (s Step) Done() string {
	past := map[Action]string{Create: "created", Update: "updated", Record: "recorded", Drop: "dropped", Release: "released", Leave: "left"}
	line := string(s.Kind) + " " + s.Name + " " + past[s.Action]
	if s.Detail != "" {
		line += " (" + s.Detail + ")"
	}
	return line
}

// rolesDiff writes what becomes of have as +role@db for those that come and -role@db for those that go.
func rolesDiff(have, want []mongo.Role) string {
	var parts []string
	for _, r := range want {
		if !slices.Contains(have, r) {
			parts = append(parts, "+"+r.String())
		}
	}
	for _, r := range have {
		if !slices.Contains(want, r) {
			parts = append(parts, "-"+r.String())
		}
	}
	return strings.Join(parts, " ")
}

// samePrivileges compares without regard to order.
func samePrivileges(have, want mongo.CustomRole) bool {
	return len(have.Inherits) == len(want.Inherits) && privilegeText(have) == privilegeText(want)
}

func privilegeText(r mongo.CustomRole) string {
	list := make([]string, len(r.Privileges))
	for i, p := range r.Privileges {
		list[i] = p.Collection + ":" + strings.Join(slices.Sorted(slices.Values(p.Actions)), "+")
	}
	slices.Sort(list)
	return strings.Join(list, " ")
}
