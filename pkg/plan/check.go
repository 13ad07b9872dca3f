package plan

import (
	"fmt"
	"strings"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/hint"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/zone"
)

// Wanted is what one zone is to be: its values, split as the two charts take them.
type Wanted struct {
	Zone            zone.Zone
	ControlPlane    map[string]any
	AutoMaintenance map[string]any
}

// Endpoint returns the URL of the global record that the zone's auto-maintenance job watches, "" when none is set.
func (w Wanted) Endpoint() string { return str(w.AutoMaintenance, "endpoint") }

// Hosts returns the zone's MongoDB routers as the values name them.
func (w Wanted) Hosts() string {
	return str(child(child(child(w.ControlPlane, "global"), "database"), "mongo"), "host")
}

// Check returns every reason for which these zones, of an environment of count zones, must not be deployed; nil when there is none.
// withoutJob is the user's word that no zone shall have an auto-maintenance job.
func Check(wanted []Wanted, count int, withoutJob bool) error {
	var problems []error
	if count > 1 && !withoutJob {
		var missing []string
		for _, w := range wanted {
			if w.Endpoint() == "" {
				missing = append(missing, w.Zone.Name)
			}
		}
		if missing != nil {
			problems = append(problems, hint.New(fmt.Sprintf("no auto-maintenance endpoint is set for %s: with two or more zones nobody would tell them which one the global record points at",
				strings.Join(missing, ", ")), "kubectl aporeto deploy --all-zones --auto-maintenance https://api.example.com (the global record), or --no-auto-maintenance to do without failover by DNS"))
		}
	}
	for _, w := range wanted {
		if count > 1 && w.ShardDatabase() != nil {
			problems = append(problems, hint.New(fmt.Sprintf("zone %s has an in-cluster mongodb-shard: each zone would have a lease of its own, and two would serve", w.Zone.Name),
				"kubectl aporeto value set enabled false mongodb-shard override; kubectl aporeto value set global.database.mongo.host HOST:27017,HOST:27017"))
		}
		if count == 1 && w.ShardDatabase() != nil && w.Hosts() != "" && !strings.Contains(w.Hosts(), "mongodb-shard-router") {
			problems = append(problems, hint.New(fmt.Sprintf("zone %s has an in-cluster mongodb-shard, and global.database.mongo.host names other routers: %s", w.Zone.Name, w.Hosts()),
				"kubectl aporeto value set enabled false mongodb-shard override; or kubectl aporeto value unset global.database.mongo.host"))
		}
		if w.Hosts() == "" {
			problems = append(problems, hint.New(fmt.Sprintf("zone %s knows no MongoDB", w.Zone.Name), "kubectl aporeto value set global.database.mongo.host HOST:27017,HOST:27017"))
		}
	}
	return all(problems)
}

// all joins problems into one error with one hint a line.
func all(problems []error) error {
	switch len(problems) {
	case 0:
		return nil
	case 1:
		return problems[0]
	}
	lines := make([]string, len(problems))
	hints := make([]string, 0, len(problems))
	for i, p := range problems {
		lines[i] = "  " + p.Error()
		if h := hint.Of(p); h != "" {
			hints = append(hints, h)
		}
	}
	return hint.Wrap(fmt.Errorf("%d reasons not to deploy:\n%s", len(problems), strings.Join(lines, "\n")), "%s", strings.Join(hints, "\nhint: "))
}

// SamePlace returns an error when two of the zones, whose ClusterUID is known, are one namespace of one cluster. Zones that were not
// reached are left out.
func SamePlace(zones []zone.Zone) error {
	type place struct{ cluster, namespace string }
	first := map[place]zone.Zone{}
	for _, z := range zones {
		if z.ClusterUID == "" {
			continue
		}
		at := place{z.ClusterUID, z.Namespace}
		if other, taken := first[at]; taken {
			return hint.New(fmt.Sprintf("zones %s (context %s) and %s (context %s) are one place: namespace %s of the cluster %s", other.Name, other.Context, z.Name, z.Context, z.Namespace, z.ClusterUID),
				"give one of them another context or namespace in aporeto.yaml; deploy part of the zones with --zone")
		}
		first[at] = z
	}
	return nil
}

// Identity compares the cluster that answered with the one recorded for z. Nothing recorded yet is no mismatch.
func Identity(z zone.Zone, uid string) error {
	if z.ClusterUID == "" || z.ClusterUID == uid {
		return nil
	}
	return hint.New(fmt.Sprintf("context %q leads to another cluster than the one this zone was made with: its kube-system namespace has UID %s, recorded is %s", z.Context, uid, z.ClusterUID),
		"kubectl config get-contexts; if the cluster was really replaced, remove cluster_uid of zone "+z.Name+" from aporeto.yaml")
}
