package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/failover"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongo"
)

// printMongoStatus writes one table a subject, each with ? where nothing could be read.
func printMongoStatus(w io.Writer, st mongoStatus) error {
	balancer := failover.Unknown
	if st.Balancer != nil {
		balancer = st.Balancer.Mode
		if st.Balancer.Running {
			balancer += ", moving chunks"
		}
	}
	fmt.Fprintf(w, "CLUSTER    %s\nVERSION    %s\nBALANCER   %s\n", orUnknown(st.ClusterID), orUnknown(st.Version), balancer)
	for _, part := range []struct {
		header []string
		known  bool
		rows   [][]string
	}{
		{[]string{"ROUTER", "VERSION", "SEEN"}, st.Routers != nil, routerRows(st.Routers)},
		{[]string{"SHARD", "ZONES", "MEMBER", "STATE"}, st.Shards != nil, shardRows(st.Shards)},
		{[]string{"SHARD-ZONE", "SHARDS", "COLLECTION", "FROM", "TO"}, st.ShardZones != nil, shardZoneRows(st.ShardZones)},
		{[]string{"USER", "DATABASE", "ENVIRONMENT", "ROLES"}, st.Users != nil, userRows(st.Users, st.Environment)},
		{[]string{"ROLE", "COLLECTION", "MAY"}, st.Roles != nil, roleRows(st.Roles)},
	} {
		if !part.known {
			part.rows = [][]string{{failover.Unknown}}
		}
		fmt.Fprintln(w)
		if err := table(w, part.header, part.rows); err != nil {
			return err
		}
	}
	return nil
}

func routerRows(routers []mongoRouter) [][]string {
	var rows [][]string
	for _, r := range routers {
		seen := failover.Unknown
		if r.AgeSecs != nil {
			seen = failover.Ago(*r.AgeSecs)
		}
		rows = append(rows, []string{r.Host, r.Version, seen})
	}
	return rows
}

func shardRows(shards []mongoShard) [][]string {
	var rows [][]string
	for _, s := range shards {
		name, zones := s.Name, orNone(strings.Join(s.Zones, ","))
		for _, m := range s.Members {
			rows = append(rows, []string{name, zones, m.Host, orUnknown(m.State)})
			name, zones = "", ""
		}
	}
	return rows
}

func shardZoneRows(zones []mongoShardZone) [][]string {
	var rows [][]string
	for _, z := range zones {
		name, shards := z.Name, orNone(strings.Join(z.Shards, ","))
		if len(z.Ranges) == 0 {
			rows = append(rows, []string{name, shards, "<none>"})
		}
		for _, r := range z.Ranges {
			rows = append(rows, []string{name, shards, r.Namespace, r.From, r.To})
			name, shards = "", ""
		}
	}
	return rows
}

// userRows names the owner: this environment, another one's id, or nobody that wrote it down.
func userRows(users []mongoUser, environment string) [][]string {
	var rows [][]string
	for _, u := range users {
		owners := make([]string, len(u.Environments))
		for i, id := range u.Environments {
			if owners[i] = id; id == environment {
				owners[i] = "this one"
			}
		}
		rows = append(rows, []string{u.Name, u.Database, orNone(strings.Join(owners, ",")), orNone(rolesText(u.Roles))})
	}
	return rows
}

func rolesText(roles []mongo.Role) string {
	list := make([]string, len(roles))
	for i, r := range roles {
		list[i] = r.String()
	}
	return strings.Join(list, " ")
}

func roleRows(roles []mongo.CustomRole) [][]string {
	var rows [][]string
	for _, r := range roles {
		name := r.Name + "@" + mongo.Database
		for _, p := range r.Privileges {
			rows = append(rows, []string{name, p.Collection, strings.Join(slices.Sorted(slices.Values(p.Actions)), ",")})
			name = ""
		}
	}
	return rows
}
