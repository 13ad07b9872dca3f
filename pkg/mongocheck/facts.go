package mongocheck

import "time"

// Facts is what was learnt of one cluster.
type Facts struct {
	Routers []Router // in the order of global.database.mongo.host
	Cluster *Cluster // nil: no router let us in
}

// Router is one router as it was seen from one place. What lies behind the first trouble was not asked and is nil or zero.
type Router struct {
	Host        string        `json:"host"`                // as it is configured
	Addresses   []string      `json:"addresses,omitempty"` // of its name, where that was looked up
	Troubles    []Trouble     `json:"troubles,omitempty"`  // on the way to the first answer
	TLS         string        `json:"tls,omitempty"`       // version
	Chain       []Certificate `json:"chain,omitempty"`     // the router's own first, then what it was verified by
	RoundTrip   time.Duration `json:"roundTrip,omitempty"` // of one small command, the shortest seen
	ClockOffset time.Duration `json:"clockOffset,omitempty"`
	ClockError  time.Duration `json:"clockError,omitempty"` // ClockOffset is right within so much
	Greeting    *Greeting     `json:"greeting,omitempty"`
	Version     string        `json:"version,omitempty"`
	Atlas       bool          `json:"atlas,omitempty"`   // it says so itself
	Standin     bool          `json:"standin,omitempty"` // it says that it is the project's stand-in
	User        string        `json:"user,omitempty"`    // the subject that logged in
	Login       *Answer       `json:"login,omitempty"`
	Roles       []Role        `json:"roles,omitempty"`     // of User
	ClusterID   string        `json:"clusterID,omitempty"` // "" where it may not be read
	Bypass      *bool         `json:"bypass,omitempty"`    // enableLocalhostAuthBypass; nil: unknown
	Read        *Answer       `json:"read,omitempty"`      // linearizable
	Write       *Answer       `json:"write,omitempty"`     // acknowledged by a majority
}

// Greeting is what the first command, isMaster, tells without a login.
type Greeting struct {
	Mongos bool   `json:"mongos,omitempty"`
	Set    string `json:"set,omitempty"` // the replica set of one that is no router
	Wire   int    `json:"wire"`          // maxWireVersion
}

// Answer is how a question went.
type Answer struct {
	Err  string        `json:"err,omitempty"` // "": well
	Code int           `json:"code,omitempty"`
	Took time.Duration `json:"took,omitempty"`
}

// Role is a role and the database it belongs to.
type Role struct {
	Role string `json:"role" bson:"role"`
	DB   string `json:"db" bson:"db"`
}

// Certificate is what the requirements need of one.
type Certificate struct {
	Subject   string    `json:"subject"`
	Issuer    string    `json:"issuer"`
	NotBefore time.Time `json:"notBefore"`
	NotAfter  time.Time `json:"notAfter"`
	// NoClient tells that it is for servers only.
	NoClient bool `json:"noClient,omitempty"`
}

// Cluster is what one router told of the whole, to the administrator.
type Cluster struct {
	Router     string
	Shards     []Shard
	ShardsErr  string
	Ranges     map[string]int // key ranges of each shard zone
	RangesErr  string
	AdminUsers *int // in the database admin; nil: AdminUsersErr says why
	UsersErr   string
	Write      *Answer
	Read       *Answer
}

// Shard is one shard and what is known of the replica set behind it.
type Shard struct {
	Name    string
	Set     string // replica set
	Zones   []string
	Members []Member
	// Complete tells that Members holds every voting member.
	Complete bool
	// Election is the set's electionTimeoutMillis; 0: unknown.
	Election time.Duration
	Source   string // who told it
	Caveat   string // what may be missing all the same
}

// Member is one member of a replica set.
type Member struct {
	Host    string
	Tags    map[string]string
	Arbiter bool
	Mute    bool // it has no vote
}
