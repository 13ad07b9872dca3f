package plan

import (
	"reflect"
	"strings"
	"testing"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/hint"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/zone"
)

func TestRelease(t *testing.T) {
	deployed := ReleaseState{Wanted: true, Exists: true, Deployed: true, Matches: true}
	with := func(change func(*ReleaseState)) ReleaseState {
		s := deployed
		change(&s)
		return s
	}
	for name, tc := range map[string]struct {
		state ReleaseState
		want  Action
	}{
		"nothing changed":                  {deployed, Keep},
		"not there":                        {ReleaseState{Wanted: true}, Install},
		"other values or chart":            {with(func(s *ReleaseState) { s.Matches = false }), Upgrade},
		"edited by hand":                   {with(func(s *ReleaseState) { s.Drifted = true }), Upgrade},
		"last one failed":                  {with(func(s *ReleaseState) { s.Deployed = false }), Upgrade},
		"operator died":                    {with(func(s *ReleaseState) { s.Deployed, s.Pending = false, true }), Recover},
		"operator died, would not change":  {with(func(s *ReleaseState) { s.Pending = true }), Recover},
		"no longer wanted":                 {with(func(s *ReleaseState) { s.Wanted = false }), Remove},
		"no longer wanted, and never was":  {ReleaseState{}, Absent},
		"no longer wanted, operator died ": {ReleaseState{Exists: true, Pending: true}, Remove},
	} {
		if got := Release(tc.state); got != tc.want {
			t.Errorf("%s: got %q, want %q", name, got, tc.want)
		}
	}
}

func TestServices(t *testing.T) {
	values := map[string]any{"services": map[string]any{
		"zack":  map[string]any{"enabled": true, "mongo": map[string]any{"database": "reports", "roles": []any{map[string]any{"role": "read", "db": "squall"}}}},
		"clad":  map[string]any{"mongo": map[string]any{"enabled": false}},
		"guy":   map[string]any{"enabled": false},
		"ignis": map[string]any{"mongo": map[string]any{"existingSecret": "own"}},
		"leon":  map[string]any{},
	}}
	want := []Service{
		{Name: "clad"},
		{Name: "ignis", Mongo: true, Secret: "own"},
		{Name: "leon", Mongo: true},
		{Name: "zack", Mongo: true, Database: "reports", Roles: []Role{{"read", "squall"}}},
	}
	if got := Services(values); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestUnion(t *testing.T) {
	east := []Service{{Name: "ledger", Mongo: true, Roles: []Role{{"read", "a"}}}, {Name: "clad"}}
	west := []Service{{Name: "guy", Mongo: true}, {Name: "ledger", Mongo: true, Database: "books", Roles: []Role{{"read", "a"}, {"read", "b"}}}}
	want := []Service{
		{Name: "guy", Mongo: true},
		{Name: "ledger", Mongo: true, Roles: []Role{{"read", "a"}, {"readWrite", "books"}, {"read", "b"}}},
	}
	if got := Union(east, west); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if len(east[0].Roles) != 1 {
		t.Error("Union changed its input")
	}
}

func TestCheck(t *testing.T) {
	good := func(name string) Wanted {
		return Wanted{
			Zone:            zone.Zone{Name: name},
			ControlPlane:    map[string]any{"global": map[string]any{"database": map[string]any{"mongo": map[string]any{"host": "m:27017"}}}},
			AutoMaintenance: map[string]any{"endpoint": "https://api.example.com"},
		}
	}
	with := func(w Wanted, change func(*Wanted)) Wanted { change(&w); return w }
	shard := func(w *Wanted) {
		w.ControlPlane = map[string]any{"global": w.ControlPlane["global"], "mongodb-shard": map[string]any{"enabled": true}}
	}
	own := func(w *Wanted) {
		w.ControlPlane["global"] = map[string]any{"database": map[string]any{"mongo": map[string]any{"host": w.ShardDatabase()[3].ClientHosts()}}}
	}
	silent := func(w *Wanted) { w.AutoMaintenance = nil }
	for name, tc := range map[string]struct {
		wanted     []Wanted
		count      int
		withoutJob bool
		problems   []string // parts of the error; none means no error
		hints      []string
	}{
		"two good zones":        {wanted: []Wanted{good("a"), good("b")}, count: 2},
		"two without endpoint":  {wanted: []Wanted{with(good("a"), silent), with(good("b"), silent)}, count: 2, problems: []string{"endpoint is set for a, b"}, hints: []string{"--auto-maintenance https://"}},
		"one of two, by --zone": {wanted: []Wanted{with(good("a"), silent)}, count: 2, problems: []string{"endpoint is set for a"}},
		"said so":               {wanted: []Wanted{with(good("a"), silent)}, count: 2, withoutJob: true},
		"a single zone":         {wanted: []Wanted{with(good("a"), silent)}, count: 1},
		"shard in two zones":    {wanted: []Wanted{with(good("a"), shard), good("b")}, count: 2, problems: []string{"zone a has an in-cluster mongodb-shard"}, hints: []string{"value set enabled false mongodb-shard override"}},
		"shard in a single one": {wanted: []Wanted{with(good("a"), func(w *Wanted) { shard(w); own(w) })}, count: 1},
		"shard beside others":   {wanted: []Wanted{with(good("a"), shard)}, count: 1, problems: []string{"global.database.mongo.host names other routers: m:27017"}, hints: []string{"value set enabled false mongodb-shard override"}},
		"all at once": {wanted: []Wanted{with(good("a"), func(w *Wanted) { w.ControlPlane, w.AutoMaintenance = nil, nil })}, count: 2,
			problems: []string{"2 reasons", "endpoint is set for a", "zone a knows no MongoDB"}, hints: []string{"--auto-maintenance", "value set global.database.mongo.host"}},
	} {
		t.Run(name, func(t *testing.T) {
			err := Check(tc.wanted, tc.count, tc.withoutJob)
			if (err != nil) != (tc.problems != nil) {
				t.Fatalf("got error %v", err)
			}
			for _, part := range tc.problems {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("error %q lacks %q", err, part)
				}
			}
			for _, part := range tc.hints {
				if !strings.Contains(hint.Of(err), part) {
					t.Errorf("hint %q lacks %q", hint.Of(err), part)
				}
			}
		})
	}
}

func TestShardDatabase(t *testing.T) {
	w := Wanted{Zone: zone.Zone{Name: "a", Namespace: "ns"}, ControlPlane: map[string]any{"mongodb-shard": map[string]any{
		"enabled": true, "shards": map[string]any{"data": map[string]any{"replicas": int64(1)}}, "routers": map[string]any{"replicas": float64(1)},
	}}}
	var got []string
	for _, s := range w.ShardDatabase() {
		got = append(got, s.Set+"/"+strings.Join(s.Addresses(), ","))
	}
	want := []string{
		"config/mongodb-shard-config-0.mongodb-shard-config.ns.svc:27017,mongodb-shard-config-1.mongodb-shard-config.ns.svc:27017,mongodb-shard-config-2.mongodb-shard-config.ns.svc:27017",
		"data/mongodb-shard-data-0.mongodb-shard-data.ns.svc:27017",
		"reports/mongodb-shard-reports-0.mongodb-shard-reports.ns.svc:27017,mongodb-shard-reports-1.mongodb-shard-reports.ns.svc:27017,mongodb-shard-reports-2.mongodb-shard-reports.ns.svc:27017",
		"/mongodb-shard-router-0.mongodb-shard-router.ns.svc:27017",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if hosts := w.ShardDatabase()[3].ClientHosts(); hosts != "mongodb-shard-router-0.mongodb-shard-router.ns:27017" {
		t.Errorf("clients: %s", hosts)
	}
	var members []string
	for _, s := range Secrets(w, false) {
		if s.Kind == MemberSecret {
			members = append(members, s.Name)
		}
	}
	if want := []string{"aporeto-member-config", "aporeto-member-data", "aporeto-member-reports", "aporeto-member-router"}; !reflect.DeepEqual(members, want) {
		t.Errorf("Secrets %q", members)
	}
	w.ControlPlane["mongodb-shard"].(map[string]any)["enabled"] = false
	if w.ShardDatabase() != nil {
		t.Error("servers of a database that is not enabled")
	}
}

func TestPlaces(t *testing.T) {
	a := zone.Zone{Name: "a", Context: "ctx-a", Namespace: "aporeto", ClusterUID: "1"}
	elsewhere, otherCluster, unreached := a, a, a
	elsewhere.Namespace, otherCluster.ClusterUID, unreached.ClusterUID = "other", "2", ""
	for name, tc := range map[string]struct {
		other   zone.Zone
		refused bool
	}{
		"the same place twice": {a, true}, "another namespace": {elsewhere, false}, "another cluster": {otherCluster, false}, "not reached": {unreached, false},
	} {
		tc.other.Name = "b"
		if err := SamePlace([]zone.Zone{a, tc.other}); (err != nil) != tc.refused {
			t.Errorf("%s: got %v", name, err)
		}
	}
	for uid, refused := range map[string]bool{"1": false, "2": true} {
		if err := Identity(a, uid); (err != nil) != refused {
			t.Errorf("identity %s: got %v", uid, err)
		}
	}
	if err := Identity(unreached, "2"); err != nil {
		t.Errorf("nothing recorded: got %v", err)
	}
}
