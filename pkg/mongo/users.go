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
	"go.mongodb.org/mongo-driver/x/mongo/driver"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/hint"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongocheck"
)

// External is the database that X.509 users belong to.
const External = "$external"

// Role is a role and the database it belongs to.
type Role struct {
	Role string `bson:"role" json:"role"`
	DB   string `bson:"db" json:"db"`
}

func (r Role) String() string { return r.Role + "@" + r.DB }

// User is an X.509 user: the subject of its certificate in RFC 2253 order, its roles, and who takes care of it.
type User struct {
	Name  string
	Roles []Role
	// Environments are the ids of those that recorded the user as theirs. The record is part of the user itself (its customData), so it
	// comes and goes with it in one write.
	Environments []string

	custom bson.D // what others keep in customData
}

// Server error codes, as error_codes.err of MongoDB 4.0 to 8.0 names them.
const (
	codeRoleNotFound = 31
	codeUserNotFound = 11
	codeUnauthorized = 13
	codeAuthFailed   = 18
	codeDuplicateKey = 11000
	codeRoleExists   = 51002 // createRole of a role that exists, 4.2 and newer
	codeUserExists   = 51003 // createUser of a user that exists, 4.2 and newer
)

// customKey is the field of customData that is ours.
const customKey = "aporeto"

type storedUser struct {
	User       string
	DB         string `bson:"db"`
	Roles      []Role
	CustomData bson.D `bson:"customData"`
}

func (s storedUser) user() User {
	u := User{Name: s.User, Roles: s.Roles}
	for _, e := range s.CustomData {
		if e.Key != customKey {
			u.custom = append(u.custom, e)
			continue
		}
		ours, _ := e.Value.(bson.D)
		for _, field := range ours {
			if list, ok := field.Value.(bson.A); ok && field.Key == "environments" {
				for _, id := range list {
					if text, ok := id.(string); ok {
						u.Environments = append(u.Environments, text)
					}
				}
			}
		}
	}
	return u
}

func (u User) customData() bson.D {
	data := slices.Clone(u.custom)
	if len(u.Environments) > 0 {
		data = append(data, bson.E{Key: customKey, Value: bson.D{{Key: "environments", Value: u.Environments}}})
	}
	if data == nil {
		return bson.D{}
	}
	return data
}

// User returns a user of External. found is false where there is none of that name.
func (c *Client) User(ctx context.Context, name string) (u User, found bool, err error) {
	users, err := c.usersInfo(ctx, External, name)
	if err != nil || len(users) == 0 {
		return User{}, false, err
	}
	return users[0], true, nil
}

// usersOf returns every user of a database in one round trip.
func (c *Client) usersOf(ctx context.Context, db string) ([]User, error) {
	return c.usersInfo(ctx, db, 1)
}

// usersInfo returns the users of a database that which says: 1 for all, or a name.
func (c *Client) usersInfo(ctx context.Context, db string, which any) ([]User, error) {
	var reply struct{ Users []storedUser }
	if err := c.run(ctx, db, bson.D{{Key: "usersInfo", Value: which}}, &reply); err != nil {
		return nil, fmt.Errorf("read the users of %s: %w", db, err)
	}
	users := make([]User, len(reply.Users))
	for i, u := range reply.Users {
		users[i] = u.user()
	}
	return users, nil
}

// CreateUser makes u. made is false, and nothing is changed, where a user of that name exists.
func (c *Client) CreateUser(ctx context.Context, u User) (made bool, err error) {
	err = c.putUser(ctx, "createUser", u)
	if hasCode(err, codeDuplicateKey, codeUserExists) {
		return false, nil
	}
	return err == nil, err
}

// UpdateUser replaces the roles and the environments of a user that exists. found is false where none of that name does.
func (c *Client) UpdateUser(ctx context.Context, u User) (found bool, err error) {
	err = c.putUser(ctx, "updateUser", u)
	if hasCode(err, codeUserNotFound) {
		return false, nil
	}
	return err == nil, err
}

func (c *Client) putUser(ctx context.Context, command string, u User) error {
	roles := u.Roles
	if roles == nil {
		roles = []Role{}
	}
	err := c.run(ctx, External, bson.D{
		{Key: command, Value: u.Name}, {Key: "customData", Value: u.customData()}, {Key: "roles", Value: roles}, majority(),
	}, nil)
	if err == nil {
		return nil
	}
	err = fmt.Errorf("%s %q: %w", command, u.Name, err)
	if strings.Contains(err.Error(), "internal cluster member") {
		err = hint.Wrap(err, "%s", mongocheck.MemberHint)
	}
	return err
}

// DropUser removes a user. found is false where there is none.
func (c *Client) DropUser(ctx context.Context, name string) (found bool, err error) {
	err = c.run(ctx, External, bson.D{{Key: "dropUser", Value: name}, majority()}, nil)
	switch {
	case hasCode(err, codeUserNotFound):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("dropUser %q: %w", name, err)
	}
	return true, nil
}

// NoUser tells whether err means that the database does not know the user that our certificate names.
func NoUser(err error) bool { return hasCode(err, codeUserNotFound, codeAuthFailed) }

// NoRole tells whether err means that a role does not exist.
func NoRole(err error) bool { return hasCode(err, codeRoleNotFound) }

// Passing tells whether err is one of those that end by themselves: a connection that was lost or went silent, an election.
func Passing(err error) bool {
	return mongo.IsNetworkError(err) || mongo.IsTimeout(err) || hasCode(err, codesOfElections...)
}

// Unauthorized tells whether err means that the user who is logged in, or nobody, has no right to do it.
func Unauthorized(err error) bool { return hasCode(err, codeUnauthorized) }

// Grant gives a user a role besides those it has.
func (c *Client) Grant(ctx context.Context, name string, role Role) error {
	err := c.run(ctx, External, bson.D{{Key: "grantRolesToUser", Value: name}, {Key: "roles", Value: []Role{role}}, majority()}, nil)
	if err != nil {
		return fmt.Errorf("grantRolesToUser %q: %w", name, err)
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

// codesOfElections are those with which servers refuse while they change their primary, as drivers know them: NotWritablePrimary and its
// like, and those of a server that ends.
// https://github.com/mongodb/specifications/blob/master/source/retryable-writes/retryable-writes.md
var codesOfElections = []int{91, 189, 10107, 11600, 11602, 13435, 13436} //nolint:gochecknoglobals // a table

// hasCode tells whether err is a server's answer with one of the codes, to a command or to the login before it.
func hasCode(err error, codes ...int) bool {
	var server mongo.ServerError
	if errors.As(err, &server) {
		return slices.ContainsFunc(codes, server.HasErrorCode)
	}
	var login driver.Error
	return errors.As(err, &login) && slices.Contains(codes, int(login.Code))
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
