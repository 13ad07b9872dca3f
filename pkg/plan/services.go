package plan

import (
	"maps"
	"slices"
)

// Role is a MongoDB role and the database it belongs to.
type Role struct{ Role, DB string }

// Service is one enabled entry of a zone's services map, as far as the plugin cares for it. What the keys mean is the control-plane
// chart's to say (values.schema.json).
type Service struct {
	Name     string
	Mongo    bool   // it has a database user and a certificate
	Database string // "" means the service's own name
	Roles    []Role // besides those every service has
	Secret   string // a Secret of the user's own that holds its certificate; "" means the plugin makes it
}

// Services returns the enabled services of a zone's control-plane values in the order of their names. Values that do not have the
// schema's form count as absent: validation has refused them before.
func Services(controlPlane map[string]any) []Service {
	all := child(controlPlane, "services")
	var services []Service
	for _, name := range slices.Sorted(maps.Keys(all)) {
		entry, ok := all[name].(map[string]any)
		if !ok || !enabled(entry) {
			continue
		}
		mongo := child(entry, "mongo")
		s := Service{Name: name, Mongo: enabled(mongo), Database: str(mongo, "database"), Secret: str(mongo, "existingSecret")}
		roles, _ := mongo["roles"].([]any)
		for _, r := range roles {
			if role, ok := r.(map[string]any); ok {
				s.Roles = append(s.Roles, Role{Role: str(role, "role"), DB: str(role, "db")})
			}
		}
		services = append(services, s)
	}
	return services
}

// Union joins the services of several zones into one list of database users: roles add up. Two zones that give one service different
// databases both get theirs: the second becomes a readWrite role.
func Union(zones ...[]Service) []Service {
	byName := map[string]*Service{}
	for _, services := range zones {
		for _, s := range services {
			if !s.Mongo {
				continue
			}
			have, ok := byName[s.Name]
			if !ok {
				s.Roles = slices.Clone(s.Roles)
				byName[s.Name] = &s
				continue
			}
			if own(*have) != own(s) {
				have.Roles = append(have.Roles, Role{Role: "readWrite", DB: own(s)})
			}
			have.Roles = append(have.Roles, s.Roles...)
		}
	}
	var all []Service
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		s := *byName[name]
		s.Roles = unique(s.Roles)
		all = append(all, s)
	}
	return all
}

func own(s Service) string {
	if s.Database == "" {
		return s.Name
	}
	return s.Database
}

func unique(roles []Role) []Role {
	var out []Role
	for _, r := range roles {
		if !slices.Contains(out, r) {
			out = append(out, r)
		}
	}
	return out
}

// enabled is true unless the entry says false.
func enabled(entry map[string]any) bool {
	on, ok := entry["enabled"].(bool)
	return !ok || on
}

func child(m map[string]any, key string) map[string]any {
	c, _ := m[key].(map[string]any)
	return c
}

func str(m map[string]any, key string) string {
	s, _ := m[key].(string)
	return s
}
