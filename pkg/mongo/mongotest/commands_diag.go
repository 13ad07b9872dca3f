package mongotest

import (
	"os"

	"go.mongodb.org/mongo-driver/bson"
)

func diagnosticCommands() []*command {
	return []*command{
		{name: "buildInfo", aliases: []string{"buildinfo"}, run: runBuildInfo, open: true},
		{name: "ping", run: runNothing, open: true},
		{name: "connectionStatus", run: runConnectionStatus, open: true},
		{name: "whatsmyuri", run: runWhatsMyURI, open: true},
		{name: "getParameter", run: runGetParameter, needs: onCluster("getParameter"), adminOnly: true},
		{name: "serverStatus", run: runServerStatus, needs: onCluster("serverStatus")},
		{name: "getCmdLineOpts", run: runCmdLineOpts, needs: onCluster("getCmdLineOpts"), adminOnly: true},
	}
}

// runBuildInfo names the version imitated and says that this is a stand-in.
func runBuildInfo(s *Standin, _ *request) (bson.D, error) {
	d := bson.D{{Key: "version", Value: s.version}, {Key: "gitVersion", Value: "stand-in"}, {Key: "modules", Value: bson.A{}},
		{Key: "standin", Value: true}, {Key: "versionArray", Value: versionArray(s.version)}, {Key: "bits", Value: int32(64)},
		{Key: "debug", Value: false}, {Key: "maxBsonObjectSize", Value: int32(maxDocument)}, {Key: "storageEngines", Value: bson.A{}}}
	return d, nil
}

func versionArray(v string) bson.A {
	out := bson.A{}
	n := int32(0)
	for _, c := range v + "." {
		if c == '.' {
			out, n = append(out, n), 0
			continue
		}
		n = n*10 + c - '0'
	}
	return append(out, int32(0))
}

func runConnectionStatus(s *Standin, r *request) (bson.D, error) {
	users, roles := bson.A{}, bson.A{}
	if r.conn.user != "" {
		users = append(users, bson.D{{Key: "user", Value: r.conn.user}, {Key: "db", Value: r.conn.userDB}})
		if u := s.cachedUser(r.conn, r.conn.userDB, r.conn.user); u != nil {
			list, _ := lookupField(u.doc, "roles")
			roles, _ = list.(bson.A)
		}
	}
	info := bson.D{{Key: "authenticatedUsers", Value: users}, {Key: "authenticatedUserRoles", Value: roles}}
	if r.flag("showPrivileges") {
		info = append(info, bson.E{Key: "authenticatedUserPrivileges", Value: privilegeDocs(s.privileges(r.conn))})
	}
	return bson.D{{Key: "authInfo", Value: info}}, nil
}

func runWhatsMyURI(_ *Standin, r *request) (bson.D, error) {
	return bson.D{{Key: "you", Value: r.conn.raw.RemoteAddr().String()}}, nil
}

// runGetParameter knows the few parameters that a client of this project asks
// for.
func runGetParameter(s *Standin, r *request) (bson.D, error) {
	all := bson.D{
		{Key: "authenticationMechanisms", Value: bson.A{mechanismX509}},
		{Key: "enableLocalhostAuthBypass", Value: !s.cfg.NoLocalhostBypass},
		{Key: "featureCompatibilityVersion", Value: bson.D{{Key: "version", Value: string(s.cfg.Dialect)}}},
	}
	out := bson.D{}
	everything := r.first() == "*"
	for _, p := range all {
		if everything || r.has(p.Key) {
			out = append(out, p)
		}
	}
	if len(out) == 0 {
		return nil, errf(codeInvalidOptions, "no option found to get")
	}
	return out, nil
}

func runServerStatus(s *Standin, _ *request) (bson.D, error) {
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	process := "mongos"
	if !s.mongos() {
		process = "mongod"
	}
	return bson.D{{Key: "host", Value: host}, {Key: "version", Value: s.version}, {Key: "process", Value: process},
		{Key: "standin", Value: true}, {Key: "localTime", Value: now()}}, nil
}

func runCmdLineOpts(_ *Standin, _ *request) (bson.D, error) {
	return bson.D{{Key: "argv", Value: bson.A{"mongo-standin"}}, {Key: "parsed", Value: bson.D{}}}, nil
}
