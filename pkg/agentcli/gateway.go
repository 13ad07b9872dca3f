package agentcli

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net/http"
	"net/textproto"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/clock"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/gateway"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/lease"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongo"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/zone"
)

const (
	// drainTime is how long requests under way may go on after a planned close.
	drainTime = 10 * time.Second
	// lingerTime is longer than Kubernetes takes to tell every node that a pod which is going away gets no new connections, and than Linux's
	// conntrack leads new ones from a client's port to it that another has just used (nf_conntrack_tcp_timeout_close, 10 s).
	lingerTime = 12 * time.Second
)

type gatewayOptions struct {
	env        *Env
	identity   identityFlags
	mongo      mongoFlags
	replica    string
	listen     string
	status     string
	tlsCert    string
	tlsKey     string
	routes     string
	authz      string
	clientCA   string
	certHeader string
	upstreamCA string
	profile    string
	zoneURLs   map[string]string
	redirect   int
	standing   bool
	drain      time.Duration
	linger     time.Duration

	config gateway.Config
}

func newGatewayCmd(env *Env) *cobra.Command {
	o := &gatewayOptions{env: env}
	cmd := &cobra.Command{
		Use:   "gateway",
		Short: "Serve in front of this zone's services: 423 unless the zone holds the lease",
		Long: `Ends TLS, proxies to the zone's services by route, and lets requests through only while the lease in MongoDB is held by this zone and
this replica has confirmed it within the term. In every other case it answers 423. SIGTERM makes it not ready; it serves on until
no new connection came for --linger (10 s more at most), then closes the gate, lets what is under way drain, and ends.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.complete(); err != nil {
				return err
			}
			return o.run(cmd.Context())
		},
	}
	flags := cmd.Flags()
	o.identity.register(flags)
	flags.StringVar(&o.replica, "replica", "", "`name` of this replica, its pod's (required)")
	flags.StringVar(&o.listen, "listen", ":8443", "public `address`, TLS")
	flags.StringVar(&o.status, "status-listen", ":9090", "`address` inside the cluster, plain HTTP: probes, identity, metrics")
	flags.StringVar(&o.authz, "authz-listen", "", "`address` inside the cluster, plain HTTP, where other ingresses ask whether the gate is open (default: none)")
	flags.StringVar(&o.tlsCert, "tls-cert", "", "PEM `file` with the public certificate and its chain (required)")
	flags.StringVar(&o.tlsKey, "tls-key", "", "PEM `file` with its key (required)")
	flags.StringVar(&o.routes, "routes", "", "JSON `file` with the routes to the services (required)")
	flags.StringVar(&o.clientCA, "client-ca", "", "PEM `file` with the CAs that verify clients' certificates, read anew when it changes (default: none is verified)")
	flags.StringVar(&o.certHeader, "client-cert-header", "", "`header` that carries a client's certificate to https services (default: none does)")
	flags.StringVar(&o.upstreamCA, "upstream-ca", "", "PEM `file` with the CAs that verify https services (default: the system's)")
	flags.StringVar(&o.profile, "profile", "default", "constants of the epochs that this zone claims: default or calm (slow links)")
	flags.StringToStringVar(&o.zoneURLs, "zone-url", nil, "public URL of a zone, as `ZONE=URL`; a 423 names the active zone's; repeatable")
	flags.IntVar(&o.redirect, "redirect", 0, "status `code` (302, 307, 308) that sends browsers to the active zone; 0 shows them a page")
	flags.BoolVar(&o.standing, "standing-intent", false, "the environment has this one zone: it is always intended")
	flags.DurationVar(&o.drain, "drain", drainTime, "how long requests under way may go on after a planned close")
	flags.DurationVar(&o.linger, "linger", lingerTime, "after SIGTERM, serve on until load balancers have sent no new connection for this long")
	o.mongo.register(flags)
	return cmd
}

// complete reads the files that the flags name and reports every mistake at once.
func (o *gatewayOptions) complete() error {
	problems := append(o.identity.problems(), o.mongo.problems()...)
	for _, f := range []struct{ name, value string }{{"replica", o.replica}, {"tls-cert", o.tlsCert}, {"tls-key", o.tlsKey}, {"routes", o.routes}} {
		if f.value == "" {
			problems = append(problems, fmt.Errorf("--%s is missing", f.name))
		}
	}
	terms := map[string]lease.Term{"default": lease.DefaultTerm(), "calm": lease.CalmTerm()}
	term, found := terms[o.profile]
	if !found {
		problems = append(problems, fmt.Errorf("--profile %q is neither default nor calm", o.profile))
	}
	if !slices.Contains([]int{0, http.StatusFound, http.StatusTemporaryRedirect, http.StatusPermanentRedirect}, o.redirect) {
		problems = append(problems, fmt.Errorf("--redirect %d is none of 302, 307, 308", o.redirect))
	}
	o.config.ZoneURLs, o.config.ZoneNames, o.config.Redirect = map[string]string{}, map[string]string{}, o.redirect
	for name, address := range o.zoneURLs {
		if u, err := url.Parse(address); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
			problems = append(problems, fmt.Errorf("--zone-url %s: %q is not an http or https URL", name, address))
		}
		o.config.ZoneURLs[zone.Key(name)], o.config.ZoneNames[zone.Key(name)] = address, name
	}
	if o.drain < 0 {
		problems = append(problems, fmt.Errorf("--drain %s is negative", o.drain))
	}
	if o.linger < 0 {
		problems = append(problems, fmt.Errorf("--linger %s is negative", o.linger))
	}
	if o.certHeader != "" && !headerName(o.certHeader) {
		problems = append(problems, fmt.Errorf("--client-cert-header %q is not the name of a header of its own", o.certHeader))
	}
	o.config.CertHeader = textproto.CanonicalMIMEHeaderKey(o.certHeader)
	if o.clientCA != "" {
		ca := gateway.NewCAFile(o.clientCA)
		if _, err := ca.Get(); err != nil {
			problems = append(problems, fmt.Errorf("--client-ca: %w", err))
		}
		o.config.ClientCA = ca.Get
	}
	if o.routes != "" {
		data, err := os.ReadFile(o.routes)
		if err == nil {
			o.config.Routes, err = gateway.ParseRoutes(data)
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("--routes: %w", err))
		}
	}
	if o.upstreamCA != "" {
		pem, err := os.ReadFile(o.upstreamCA)
		o.config.UpstreamCA = x509.NewCertPool()
		if err != nil {
			problems = append(problems, fmt.Errorf("--upstream-ca: %w", err))
		} else if !o.config.UpstreamCA.AppendCertsFromPEM(pem) {
			problems = append(problems, fmt.Errorf("--upstream-ca: no certificate in %s", o.upstreamCA))
		}
	}
	pair := gateway.NewKeyPair(o.tlsCert, o.tlsKey)
	if o.tlsCert != "" && o.tlsKey != "" {
		if _, err := pair.Get(); err != nil {
			problems = append(problems, fmt.Errorf("--tls-cert, --tls-key: %w", err))
		}
	}
	o.config.Certificate = pair.Get
	o.config.Lease = lease.Config{
		Zone: zone.Key(o.identity.zone), Replica: processID(o.replica), Term: term, Standing: o.standing, Drain: o.drain, Nonce: rand.Text,
		Jitter: func(limit time.Duration) time.Duration { return mathrand.N(max(limit, 1)) }, //nolint:gosec // spreads retries
	}
	if err := errors.Join(problems...); err != nil {
		return usagef("%w", err)
	}
	return nil
}

func (o *gatewayOptions) run(ctx context.Context) error {
	client, err := o.mongo.connect(ctx, "aporeto-gateway-"+o.config.Lease.Zone)
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTime)
		defer cancel()
		_ = client.Close(ctx) // the process ends; there is nothing to be done about it
	}()
	c := &o.config
	c.Environment, c.Zone, c.Version = o.identity.environment, o.identity.zone, o.env.Version
	c.Listen, c.Status, c.Authz, c.Linger, c.Clock = o.listen, o.status, o.authz, o.linger, clock.System()
	store := client.LeaseStore(c.Environment, c.Lease.Term.C)
	c.Store, c.Journal = store, client.Journal(c.Environment, c.Lease.Term.C)
	c.Probes = func() []mongo.Sighting { return store.Sightings(c.Lease.Zone) }
	c.Log = o.env.logger("gateway").With("environment", c.Environment, "replica", c.Lease.Replica)
	return gateway.New(*c).Run(ctx) //nolint:contextcheck // a request has a context of its own
}

// headerName tells whether name may be a header that the gateway gives a meaning: letters, digits and dashes, and not one that HTTP itself
// or the gateway uses.
func headerName(name string) bool {
	for _, c := range []byte(name) {
		if c != '-' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return false
		}
	}
	reserved := []string{"Accept", "Authorization", "Connection", "Content-Length", "Content-Type", "Cookie", "Expect", "Forwarded", "Host", "Keep-Alive", "Origin",
		"Te", "Trailer", "Transfer-Encoding", "Upgrade", "User-Agent", "X-Real-Ip"}
	canonical := textproto.CanonicalMIMEHeaderKey(name)
	return !slices.Contains(reserved, canonical) && !strings.HasPrefix(canonical, "X-Forwarded")
}

// processID makes of a pod's name an id that no other process has ever had: a container restarts under its pod's name. It is a field
// of the lease document, so it must not contain a dot.
func processID(replica string) string {
	return strings.ReplaceAll(replica, ".", "_") + "-" + rand.Text()[:8]
}
