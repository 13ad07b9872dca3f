// Package bootstrap brings what all zones share into being: the environment's certificates, the MongoDB users and the documents of
// failover. Every step compares first and writes only what differs, so it can be killed anywhere and run again.
package bootstrap

import (
	"context"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/lease"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongo"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/pki"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/zone"
)

// Names of the roles, on the collections of aporeto_ha alone, that the agents' users have.
const (
	gatewayRole     = "aporetoGateway"
	maintenanceRole = "aporetoMaintenance"
)

// Database is what bootstrap needs of MongoDB; *mongo.Client is it. Each call returns a line for every change it made.
type Database interface {
	EnsureRoles(ctx context.Context, roles []mongo.CustomRole) ([]string, error)
	EnsureUsers(ctx context.Context, users []mongo.User) ([]string, error)
	EnsureLease(ctx context.Context, environment string, term lease.Term) (bool, error)
}

// ServiceUser is one service's user: the database it owns and the roles it has besides.
type ServiceUser struct {
	Service  string
	Database string // "" means the service's own name
	Roles    []mongo.Role
}

// EnsureDatabase makes the users of the services and of every zone's agents, their roles, and the environment's lease document. It
// returns a line for each change, none when all was right.
func EnsureDatabase(ctx context.Context, db Database, environment string, zones []zone.Zone, services []ServiceUser) ([]string, error) {
	changes, err := db.EnsureRoles(ctx, agentRoles())
	if err != nil {
		return changes, err
	}
	users, err := db.EnsureUsers(ctx, append(agentUsers(zones), serviceUsers(services)...))
	changes = append(changes, users...)
	if err != nil {
		return changes, err
	}
	made, err := db.EnsureLease(ctx, environment, lease.DefaultTerm())
	if made {
		changes = append(changes, "lease of environment "+environment+" created")
	}
	return changes, err
}

func agentRoles() []mongo.CustomRole {
	return []mongo.CustomRole{
		{Name: gatewayRole, Privileges: []mongo.Privilege{
			{Collection: "journal", Actions: []string{"find", "insert"}},
			{Collection: "lease", Actions: []string{"find", "update"}},
			{Collection: "zones", Actions: []string{"find", "insert", "update"}},
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
		users = append(users, agentUser("gateway-", z, gatewayRole), agentUser("maintenance-", z, maintenanceRole))
	}
	return users
}

func agentUser(prefix string, z zone.Zone, role string) mongo.User {
	return mongo.User{
		Name:  pki.ServiceSubject(prefix + zone.Key(z.Name)).String(),
		Roles: []mongo.Role{{Role: role, DB: mongo.Database}},
	}
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
