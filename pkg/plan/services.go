package plan

import (
	"maps"
	"net/url"
	"slices"
	"strings"
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
	HTTPS    bool   // the gateway speaks https to it, so its certificate is a server's too
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
		for _, route := range routes(entry) {
			s.HTTPS = s.HTTPS || str(route, "scheme") == "https"
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

// PublicHosts returns the names and addresses under which clients reach the zone, ports included where they are given: those of
// global.public, of the global endpoint and of the services' routes, in order, each once.
func PublicHosts(w Wanted) []string {
	var hosts []string
	add := func(host string) {
		if host != "" && !slices.Contains(hosts, host) {
			hosts = append(hosts, host)
		}
	}
	public := child(child(w.ControlPlane, "global"), "public")
	for _, key := range slices.Sorted(maps.Keys(public)) {
		add(hostOf(str(public, key)))
	}
	add(hostOf(w.Endpoint()))
	services := child(w.ControlPlane, "services")
	for _, s := range Services(w.ControlPlane) {
		for _, route := range routes(child(services, s.Name)) {
			if host := str(route, "host"); !strings.Contains(host, "{{") { // a template is the chart's to fill in
				add(host)
			}
		}
	}
	return hosts
}

// hostOf returns the host, with its port, of a URL; what is no URL with a host has none.
func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Host
}

func routes(service map[string]any) []map[string]any {
	items, _ := service["routes"].([]any)
	var out []map[string]any
	for _, item := range items {
		if route, ok := item.(map[string]any); ok {
			out = append(out, route)
		}
	}
	return out
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
