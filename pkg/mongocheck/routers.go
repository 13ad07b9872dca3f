package mongocheck

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	atlasDomain = "mongodb.net"
	// oldest is the first major version that works.
	oldest = 4
	// ending is when MongoDB's servers themselves begin to warn of a certificate.
	ending = 30 * 24 * time.Hour
	// farClock is a difference that makes ages and log lines misleading, wrongClock one beyond the allowance of new certificates.
	farClock   = time.Second
	wrongClock = 5 * time.Minute
)

// IsAtlas tells whether host is one of MongoDB's own cloud service.
func IsAtlas(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	return host == atlasDomain || strings.HasSuffix(host, "."+atlasDomain)
}

func (c *check) atlas() {
	for _, r := range c.f.Routers {
		if IsAtlas(r.Host) || r.Atlas {
			t := AtlasTrouble()
			c.add(Fail, NotAtlas, r.Host, t.Hint, "%s", t.Text)
		}
	}
	if len(c.out) == 0 {
		c.ok(NotAtlas, "no router is MongoDB Atlas's")
	}
}

func (c *check) router(r Router) {
	for _, t := range r.Troubles {
		c.add(Fail, RouterAnswers, r.Host, t.Hint, "%s", t.Text)
	}
	if len(r.Troubles) > 0 {
		return
	}
	if r.Greeting == nil {
		c.add(Warn, RouterAnswers, r.Host, answerFirst, "unknown: it was not asked")
		return
	}
	subject := ""
	if len(r.Chain) > 0 {
		subject = ", " + r.Chain[0].Subject
	}
	c.add(OK, RouterAnswers, r.Host, "", "answers in %s over %s%s", millis(r.RoundTrip), r.TLS, subject)
}

func (c *check) mongos() {
	routers := c.greeted()
	c.each(Mongos, routers, plural(len(routers), "router is a mongos", "routers are mongos"), func(r Router) (Level, string, string) {
		if r.Greeting.Mongos {
			return OK, "", ""
		}
		t := NotMongosTrouble(r.Greeting.Set)
		return Fail, t.Text, t.Hint
	})
}

func (c *check) version() {
	routers := c.greeted()
	var versions []string
	for _, r := range routers {
		versions = append(versions, r.Version)
	}
	versions = unique(versions)
	well := list(versions)
	if slices.ContainsFunc(routers, func(r Router) bool { return r.Standin }) {
		well += " (the project's stand-in for tests, not a MongoDB)"
	}
	c.each(ServerVersion, routers, well, func(r Router) (Level, string, string) {
		major, _, _ := strings.Cut(r.Version, ".")
		n, err := strconv.Atoi(major)
		switch {
		case err != nil:
			return Warn, "unknown: it does not tell its version", "look: mongos --version on the router's host"
		case n < oldest:
			return Fail, fmt.Sprintf("version %s is older than %d.0", r.Version, oldest), "upgrade the cluster to MongoDB 4.0 or newer"
		case len(versions) > 1:
			return Warn, fmt.Sprintf("version %s; the routers have different ones: %s", r.Version, list(versions)), "finish the upgrade: routers of one cluster should have one version"
		}
		return OK, "", ""
	})
}

func (c *check) login() {
	routers := slices.DeleteFunc(c.greeted(), func(r Router) bool { return r.Login == nil })
	if len(routers) == 0 {
		c.unknown(X509Login, answerFirst, noRouter)
		return
	}
	well := fmt.Sprintf("%s through %s", routers[0].User, plural(len(routers), "router", "routers"))
	c.each(X509Login, routers, well, func(r Router) (Level, string, string) {
		if r.Login.Err == "" {
			return OK, "", ""
		}
		if r.Login.Code == codeUserNotFound {
			return Fail, fmt.Sprintf("there is no user %q in $external", r.User), c.createUser(r.User)
		}
		return Fail, fmt.Sprintf("%s is not let in: %s", r.User, r.Login.Err), "the router must allow MONGODB-X509: setParameter authenticationMechanisms"
	})
}

// Server error codes that have a meaning of their own here.
const codeUserNotFound = 11

func (c *check) createUser(user string) string {
	switch {
	case user != c.p.Admin && c.zone == "":
		return "the administrator is " + c.p.Admin + ": kubectl aporeto pki init reissues certs/mongodb-admin-cert.pem"
	case user != c.p.Admin:
		return "kubectl aporeto deploy --all-zones makes the users of zones and services"
	}
	return "in a shell on a router's own host: " + c.p.CreateAdmin + " or let this program do it: kubectl aporeto mongo bootstrap --localhost"
}

func (c *check) oneCluster() {
	routers := slices.DeleteFunc(c.entered(), func(r Router) bool { return r.ClusterID == "" })
	if len(routers) == 0 {
		c.unknown(OneCluster, enterFirst, "no router told its cluster's id")
		return
	}
	first := routers[0]
	c.each(OneCluster, routers, plural(len(routers), "router", "routers")+" of the cluster "+first.ClusterID, func(r Router) (Level, string, string) {
		if r.ClusterID == first.ClusterID {
			return OK, "", ""
		}
		return Fail, fmt.Sprintf("it belongs to the cluster %s, %s to the cluster %s", r.ClusterID, first.Host, first.ClusterID),
			"name the routers of one cluster: kubectl aporeto value set global.database.mongo.host HOST1:27017,HOST2:27017"
	})
}

func (c *check) adminRights() {
	routers := c.entered()
	if len(routers) == 0 {
		c.unknown(AdminRights, enterFirst, noRouterIn)
		return
	}
	r := routers[0]
	if len(r.Chain) > 0 && TakenForMember(r.User, r.Chain[0].Subject) {
		c.unknown(AdminRights, MemberHint, "%s is taken for a member of the cluster, as %s says, so its own roles are not told", r.User, Membership)
		return
	}
	var held []string
	for _, role := range r.Roles {
		if role == (Role{Role: "root", DB: "admin"}) || role.Role == "__system" {
			c.ok(AdminRights, "%s has %s@%s", r.User, role.Role, role.DB)
			return
		}
		held = append(held, role.Role+"@"+role.DB)
	}
	c.add(Fail, AdminRights, r.Host,
		fmt.Sprintf("db.getSiblingDB('$external').runCommand({grantRolesToUser: '%s', roles: [{role: 'root', db: 'admin'}]})", r.User),
		"%s has not the role root@admin, but: %s", r.User, orNone(held))
}

func orNone(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return list(names)
}

func (c *check) membership() {
	routers := slices.DeleteFunc(slices.Clone(c.f.Routers), func(r Router) bool { return len(r.Chain) == 0 })
	well := fmt.Sprintf("none of the %s of this environment has the O, OU and DC of a router's certificate", plural(len(c.p.Subjects), "subject", "subjects"))
	c.each(Membership, routers, well, func(r Router) (Level, string, string) {
		var taken []string
		for _, subject := range c.p.Subjects {
			if TakenForMember(subject, r.Chain[0].Subject) {
				taken = append(taken, subject)
			}
		}
		if len(taken) == 0 {
			return OK, "", ""
		}
		return Fail, fmt.Sprintf("its certificate %s has the same O, OU and DC as %s: MongoDB takes such a client for a member of the cluster, with every right, or refuses to create its user",
			r.Chain[0].Subject, list(taken)), MemberHint
	})
}

func (c *check) localException() {
	routers := c.entered()
	if len(routers) == 0 {
		c.unknown(LocalException, enterFirst, noRouterIn)
		return
	}
	users := c.f.Cluster
	if users != nil && users.AdminUsers != nil && *users.AdminUsers > 0 {
		c.ok(LocalException, "closed: %s in the database admin", plural(*users.AdminUsers, "user", "users"))
		return
	}
	c.each(LocalException, routers, "closed: enableLocalhostAuthBypass is false on every router that was asked", func(r Router) (Level, string, string) {
		const closing = "set enableLocalhostAuthBypass to false (setParameter in the router's configuration), or create one user in the database admin"
		switch {
		case r.Bypass != nil && !*r.Bypass:
			return OK, "", ""
		case r.Bypass == nil:
			return Warn, "unknown: whether enableLocalhostAuthBypass is set cannot be read", closing
		case users == nil || users.AdminUsers == nil:
			return Warn, "unknown: the users of the database admin cannot be read", closing
		}
		return Warn, "open: no user is in the database admin, so whoever can connect from the router's own host, without any login, can make a root user", closing
	})
}

// certificates names every certificate that ends soon, and how long the rest lasts.
func (c *check) certificates() {
	type item struct {
		Certificate
		router string // whose own it is: all routers of an environment may have one subject
		ours   bool
	}
	var all []item
	seen := map[string]bool{}
	add := func(one item) {
		if key := one.router + one.Subject + one.NotAfter.String(); !seen[key] {
			seen[key] = true
			all = append(all, one)
		}
	}
	for _, cert := range c.p.Own {
		add(item{Certificate: cert, ours: true})
	}
	routers := 0
	for _, r := range c.f.Routers {
		for i, cert := range r.Chain {
			if i == 0 {
				add(item{Certificate: cert, router: r.Host})
				routers++
				continue
			}
			add(item{Certificate: cert})
		}
	}
	if len(all) == 0 {
		c.unknown(CertificateLife, answerFirst, "no certificate was seen")
		return
	}
	count := len(c.out)
	for _, cert := range all {
		left := cert.NotAfter.Sub(c.p.Now)
		hint := "replace the router's certificate; " + install
		if cert.ours {
			hint = "kubectl aporeto pki check; kubectl aporeto pki init reissues what it has made"
		}
		subject, which := cert.Subject, ""
		if cert.router != "" {
			subject, which = cert.router, "its certificate "+cert.Subject+" "
		}
		switch {
		case left <= 0:
			c.add(Fail, CertificateLife, subject, hint, "%sexpired %s ago", which, days(-left))
		case left < ending:
			c.add(Warn, CertificateLife, subject, hint, "%sends in %s, at %s", which, days(left), stamp(cert.NotAfter))
		}
	}
	for _, r := range c.f.Routers {
		if len(r.Chain) > 0 && r.Chain[0].NoClient {
			c.add(Warn, CertificateLife, r.Host, "give it a certificate with both; "+install,
				"its certificate has serverAuth without clientAuth: the shards refuse it as a member's, unless net.tls.clusterFile (net.ssl.clusterFile) names another")
		}
	}
	if len(c.out) > count {
		return
	}
	first := slices.MinFunc(all, func(a, b item) int { return a.NotAfter.Compare(b.NotAfter) })
	text := "the first of %d to end is %s, in %s"
	if routers == 0 {
		c.unknown(CertificateLife, answerFirst, "no router showed its own; "+text, len(all), first.Subject, days(first.NotAfter.Sub(c.p.Now)))
		return
	}
	c.ok(CertificateLife, text, len(all), first.Subject, days(first.NotAfter.Sub(c.p.Now)))
}

func days(d time.Duration) string {
	if d < 24*time.Hour {
		return d.Round(time.Second).String()
	}
	return plural(int(d/(24*time.Hour)), "day", "days")
}

// clocks counts only what is surely apart.
func (c *check) clocks() {
	routers := c.greeted()
	if len(routers) == 0 {
		c.unknown(Clocks, answerFirst, noRouter)
		return
	}
	var far Router
	low, high := routers[0], routers[0]
	for _, r := range routers {
		if far.Greeting == nil || r.ClockOffset.Abs() > far.ClockOffset.Abs() {
			far = r
		}
		if r.ClockOffset < low.ClockOffset {
			low = r
		}
		if r.ClockOffset > high.ClockOffset {
			high = r
		}
	}
	text := fmt.Sprintf("%s differs most from here, by %s", far.Host, bounded(far.ClockOffset, far.ClockError))
	spread, err := high.ClockOffset-low.ClockOffset, low.ClockError+high.ClockError
	if len(routers) > 1 {
		text += "; among each other by at most " + bounded(spread, err)
	}
	switch apart := max(surely(far.ClockOffset, far.ClockError), surely(spread, err)); {
	case apart > wrongClock:
		c.add(Fail, Clocks, "", setClocks, "%s: new certificates are not valid there", text)
	case apart > farClock:
		c.add(Warn, Clocks, "", setClocks, "%s", text)
	default:
		c.ok(Clocks, "%s", text)
	}
}

const setClocks = "set the clocks, of the routers and of this machine, by NTP: chronyc tracking; date -u"

// surely is how far apart clocks are at least, given the uncertainty of the difference.
func surely(d, err time.Duration) time.Duration { return d.Abs() - err }

// bounded writes a difference with its uncertainty.
func bounded(d, err time.Duration) string {
	return fmt.Sprintf("%s ± %s", millis(d.Abs()), millis(err))
}
