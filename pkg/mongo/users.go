package mongo

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/bson/primitive"
	"go.mongodb.org/mongo-driver/mongo"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/hint"
)

// External is the database that X.509 users belong to.
const External = "$external"

// Role is a role and the database it belongs to.
type Role struct {
	Role string `bson:"role" json:"role"`
	DB   string `bson:"db" json:"db"`
}

// User is an X.509 user: the subject of its certificate in RFC 2253 order, and its roles.
type User struct {
	Name  string `bson:"user"`
	Roles []Role `bson:"roles"`
}

// Privilege allows actions on one collection.
type Privilege struct {
	Collection string
	Actions    []string
}

// CustomRole is a role of Database made of privileges on single collections.
type CustomRole struct {
	Name       string
	Privileges []Privilege
}

// Server error codes, as error_codes.err of MongoDB 4.0 to 8.0 names them.
const (
	codeDuplicateKey = 11000
	codeRoleExists   = 51002 // createRole of a role that exists, 4.2 and newer
	codeUserExists   = 51003 // createUser of a user that exists, 4.2 and newer
)

// EnsureUsers creates the users that are missing and sets the roles of those that differ, and returns one line for each change. Users
// it was not given are left alone. Two callers at once end in the same state.
func (c *Client) EnsureUsers(ctx context.Context, users []User) ([]string, error) {
	have, err := c.users(ctx, users)
	if err != nil {
		return nil, err
	}
	var changes []string
	for _, want := range users {
		roles, exists := have[want.Name]
		if exists && sameRoles(roles, want.Roles) {
			continue
		}
		change, err := c.putUser(ctx, want, exists)
		if err != nil {
			return changes, err
		}
		changes = append(changes, change)
	}
	return changes, nil
}

// users asks for all of the named users in one round trip.
func (c *Client) users(ctx context.Context, named []User) (map[string][]Role, error) {
	ask := make(bson.A, len(named))
	for i, u := range named {
		ask[i] = bson.D{{Key: "user", Value: u.Name}, {Key: "db", Value: External}}
	}
	var reply struct{ Users []User }
	if err := c.run(ctx, External, bson.D{{Key: "usersInfo", Value: ask}}, &reply); err != nil {
		return nil, fmt.Errorf("read MongoDB users: %w", err)
	}
	have := make(map[string][]Role, len(reply.Users))
	for _, u := range reply.Users {
		have[u.Name] = u.Roles
	}
	return have, nil
}

func (c *Client) putUser(ctx context.Context, u User, exists bool) (string, error) {
	command, done := "createUser", "created"
	if exists {
		command, done = "updateUser", "updated"
	}
	err := c.run(ctx, External, bson.D{{Key: command, Value: u.Name}, {Key: "roles", Value: u.Roles}, majority()}, nil)
	if !exists && hasCode(err, codeDuplicateKey, codeUserExists) { // somebody else was faster
		return c.putUser(ctx, u, true)
	}
	if err != nil {
		err = fmt.Errorf("%s %q: %w", command, u.Name, err)
		if strings.Contains(err.Error(), "internal cluster member") {
			err = hint.Wrap(err, "the routers' certificate must not share O, OU and DC with this user's: issue it with another OU")
		}
		return "", err
	}
	return fmt.Sprintf("user %s %s (%s)", u.Name, done, roleList(u.Roles)), nil
}

// EnsureRoles creates the custom roles that are missing and corrects those that differ.
func (c *Client) EnsureRoles(ctx context.Context, roles []CustomRole) ([]string, error) {
	ask := make(bson.A, len(roles))
	for i, r := range roles {
		ask[i] = bson.D{{Key: "role", Value: r.Name}, {Key: "db", Value: Database}}
	}
	var reply struct {
		Roles []struct {
			Role       string
			Privileges []struct {
				Resource struct{ DB, Collection string }
				Actions  []string
			}
		}
	}
	if err := c.run(ctx, Database, bson.D{{Key: "rolesInfo", Value: ask}, {Key: "showPrivileges", Value: true}}, &reply); err != nil {
		return nil, fmt.Errorf("read MongoDB roles: %w", err)
	}
	have := map[string]string{}
	for _, r := range reply.Roles {
		var held []Privilege
		for _, p := range r.Privileges {
			held = append(held, Privilege{Collection: p.Resource.Collection, Actions: p.Actions})
		}
		have[r.Role] = privilegeList(held)
	}
	var changes []string
	for _, want := range roles {
		text, exists := have[want.Name]
		if exists && text == privilegeList(want.Privileges) {
			continue
		}
		if err := c.putRole(ctx, want, exists); err != nil {
			return changes, err
		}
		changes = append(changes, fmt.Sprintf("role %s@%s set", want.Name, Database))
	}
	return changes, nil
}

func (c *Client) putRole(ctx context.Context, r CustomRole, exists bool) error {
	privileges := make(bson.A, len(r.Privileges))
	for i, p := range r.Privileges {
		privileges[i] = bson.D{
			{Key: "resource", Value: bson.D{{Key: "db", Value: Database}, {Key: "collection", Value: p.Collection}}},
			{Key: "actions", Value: p.Actions},
		}
	}
	command := "createRole"
	if exists {
		command = "updateRole"
	}
	err := c.run(ctx, Database, bson.D{{Key: command, Value: r.Name}, {Key: "privileges", Value: privileges}, {Key: "roles", Value: bson.A{}}, majority()}, nil)
	if !exists && hasCode(err, codeDuplicateKey, codeRoleExists) {
		return c.putRole(ctx, r, true)
	}
	if err != nil {
		return fmt.Errorf("%s %q on %s: %w", command, r.Name, Database, err)
	}
	return nil
}

// run sends one command to db's primary and decodes the reply into out, when out is not nil.
func (c *Client) run(ctx context.Context, db string, command bson.D, out any) error {
	result := c.driver.Database(db).RunCommand(ctx, command)
	if out == nil {
		return result.Err()
	}
	return result.Decode(out)
}

func majority() bson.E {
	return bson.E{Key: "writeConcern", Value: bson.D{{Key: "w", Value: "majority"}, {Key: "wtimeout", Value: 10000}}}
}

// hasCode tells whether err is a server's answer with one of the codes.
func hasCode(err error, codes ...int) bool {
	var server mongo.ServerError
	if !errors.As(err, &server) {
		return false
	}
	return slices.ContainsFunc(codes, server.HasErrorCode)
}

func sameRoles(a, b []Role) bool { return roleList(a) == roleList(b) }

func roleList(roles []Role) string {
	list := make([]string, len(roles))
	for i, r := range roles {
		list[i] = r.Role + "@" + r.DB
	}
	slices.Sort(list)
	return strings.Join(slices.Compact(list), ", ")
}

func privilegeList(privileges []Privilege) string {
	list := make([]string, len(privileges))
	for i, p := range privileges {
		actions := slices.Sorted(slices.Values(p.Actions))
		list[i] = p.Collection + ":" + strings.Join(actions, "+")
	}
	slices.Sort(list)
	return strings.Join(list, " ")
}

// ClusterID returns the id that a sharded cluster has had since it was made (config.version), by which two connection strings are known
// to lead to one database.
func (c *Client) ClusterID(ctx context.Context) (string, error) {
	var version struct {
		ClusterID primitive.ObjectID `bson:"clusterId"`
	}
	err := c.driver.Database("config").Collection("version").FindOne(ctx, bson.D{}).Decode(&version)
	if err != nil {
		return "", hint.Wrap(fmt.Errorf("read config.version: %w", err), "the hosts must be the routers (mongos) of a sharded cluster")
	}
	return version.ClusterID.Hex(), nil
}
