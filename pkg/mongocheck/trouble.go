package mongocheck

import (
	"fmt"
	"strings"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/hint"
)

// Kind is a kind of trouble on the way to a router's first answer.
type Kind string

// The kinds of trouble.
const (
	BadAddress  Kind = "BadAddress"
	NoName      Kind = "NameNotFound"
	Refused     Kind = "ConnectionRefused"
	NoAnswer    Kind = "NoAnswer"
	Unreachable Kind = "Unreachable"
	NotAllowed  Kind = "NotARouter" // the relay was asked for a host that is none of its routers
	NoTLS       Kind = "NoTLS"
	WrongCA     Kind = "WrongCA"
	NoSAN       Kind = "NoSAN"
	WrongName   Kind = "WrongName"
	Expired     Kind = "Expired"
	NotYetValid Kind = "NotYetValid"
	NoServerUse Kind = "NoServerAuth"
	BadChain    Kind = "BadChain"
	Handshake   Kind = "Handshake"
	ClientCert  Kind = "ClientCertificateRefused"
	NotMongoDB  Kind = "NotMongoDB"
	Atlas       Kind = "Atlas"
	NotMongos   Kind = "NotMongos"
)

// Trouble is one thing that keeps a client from a router, in words for a person, with what ends it.
type Trouble struct {
	Kind Kind   `json:"kind"`
	Text string `json:"text"`
	Hint string `json:"hint"`
}

// hintOf is what ends a kind of trouble.
func hintOf(k Kind) string {
	switch k {
	case BadAddress, NoName, Refused, NoAnswer, Unreachable:
		return "check the routers and the network: kubectl aporeto value get global.database.mongo.host; from inside the zones: kubectl aporeto mongo check --from-zones"
	case NotAllowed:
		return "the zone still has other routers: kubectl aporeto deploy --all-zones, then again"
	case NoTLS:
		return "start the router with net.ssl.mode requireSSL (net.tls.mode requireTLS from 4.2) and certs/mongodb-router-full.pem"
	case WrongCA:
		return "use the environment's certs/mongodb-router-full.pem on the router, or drop the CA that signed its certificate into certs/mongodb-custom-ca.pem"
	case NoSAN, WrongName:
		return "kubectl aporeto pki init writes certs/mongodb-router-full.pem for every host of global.database.mongo.host; install it on the router"
	case Expired:
		return install
	case NotYetValid:
		return "compare the clock of this machine with that of the one that issued the certificate: date -u"
	case NoServerUse:
		return install + " (it has serverAuth and clientAuth)"
	case ClientCert:
		return "the router must trust certs/ca-chain-system.pem, root and System CA, for clients: net.ssl.CAFile (net.tls.CAFile from 4.2)"
	case Atlas:
		return "bring a sharded cluster of your own: kubectl aporeto value set global.database.mongo.host HOST1:27017,HOST2:27017"
	case NotMongos:
		return "name the routers: kubectl aporeto value set global.database.mongo.host HOST1:27017,HOST2:27017"
	case BadChain, Handshake, NotMongoDB:
	}
	return "look at the router's log; what it must be started with is in docs/mongodb.md"
}

// install is what ends a trouble with a router's certificate of our own making.
const install = "install certs/mongodb-router-full.pem on the router; where it has that one, kubectl aporeto pki regen mongodb-router writes a new one first"

// issuer turns a hint that would give a router the environment's own certificate into one that holds where another CA issues them.
func (p Params) issuer(hint string) string {
	const ours = "certs/mongodb-router-full.pem"
	if p.CustomCA == "" || !strings.Contains(hint, ours) {
		return hint
	}
	fresh := "have " + p.CustomCA + " issue the router a certificate for its host names and IP addresses, for servers and clients"
	switch hint {
	case hintOf(NoTLS):
		return strings.Replace(hint, ours, "a certificate of "+p.CustomCA, 1)
	case hintOf(WrongCA):
		return fresh + "; or put the CA that issues them now into certs/mongodb-custom-ca.pem and run kubectl aporeto pki init"
	case MemberHint:
		return fresh + ", with another OU"
	}
	return fresh
}

// NewTrouble returns a trouble of kind k with its hint.
func NewTrouble(k Kind, format string, args ...any) Trouble {
	return Trouble{Kind: k, Text: fmt.Sprintf(format, args...), Hint: hintOf(k)}
}

// Error returns t as an error about the router host, in the words of every command that cannot reach it.
func (t Trouble) Error(host string) error {
	return hint.New(fmt.Sprintf("MongoDB router %q: %s", host, t.Text), t.Hint)
}

// AtlasTrouble is why MongoDB's cloud service is refused.
func AtlasTrouble() Trouble {
	return NewTrouble(Atlas, "MongoDB Atlas is not supported: it manages users and shards by its own REST API only")
}

// NotMongosTrouble is why a server that is no router is refused; set is its replica set, "" where it has none.
func NotMongosTrouble(set string) Trouble {
	what := "a mongod that stands alone"
	if set != "" {
		what = fmt.Sprintf("a member of the replica set %q", set)
	}
	return NewTrouble(NotMongos, "it is %s, not a router (mongos) of a sharded cluster", what)
}
