package mongo

import (
	"context"
	"fmt"

	"go.mongodb.org/mongo-driver/bson"
)

// Privilege allows actions on one collection.
type Privilege struct {
	Collection string   `json:"collection"`
	Actions    []string `json:"actions"`
}

// CustomRole is a role of Database made of privileges on single collections.
type CustomRole struct {
	Name       string      `json:"name"`
	Privileges []Privilege `json:"privileges"`
	// Inherits are roles that somebody else put into it; ours have none.
	Inherits []Role `json:"inherits,omitempty"`
}

// roles returns the custom roles of Database in one round trip.
func (c *Client) roles(ctx context.Context) ([]CustomRole, error) {
	var reply struct {
		Roles []struct {
			Role       string
			Roles      []Role
			Privileges []struct {
				Resource struct{ DB, Collection string }
				Actions  []string
			}
		}
	}
	if err := c.run(ctx, Database, bson.D{{Key: "rolesInfo", Value: 1}, {Key: "showPrivileges", Value: true}}, &reply); err != nil {
		return nil, fmt.Errorf("read MongoDB roles: %w", err)
	}
	roles := make([]CustomRole, len(reply.Roles))
	for i, r := range reply.Roles {
		roles[i] = CustomRole{Name: r.Role, Inherits: r.Roles}
		for _, p := range r.Privileges {
			roles[i].Privileges = append(roles[i].Privileges, Privilege{Collection: p.Resource.Collection, Actions: p.Actions})
		}
	}
	return roles, nil
}

// CreateRole makes a custom role. made is false, and nothing is changed, where one of that name exists.
func (c *Client) CreateRole(ctx context.Context, r CustomRole) (made bool, err error) {
	err = c.putRole(ctx, "createRole", r)
	if hasCode(err, codeDuplicateKey, codeRoleExists) {
		return false, nil
	}
	return err == nil, err
}

// UpdateRole replaces what a custom role allows.
func (c *Client) UpdateRole(ctx context.Context, r CustomRole) error {
	return c.putRole(ctx, "updateRole", r)
}

func (c *Client) putRole(ctx context.Context, command string, r CustomRole) error {
	privileges := make(bson.A, len(r.Privileges))
	for i, p := range r.Privileges {
		privileges[i] = bson.D{
			{Key: "resource", Value: bson.D{{Key: "db", Value: Database}, {Key: "collection", Value: p.Collection}}},
			{Key: "actions", Value: p.Actions},
		}
	}
	err := c.run(ctx, Database, bson.D{{Key: command, Value: r.Name}, {Key: "privileges", Value: privileges}, {Key: "roles", Value: bson.A{}}, majority()}, nil)
	if err != nil {
		return fmt.Errorf("%s %q on %s: %w", command, r.Name, Database, err)
	}
	return nil
}
