// Package bootstrap brings what all zones share into being: the environment's certificates, the MongoDB users and the documents of
// failover. Every step compares first and writes only what differs, so it can be killed anywhere and run again.
package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"time"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/hint"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/lease"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongo"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongocheck"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/pki"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/zone"
)

// Names of the roles, on the collections of aporeto_ha alone, that the agents' users have.
const (
	gatewayRole     = "aporetoGateway"
	maintenanceRole = "aporetoMaintenance"
)

// ServiceUser is one service's user: the database it owns and the roles it has besides.
type ServiceUser struct {
	Service  string
	Database string // "" means the service's own name
	Roles    []mongo.Role
}

// Survey tells what EnsureDatabase would do, without a write.
func Survey(ctx context.Context, db *mongo.Client, want Want) (Plan, error) {
	have, err := db.Inventory(ctx, want.Environment)
	if err != nil {
		if trap := want.members(db.Member()); trap != nil { // which is why we were not let in, perhaps
			return Plan{}, trap
		}
		return Plan{}, err
	}
	return want.decide(have)
}

// rounds bounds how often what was written is looked at again. Bootstraps of the same environment settle within two, those of several
// environments that share users and begin in the same moment within a few; only one that wants something else can go on for ever.
const rounds = 12

// EnsureDatabase makes the users of the services and of every zone's agents, their roles, the shard zones, and the environment's
// documents. It looks, writes what differs, and looks again, until nothing does: so it may be killed anywhere and run again, and two at
// once end in one state. before, when not nil, is shown every plan that writes something and may refuse it. done are the steps that were
// made, also beside an error; the plan is the last one, with what is left and what was found. A user with a role that does not exist is an
// error that keeps nothing else from being made.
func EnsureDatabase(ctx context.Context, db *mongo.Client, want Want, before func(Plan) error) (done []Step, last Plan, err error) {
	for round := range rounds {
		if err := stepAside(ctx, round); err != nil {
			return done, last, err
		}
		if last, err = Survey(ctx, db, want); err != nil || len(last.Writes()) == 0 {
			return done, last, err
		}
		if before != nil {
			if err := before(last); err != nil {
				return done, last, err
			}
		}
		var wrong []error
		for _, step := range last.Writes() {
			made, err := step.make(ctx, db, want.Environment)
			switch {
			case mongo.NoRole(err):
				wrong = append(wrong, err)
			case err != nil:
				return done, last, err
			case made:
				done = append(done, step)
			}
		}
		if wrong != nil {
			return done, last, hint.Wrap(errors.Join(wrong...), "correct the roles of that service, or create the role: kubectl aporeto value get services")
		}
	}
	return done, last, hint.New(fmt.Sprintf("after %d rounds %s is still to be done: somebody changes it back", rounds, last.Writes()[0]),
		"another plugin with other values bootstraps the same environment: let it end, then repeat")
}

// stepAside waits from the third round on, ever longer and nobody knows how long: bootstraps that meet in one rhythm must lose it.
func stepAside(ctx context.Context, round int) error {
	if round < 2 {
		return nil
	}
	most := min(25*time.Millisecond<<round, 2*time.Second)
	timer := time.NewTimer(rand.N(most)) //nolint:gosec // a guess is no secret
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// recordTime bounds the write of one zone's record.
const recordTime = 10 * time.Second

// make does what the step says. made is false where somebody else was faster: the next look tells whether it is right so.
func (s Step) make(ctx context.Context, db *mongo.Client, environment string) (made bool, err error) {
	switch {
	case s.Kind == UserKind && s.Action == Create:
		return db.CreateUser(ctx, s.user)
	case s.Kind == UserKind:
		return s.change(ctx, db)
	case s.Kind == RoleKind && s.Action == Create:
		return db.CreateRole(ctx, s.role)
	case s.Kind == RoleKind:
		return true, db.UpdateRole(ctx, s.role)
	case s.Kind == ShardZoneKind:
		return true, db.AddShardToZone(ctx, s.shard, s.Name)
	case s.Kind == LeaseKind:
		return db.EnsureLease(ctx, environment, lease.DefaultTerm())
	case s.Kind == ZoneRecordKind:
		_, err := db.IntentStore(environment, s.Name, recordTime).Intent(ctx)
		return err == nil, err
	}
	return false, fmt.Errorf("unknown step %q", s)
}

// change updates or drops a user, if it still is as it was read: no command of MongoDB compares a user before it writes, and another
// environment may have recorded it as its own meanwhile.
func (s Step) change(ctx context.Context, db *mongo.Client) (made bool, err error) {
	now, exists, err := db.User(ctx, s.Name)
	if err != nil || !exists || !reflect.DeepEqual(now, s.found) {
		return false, err
	}
	if s.Action == Drop {
		return db.DropUser(ctx, s.Name)
	}
	return db.UpdateUser(ctx, s.user)
}

// EnsureAdmin makes the environment's administrator, through a connection that may. made is false where it was there. Where its roles
// may be changed it has root@admin afterwards; the localhost exception lets nobody do that to a user that exists.
func EnsureAdmin(ctx context.Context, db *mongo.Client) (made bool, err error) {
	admin := AdminUser()
	if member := db.Member(); mongocheck.TakenForMember(admin.Name, member) {
		return false, memberError(admin.Name, member)
	}
	if made, err = db.CreateUser(ctx, admin); made || err != nil {
		return made, err
	}
	if err := db.Grant(ctx, admin.Name, admin.Roles[0]); err != nil && !mongo.Unauthorized(err) {
		return false, err
	}
	return false, nil
}

func agentRoles() []mongo.CustomRole {
	return []mongo.CustomRole{
		{Name: gatewayRole, Privileges: []mongo.Privilege{
			{Collection: "journal", Actions: []string{"find", "insert"}},
			{Collection: "lease", Actions: []string{"find", "update"}},
			{Collection: "zones", Actions: []string{"find"}}, // intents are the job's: docs/adr/gateway-health-is-asked.md
		}},
		{Name: maintenanceRole, Privileges: []mongo.Privilege{
			{Collection: "journal", Actions: []string{"find", "insert"}},
			{Collection: "lease", Actions: []string{"find"}},
			{Collection: "zones", Actions: []string{"find", "insert", "update"}},
		}},
	}
}

func agentUsers(zones []zone.Zone) []mongo.User {
	var users []mongo.User
	for _, z := range zones {
		users = append(users, agentUser(pki.GatewayName(z.Name), gatewayRole), agentUser(pki.MaintenanceName(z.Name), maintenanceRole))
	}
	return users
}

func agentUser(name, role string) mongo.User {
	return mongo.User{Name: pki.ServiceSubject(name).String(), Roles: []mongo.Role{{Role: role, DB: mongo.Database}}}
}

func serviceUsers(services []ServiceUser) []mongo.User {
	users := make([]mongo.User, len(services))
	for i, s := range services {
		database := s.Database
		if database == "" {
			database = s.Service
		}
		roles := append([]mongo.Role{{Role: "read", DB: "shared_zoning"}, {Role: "readWrite", DB: database}}, s.Roles...)
		users[i] = mongo.User{Name: pki.ServiceSubject(s.Service).String(), Roles: roles}
	}
	return users
}
