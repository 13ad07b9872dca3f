package mongocheck

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

var now = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

const (
	admin  = "CN=mongodb-admin,OU=users,O=mongodb"
	router = "CN=mongodb-router,OU=servers,O=mongodb"
)

func certificate(subject string, days int) Certificate {
	return Certificate{Subject: subject, Issuer: "CN=System CA", NotBefore: now.AddDate(0, -1, 0), NotAfter: now.Add(time.Duration(days) * 24 * time.Hour)}
}

func healthyRouter(host string) Router {
	return Router{
		Host: host, TLS: "TLS 1.3", Chain: []Certificate{certificate(router, 300), certificate("CN=System CA", 900)}, RoundTrip: 2 * time.Millisecond,
		ClockError: 2 * time.Millisecond, Greeting: &Greeting{Mongos: true, Wire: 7}, Version: "4.0.19", User: admin, Login: &Answer{},
		Roles: []Role{{Role: "root", DB: "admin"}}, ClusterID: "5f", Bypass: new(false),
	}
}

func healthySet(name, zone string) Shard {
	s := Shard{Name: name, Set: name, Zones: []string{zone}, Complete: true, Election: 5 * time.Second, Source: name + "-1"}
	for i := range 3 {
		s.Members = append(s.Members, Member{Host: fmt.Sprintf("%s-%d", name, i), Tags: map[string]string{"region": fmt.Sprintf("r%d", i)}})
	}
	return s
}

func healthy() (Facts, Params) {
	f := Facts{
		Routers: []Router{healthyRouter("m1:27017"), healthyRouter("m2:27017"), healthyRouter("m3:27017")},
		Cluster: &Cluster{
			Router: "m1:27017", Shards: []Shard{healthySet("data", "z0"), healthySet("reports", "z1")}, Ranges: map[string]int{"z0": 2, "z1": 1},
			AdminUsers: new(0), Write: &Answer{Took: time.Millisecond}, Read: &Answer{Took: time.Millisecond},
		},
	}
	p := Params{Now: now, Zones: 2, Admin: admin, CreateAdmin: "createUser!", Subjects: []string{admin, "CN=gateway-a,OU=root,O=system"}, Own: []Certificate{certificate(admin, 200)}, Term: 8 * time.Second}
	return f, p
}

func TestHealthy(t *testing.T) {
	f, p := healthy()
	findings := Check(f, p)
	for _, line := range findings {
		if line.Level != OK || line.Hint != "" || line.Reason == "" {
			t.Errorf("%+v", line)
		}
	}
	var names []string
	for _, line := range findings {
		names = append(names, line.Requirement)
	}
	want := []string{NotAtlas, RouterAnswers, RouterAnswers, RouterAnswers, Mongos, ServerVersion, X509Login, OneCluster, AdminRights, Membership, LocalException,
		CertificateLife, Clocks, Shards, ShardZones, KeyRanges, RegionLoss, ElectionTime, MajorityWrite, LinearRead}
	if !slices.Equal(names, want) {
		t.Errorf("requirements\n%v, want\n%v", names, want)
	}
	if Worst(findings) != OK {
		t.Error("a healthy cluster is not well")
	}
}

// TestRequirements breaks one thing at a time: exactly the lines of that requirement change their level.
func TestRequirements(t *testing.T) {
	each := func(change func(*Router)) func(*Facts, *Params) {
		return func(f *Facts, _ *Params) {
			for i := range f.Routers {
				change(&f.Routers[i])
			}
		}
	}
	second := func(change func(*Router)) func(*Facts, *Params) {
		return func(f *Facts, _ *Params) { change(&f.Routers[1]) }
	}
	data := func(change func(*Shard)) func(*Facts, *Params) {
		return func(f *Facts, _ *Params) { change(&f.Cluster.Shards[0]) }
	}
	cluster := func(change func(*Cluster)) func(*Facts, *Params) {
		return func(f *Facts, _ *Params) { change(f.Cluster) }
	}
	for _, c := range []struct {
		name        string
		change      func(*Facts, *Params)
		requirement string
		level       Level
		reason      string // a part of it
		hint        string // a part of it
	}{
		{"Atlas by name", second(func(r *Router) { *r = Router{Host: "c0.abc.mongodb.net:27017"} }), NotAtlas, Fail, "REST API only", "of your own"},
		{"Atlas by its own word", second(func(r *Router) { r.Atlas = true }), NotAtlas, Fail, "Atlas is not supported", "HOST1"},
		{"router down", second(func(r *Router) {
			*r = Router{Host: r.Host, Troubles: []Trouble{NewTrouble(Refused, "it refuses the connection")}}
		}), RouterAnswers, Fail, "refuses", "value get global.database.mongo.host"},
		{"wrong CA", second(func(r *Router) { *r = Router{Host: r.Host, Troubles: []Trouble{NewTrouble(WrongCA, "signed by x")}} }), RouterAnswers, Fail, "signed by x", "mongodb-custom-ca.pem"},
		{"router not asked", second(func(r *Router) { *r = Router{Host: r.Host} }), RouterAnswers, Warn, "unknown", "answer first"},
		{"a mongod of a set", second(func(r *Router) { r.Greeting = &Greeting{Set: "data"} }), Mongos, Fail, `replica set "data"`, "name the routers"},
		{"a mongod alone", second(func(r *Router) { r.Greeting = &Greeting{} }), Mongos, Fail, "stands alone", "name the routers"},
		{"too old", each(func(r *Router) { r.Version = "3.6.23" }), ServerVersion, Fail, "3.6.23 is older than 4.0", "upgrade"},
		{"newer", each(func(r *Router) { r.Version = "8.0.4" }), ServerVersion, OK, "8.0.4", ""},
		{"two versions", second(func(r *Router) { r.Version = "4.2.8" }), ServerVersion, Warn, "4.0.19, 4.2.8", "finish the upgrade"},
		{"no version", each(func(r *Router) { r.Version = "" }), ServerVersion, Warn, "unknown", "mongos --version"},
		{"no such user", second(func(r *Router) { r.Login = &Answer{Err: "User not found", Code: 11} }), X509Login, Fail, "there is no user", "createUser!"},
		{"another's certificate", each(func(r *Router) { r.User, r.Login = "CN=other", &Answer{Err: "User not found", Code: 11} }), X509Login, Fail, `no user "CN=other"`, "the administrator is " + admin},
		{"login refused", second(func(r *Router) { r.Login = &Answer{Err: "no", Code: 18} }), X509Login, Fail, "not let in: no", "MONGODB-X509"},
		{"nobody logged in", each(func(r *Router) { r.Login = nil }), X509Login, Warn, "unknown", "answer first"},
		{"another cluster", second(func(r *Router) { r.ClusterID = "60" }), OneCluster, Fail, "m1:27017 to the cluster 5f", "routers of one cluster"},
		{"no cluster ids", each(func(r *Router) { r.ClusterID = "" }), OneCluster, Warn, "unknown", "get the administrator in first"},
		{"too few rights", each(func(r *Router) { r.Roles = []Role{{Role: "readAnyDatabase", DB: "admin"}} }), AdminRights, Fail, "readAnyDatabase@admin", "grantRolesToUser"},
		{"no rights", each(func(r *Router) { r.Roles = nil }), AdminRights, Fail, "none", "grantRolesToUser"},
		{"the trap", second(func(r *Router) { r.Chain[0].Subject = "O=mongodb,CN=x,OU=users" }), Membership, Fail, admin, "another OU"},
		{"the trap, for the administrator", each(func(r *Router) { r.Chain[0].Subject, r.Roles = "O=mongodb,CN=x,OU=users", nil }), AdminRights, Warn, "taken for a member of the cluster, as membership says", "another OU"},
		{"no members at all", each(func(r *Router) { r.Chain[0].Subject = "CN=x" }), Membership, OK, "none of the 2", ""},
		{"no certificate", each(func(r *Router) { r.Chain = nil }), Membership, Warn, "unknown", ""},
		{"the hole", each(func(r *Router) { r.Bypass = new(true) }), LocalException, Warn, "without any login", "enableLocalhostAuthBypass"},
		{"the hole closed by a user", func(f *Facts, _ *Params) {
			f.Routers[0].Bypass, f.Cluster.AdminUsers = new(true), new(1)
		}, LocalException, OK, "1 user", ""},
		{"bypass unknown", each(func(r *Router) { r.Bypass = nil }), LocalException, Warn, "unknown: whether", "setParameter"},
		{"users unknown", func(f *Facts, _ *Params) {
			f.Routers[0].Bypass, f.Cluster.AdminUsers = new(true), nil
		}, LocalException, Warn, "unknown: the users", ""},
		{"router's certificate ends", second(func(r *Router) { r.Chain[0] = certificate(router, 29) }), CertificateLife, Warn, "ends in 29 days", "regen"},
		{"whose certificate ends", second(func(r *Router) { r.Chain[0] = certificate(router, 29) }), CertificateLife, Warn, "its certificate " + router + " ends in 29 days", "regen"},
		{"a customer's certificate ends", func(f *Facts, p *Params) {
			p.CustomCA, f.Routers[1].Chain[0] = "CN=Theirs", certificate(router, 29)
		}, CertificateLife, Warn, "ends in 29 days", "have CN=Theirs issue the router a certificate"},
		{"a customer's wrong CA", func(f *Facts, p *Params) {
			p.CustomCA, f.Routers[1] = "CN=Theirs", Router{Host: "m2:27017", Troubles: []Trouble{NewTrouble(WrongCA, "signed by x")}}
		}, RouterAnswers, Fail, "signed by x", "or put the CA that issues them now into certs/mongodb-custom-ca.pem"},
		{"a customer's router without TLS", func(f *Facts, p *Params) {
			p.CustomCA, f.Routers[1] = "CN=Theirs", Router{Host: "m2:27017", Troubles: []Trouble{NewTrouble(NoTLS, "no TLS")}}
		}, RouterAnswers, Fail, "no TLS", "and a certificate of CN=Theirs"},
		{"a customer's trap", func(f *Facts, p *Params) {
			p.CustomCA, f.Routers[1].Chain[0].Subject = "CN=Theirs", "O=mongodb,CN=x,OU=users"
		}, Membership, Fail, admin, "for servers and clients, with another OU"},
		{"router's certificate is no member's", second(func(r *Router) { r.Chain[0].NoClient = true }), CertificateLife, Warn, "without clientAuth", "regen mongodb-router"},
		{"admin's expired", func(_ *Facts, p *Params) { p.Own[0] = certificate(admin, -2) }, CertificateLife, Fail, "expired 2 days ago", "pki init"},
		{"no router's certificate", each(func(r *Router) { r.Chain = nil }), CertificateLife, Warn, "no router showed", ""},
		{"clock away", second(func(r *Router) { r.ClockOffset = 2 * time.Second }), Clocks, Warn, "m2:27017 differs most from here, by 2s", "NTP"},
		{"clock far away", second(func(r *Router) { r.ClockOffset = -6 * time.Minute }), Clocks, Fail, "not valid there", "NTP"},
		{"clock perhaps away", second(func(r *Router) { r.ClockOffset, r.ClockError = 2*time.Second, 1500*time.Millisecond }), Clocks, OK, "±", ""},
		{"routers apart", func(f *Facts, _ *Params) {
			f.Routers[0].ClockOffset, f.Routers[1].ClockOffset = 700*time.Millisecond, -700*time.Millisecond
		}, Clocks, Warn, "among each other by at most 1.4s", "NTP"},
		{"no shard data", cluster(func(c *Cluster) { c.Shards = c.Shards[1:] }), Shards, Fail, `no shard named "data"; the shards are: reports`, "addShard"},
		{"shards not told", cluster(func(c *Cluster) { c.Shards, c.ShardsErr = nil, "not authorized" }), Shards, Warn, "unknown: not authorized", "root@admin"},
		{"shards not told for now", cluster(func(c *Cluster) { c.Shards, c.ShardsErr = nil, "(NotMaster) not master" }), Shards, Warn, "not master", "mongo status"},
		{"not in the zone", data(func(s *Shard) { s.Zones = []string{"z1"} }), ShardZones, Fail, `"data" is not in the zone "z0"`, "addShardToZone('data', 'z0')"},
		{"no ranges", cluster(func(c *Cluster) { c.Ranges = map[string]int{"z0": 1} }), KeyRanges, Warn, "zone z1", "config"},
		{"ranges not told", cluster(func(c *Cluster) { c.Ranges, c.RangesErr = nil, "not authorized" }), KeyRanges, Warn, "unknown: no", "root"},
		{"one member", data(func(s *Shard) { s.Members, s.Complete = s.Members[:1], false }), RegionLoss, Fail, "only member with data", "three regions"},
		{"two votes", data(func(s *Shard) { s.Members = s.Members[:2] }), RegionLoss, Fail, "2 voting members", "addArb"},
		{"a region with most votes", data(func(s *Shard) { s.Members[1].Tags = map[string]string{"region": "r0"} }), RegionLoss, Fail, "region r0 holds 2 of 3", "three regions"},
		{"a member without a vote", data(func(s *Shard) {
			s.Members = append(s.Members, Member{Host: "x", Mute: true, Tags: map[string]string{"region": "r0"}})
		}), RegionLoss, OK, "majority", ""},
		{"an arbiter somewhere", data(func(s *Shard) { s.Members[2] = Member{Host: "a", Arbiter: true} }), RegionLoss, Warn, "unknown: region r0 holds 1 of 3 votes, and where 1 arbiter stands", "rs.conf()"},
		{"an arbiter that does not matter", data(func(s *Shard) {
			s.Members = append(s.Members, Member{Host: "d", Tags: map[string]string{"region": "r3"}}, Member{Host: "a", Arbiter: true})
		}), RegionLoss, OK, "majority", ""},
		{"hidden ones", data(func(s *Shard) { s.Caveat = "hidden members are not counted" }), RegionLoss, OK, "(hidden members are not counted)", ""},
		{"regions not told", data(func(s *Shard) { s.Members[2].Tags = nil }), RegionLoss, Warn, "unknown", "rs.conf()"},
		{"arbiters unknown", data(func(s *Shard) { s.Complete = false }), RegionLoss, Warn, "unknown: no region holds half", "rs.conf()"},
		{"arbiters unknown and a region with most", data(func(s *Shard) { s.Complete, s.Members[1].Tags = false, s.Members[0].Tags }), RegionLoss, Warn, "unknown: of the members", "rs.conf()"},
		{"no members told", data(func(s *Shard) { s.Members = nil }), RegionLoss, Warn, "unknown: nobody", ""},
		{"one zone", func(f *Facts, p *Params) { p.Zones, f.Cluster.Shards[0].Members = 1, nil }, RegionLoss, OK, "one zone", ""},
		{"slow elections", data(func(s *Shard) { s.Election = 10 * time.Second }), ElectionTime, Warn, "wait 10s", "electionTimeoutMillis"},
		{"elections unknown", data(func(s *Shard) { s.Election = 0 }), ElectionTime, Warn, "longer than the lease's 8s", "calm"},
		{"elections unknown, calm", func(f *Facts, p *Params) { f.Cluster.Shards[0].Election, p.Term = 0, 20*time.Second }, ElectionTime, Warn, "shorter than the lease's 20s", "rs.conf()"},
		{"write fails", cluster(func(c *Cluster) { c.Write = &Answer{Err: "timed out"} }), MajorityWrite, Fail, "through m1:27017: timed out", "mongo status"},
		{"write not allowed", cluster(func(c *Cluster) { c.Write = &Answer{Err: "(Unauthorized) not authorized on aporeto_ha"} }), MajorityWrite, Fail, "not authorized", "root@admin"},
		{"write not tried", cluster(func(c *Cluster) { c.Write = nil }), MajorityWrite, Warn, "unknown", ""},
		{"read fails", cluster(func(c *Cluster) { c.Read = &Answer{Err: "no primary"} }), LinearRead, Fail, "no primary", "primaries"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, p := healthy()
			c.change(&f, &p)
			var found *Finding
			for _, line := range Check(f, p) {
				if line.Requirement == c.requirement && (found == nil || line.Level == c.level && found.Level != c.level) {
					found = &line
				}
			}
			switch {
			case found == nil:
				t.Fatal("no line")
			case found.Level != c.level || !strings.Contains(found.Reason, c.reason) || !strings.Contains(found.Hint, c.hint):
				t.Errorf("got %+v", *found)
			case (found.Level == OK) != (found.Hint == ""):
				t.Errorf("hint of %+v", *found)
			}
		})
	}
}

// TestNothingKnown has a line for every requirement all the same, none of them ok but those that need nobody.
func TestNothingKnown(t *testing.T) {
	_, p := healthy()
	down := Router{Host: "m1:27017", Troubles: []Trouble{NewTrouble(NoAnswer, "it does not answer")}}
	findings := Check(Facts{Routers: []Router{down}}, p)
	full, _ := healthy()
	if got, want := len(findings), len(Check(full, p))-2; got != want {
		t.Errorf("%d lines, want %d", got, want)
	}
	for _, f := range findings {
		if f.Level == OK && f.Requirement != NotAtlas || f.Level == Warn && !strings.HasPrefix(f.Reason, "unknown: ") {
			t.Errorf("%+v", f)
		}
	}
	if Worst(findings) != Fail {
		t.Error("a router that is down is no failure")
	}
}

// TestSameTroubleIsOneLine names the routers that share it.
func TestSameTroubleIsOneLine(t *testing.T) {
	f, p := healthy()
	for i := range f.Routers {
		f.Routers[i].Bypass = new(true)
	}
	for _, line := range Check(f, p) {
		if line.Requirement == LocalException && line.Subject != "m1:27017, m2:27017, m3:27017" {
			t.Errorf("%+v", line)
		}
	}
}

func TestMemberKey(t *testing.T) {
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{"CN=a,OU=servers,O=mongodb", "O=mongodb,OU=servers,CN=b,C=FR", true},
		{"CN=a,OU=servers,O=mongodb", "CN=a,OU=Servers,O=mongodb", false},
		{"CN=a,OU=servers,O=mongodb", "CN=a,O=mongodb", false},
		{`CN=a,O=x\,OU=servers`, "CN=a,O=x,OU=servers", false},
		{"CN=a+OU=servers,O=mongodb", "CN=b,OU=servers,O=mongodb", true},
		{"CN=a,O=m,DC=x", "CN=a,O=m", false},
	} {
		if got := memberKey(c.a) == memberKey(c.b); got != c.same {
			t.Errorf("%s and %s: same %v", c.a, c.b, got)
		}
	}
}

func TestView(t *testing.T) {
	_, p := healthy()
	well := healthyRouter("m1:27017")
	well.User, well.Addresses, well.Read, well.Write = "CN=gateway-a,OU=root,O=system", []string{"10.0.0.1"}, &Answer{Took: time.Millisecond}, &Answer{Took: time.Millisecond}
	findings := CheckView("a", View{Routers: []Router{well}}, p)
	if len(findings) != 6 || Worst(findings) != OK {
		t.Errorf("a healthy view: %+v", findings)
	}
	silent := CheckView("a", View{Routers: []Router{{Host: "m1:27017", Troubles: []Trouble{NewTrouble(NoAnswer, "no answer")}}}}, p)
	if want := "global.database.mongo.host --zone a; from this machine: kubectl aporeto mongo check"; !strings.HasSuffix(silent[1].Hint, want) {
		t.Errorf("a router that does not answer: %+v", silent)
	}
	for _, c := range []struct {
		name, requirement string
		change            func(*Router)
		level             Level
		reason, cell      string
	}{
		{"no name", Name, func(r *Router) {
			*r = Router{Host: r.Host, Troubles: []Trouble{NewTrouble(NoName, "does not resolve")}}
		}, Fail, "does not resolve", "FAIL"},
		{"no name, so no TLS", Transport, func(r *Router) {
			*r = Router{Host: r.Host, Troubles: []Trouble{NewTrouble(NoName, "does not resolve")}}
		}, Warn, "unknown", "?"},
		{"no answer", Transport, func(r *Router) { *r = Router{Host: r.Host, Troubles: []Trouble{NewTrouble(NoAnswer, "no answer")}} }, Fail, "no answer", "FAIL"},
		{"no answer, so no write", MajorityWrite, func(r *Router) { *r = Router{Host: r.Host, Troubles: []Trouble{NewTrouble(NoAnswer, "no answer")}} }, Warn, "unknown", "?"},
		{"no user", X509Login, func(r *Router) { r.Login = &Answer{Err: "x", Code: 11} }, Fail, "there is no user", "FAIL"},
		{"not a router", Mongos, func(r *Router) { r.Greeting = &Greeting{Set: "data"} }, Fail, `"data"`, "FAIL"},
		{"clock", Clocks, func(r *Router) { r.ClockOffset = 3 * time.Second }, Warn, "3s ±", "WARN"},
		{"no right", LinearRead, func(r *Router) { r.Read = &Answer{Err: "not authorized", Code: 13} }, Fail, "not authorized", "FAIL"},
		{"slow", MajorityWrite, func(r *Router) { r.Write = &Answer{Err: "waiting for replication timed out", Code: 64} }, Fail, "timed out", "FAIL"},
		{"well", LinearRead, func(r *Router) { r.Read = &Answer{Took: 3 * time.Millisecond} }, OK, "3ms", "3ms"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := well
			c.change(&r)
			for _, f := range CheckView("a", View{Routers: []Router{r}}, p) {
				if f.Requirement != c.requirement {
					continue
				}
				if f.Zone != "a" || f.Level != c.level || !strings.Contains(f.Reason, c.reason) || !strings.HasPrefix(f.Cell(), c.cell) {
					t.Errorf("got %+v, cell %q", f, f.Cell())
				}
				return
			}
			t.Error("no line")
		})
	}
	if f := Unasked("b", errors.New("no gateway"), "deploy"); f.Level != Warn || f.Cell() != "?" || f.Zone != "b" {
		t.Errorf("%+v", f)
	}
}
