package plan

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/hint"
)

// Databases that no service owns: MongoDB's own, and those that the product's agents and all services share.
func privilegedDatabases() []string {
	return []string{"admin", "config", "local", "external", "$external", "aporeto_ha", "shared_zoning"}
}

// Privileged returns an error that names every role with which a service would reach beyond its own data: a role on one of MongoDB's or
// the product's own databases, or one that holds on every database. Reading shared_zoning is every service's right.
func Privileged(services []Service) error {
	var problems []error
	for _, s := range services {
		roles := append([]Role{{Role: "readWrite", DB: own(s)}}, s.Roles...)
		for _, r := range roles {
			if s.Mongo && privileged(r) {
				problems = append(problems, hint.New(
					fmt.Sprintf("service %s asks for the role %s on database %s, which reaches beyond its own data", s.Name, r.Role, r.DB),
					"take it out of services."+s.Name+".mongo, or say that it is meant: --allow-privileged"))
			}
		}
	}
	if problems == nil {
		return nil
	}
	return hint.Wrap(errors.Join(problems...), "%s", hint.Of(problems[0]))
}

func privileged(r Role) bool {
	if r == (Role{Role: "read", DB: "shared_zoning"}) {
		return false
	}
	return slices.Contains(privilegedDatabases(), strings.ToLower(r.DB)) || strings.HasSuffix(r.Role, "AnyDatabase") ||
		r.Role == "root" || r.Role == "__system"
}
