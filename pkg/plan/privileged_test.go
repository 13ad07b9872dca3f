package plan

import (
	"strings"
	"testing"
)

func TestPrivileged(t *testing.T) {
	for _, tc := range []struct {
		name    string
		service Service
		want    int // problems
	}{
		{"its own database", Service{Name: "squall", Mongo: true}, 0},
		{"another service's", Service{Name: "squall", Mongo: true, Roles: []Role{{"readWrite", "zack"}}}, 0},
		{"what every service has", Service{Name: "squall", Mongo: true, Roles: []Role{{"read", "shared_zoning"}}}, 0},
		{"writes what all share", Service{Name: "squall", Mongo: true, Roles: []Role{{"readWrite", "shared_zoning"}}}, 1},
		{"root", Service{Name: "squall", Mongo: true, Roles: []Role{{"root", "admin"}}}, 1},
		{"any database", Service{Name: "squall", Mongo: true, Roles: []Role{{"readAnyDatabase", "x"}}}, 1},
		{"__system", Service{Name: "squall", Mongo: true, Roles: []Role{{"__system", "x"}}}, 1},
		{"the lease", Service{Name: "squall", Mongo: true, Roles: []Role{{"readWrite", "aporeto_ha"}}}, 1},
		{"config", Service{Name: "squall", Mongo: true, Roles: []Role{{"read", "config"}}}, 1},
		{"local", Service{Name: "squall", Mongo: true, Roles: []Role{{"read", "local"}}}, 1},
		{"$external", Service{Name: "squall", Mongo: true, Roles: []Role{{"userAdmin", "$external"}}}, 1},
		{"admin as its own database", Service{Name: "squall", Mongo: true, Database: "admin"}, 1},
		{"written large", Service{Name: "squall", Mongo: true, Database: "Admin"}, 1},
		{"two at once", Service{Name: "squall", Mongo: true, Roles: []Role{{"root", "admin"}, {"clusterAdmin", "admin"}}}, 2},
		{"no user at all", Service{Name: "squall", Roles: []Role{{"root", "admin"}}}, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := 0
			if err := Privileged([]Service{tc.service}); err != nil {
				got = strings.Count(err.Error(), "service squall asks for the role")
			}
			if got != tc.want {
				t.Errorf("%d problems, want %d: %v", got, tc.want, Privileged([]Service{tc.service}))
			}
		})
	}
}
