// Package mongo is everything said to MongoDB: users, the lease document, the zones' records. It is the only package (with its own
// test double, mongotest) that imports the MongoDB driver.
//
// It speaks to sharded clusters of MongoDB 4.0 and newer by X.509. What it must cope with, read off a real 4.0.19, is listed in
// docs/mongodb.md. It decides nothing: what to write comes from pkg/lease, pkg/bootstrap and pkg/maintenance.
package mongo

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"go.mongodb.org/mongo-driver/mongo"
	"go.mongodb.org/mongo-driver/mongo/options"
	"go.mongodb.org/mongo-driver/mongo/readpref"
	"go.mongodb.org/mongo-driver/mongo/writeconcern"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/hint"
)

// Database is where the documents of failover live.
const Database = "aporeto_ha"

// Dial opens a TCP connection to a router, as net.Dialer does.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// DialContext makes Dial the driver's dialer.
func (d Dial) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return d(ctx, network, address)
}

// Options says whom to connect to and as whom.
type Options struct {
	URI string // mongodb://h1:27017,h2:27017/…; see URI
	// CA holds the PEM certificates that verify the routers.
	CA []byte
	// Certificate returns the client certificate with its chain. It is asked at every handshake, so a renewed file needs no restart.
	Certificate func() (*tls.Certificate, error)
	AppName     string
	// Selection bounds the search for a reachable router; 0 means 5 s.
	Selection time.Duration
	// Silence bounds how long a router may take to say anything to a request, whose context may have no end of its own; 0 means 20 s.
	// The longest answers, to majority writes, have an end of 10 s on the server.
	Silence time.Duration
	// Retry lets the driver repeat a write once after a network error. The lease's client must not: its late requests are counted.
	Retry bool
	// Login, when not nil, is who we are instead of the certificate's subject, which TLS shows all the same.
	Login *Login
	// Dial reaches the routers by a way of its own, TLS being end to end all the same; nil means from this machine directly.
	Dial Dial
}

// Login is a user with a password; without a name it is nobody, which a router's localhost exception lets in.
type Login struct{ User, Password, Database string }

func (l *Login) credential() *options.Credential {
	if l.User == "" {
		return nil
	}
	return &options.Credential{Username: l.User, Password: l.Password, PasswordSet: true, AuthSource: l.Database}
}

// Client is a connection pool to one sharded cluster.
type Client struct {
	driver *mongo.Client
	tls    *tls.Config
	hosts  []string
	dial   Dial

	members atomic.Pointer[string] // see Member
}

// Connect returns a client for o. It reaches nothing yet: the first operation does, and Probe tells beforehand why it could not.
func Connect(ctx context.Context, o Options) (*Client, error) {
	return o.connect(ctx, func(*options.ClientOptions) {})
}

// connect is Connect with what adjust makes of the driver's options.
func (o Options) connect(ctx context.Context, adjust func(*options.ClientOptions)) (*Client, error) {
	opts, config, err := o.driver()
	if err != nil {
		return nil, err
	}
	adjust(opts)
	c := &Client{tls: config, hosts: opts.Hosts, dial: o.dialer()}
	opts.TLSConfig = config.Clone()
	opts.TLSConfig.VerifyConnection = func(state tls.ConnectionState) error {
		c.sawMember(state.PeerCertificates)
		return nil
	}
	if c.driver, err = mongo.Connect(ctx, opts); err != nil {
		return nil, fmt.Errorf("connect to MongoDB %s: %w", strings.Join(opts.Hosts, ","), err)
	}
	return c, nil
}

// driver returns the driver's options, and the TLS configuration in them.
func (o Options) driver() (*options.ClientOptions, *tls.Config, error) {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(o.CA) {
		return nil, nil, fmt.Errorf("no certificate in the CA file that verifies the MongoDB routers")
	}
	config := &tls.Config{
		RootCAs:    roots,
		MinVersion: tls.VersionTLS12,
		// Always answered: left to itself Go withholds a certificate whose issuer the server does not name, and the server then
		// closes the connection without a reason.
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return o.Certificate() },
	}
	selection := o.Selection
	if selection == 0 {
		selection = 5 * time.Second
	}
	silence := o.Silence
	if silence == 0 {
		silence = 20 * time.Second
	}
	opts := options.Client().ApplyURI(o.URI).SetTLSConfig(config).SetAppName(o.AppName).
		SetServerSelectionTimeout(selection).SetConnectTimeout(selection).SetSocketTimeout(silence).
		SetWriteConcern(writeconcern.Majority()).SetReadPreference(readpref.Primary()).
		SetRetryWrites(o.Retry).SetRetryReads(o.Retry).SetDialer(o.dialer())
	if o.Login != nil {
		opts.Auth = o.Login.credential()
	}
	if err := opts.Validate(); err != nil {
		return nil, nil, hint.Wrap(fmt.Errorf("read MongoDB connection string: %w", err), "check global.database.mongo.host: kubectl aporeto value get global.database.mongo.host")
	}
	return opts, config, nil
}

func (o Options) dialer() Dial {
	if o.Dial != nil {
		return o.Dial
	}
	return (&net.Dialer{}).DialContext
}

// closeTime bounds a farewell: the driver ends its sessions with a command, which a silent router never answers.
const closeTime = 2 * time.Second

// Close ends all connections, within closeTime.
func (c *Client) Close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, closeTime)
	defer cancel()
	if err := c.driver.Disconnect(ctx); err != nil {
		return fmt.Errorf("disconnect from MongoDB: %w", err)
	}
	return nil
}

// Routers returns the routers that a connection string names, each with its port.
func Routers(uri string) ([]string, error) {
	opts := options.Client().ApplyURI(uri)
	if err := opts.Validate(); err != nil {
		return nil, fmt.Errorf("read MongoDB connection string: %w", err)
	}
	routers := make([]string, len(opts.Hosts))
	for i, host := range opts.Hosts {
		addr, _, err := address(host)
		if err != nil {
			return nil, fmt.Errorf("read MongoDB connection string: host %q: %w", host, err)
		}
		routers[i] = addr
	}
	return routers, nil
}
