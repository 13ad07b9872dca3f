package probe

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/hint"
)

// SystemResolver names the resolver of the machine, or of the cluster when in a pod.
const SystemResolver = "system"

// DefaultTimeout is how long one probe may take from its name lookup to the last byte of its answer.
const DefaultTimeout = 2 * time.Second

// Options says whom to ask and what to believe.
type Options struct {
	// Endpoint is the URL of the global record, for example https://api.example.com: https, a host, perhaps a port, nothing more.
	Endpoint string
	// Environment is the id that an answer must carry.
	Environment string
	// Resolvers are DNS servers as HOST:PORT, or SystemResolver; none means SystemResolver alone.
	Resolvers []string
	// Roots are the only CAs believed; nil means the system's.
	Roots *x509.CertPool
	// Timeout bounds one probe; 0 means DefaultTimeout.
	Timeout time.Duration
	// UserAgent names the program in the endpoint's logs.
	UserAgent string
}

// Validate returns every problem of o, joined.
func (o Options) Validate() error {
	var problems []error
	if _, err := parseEndpoint(o.Endpoint); err != nil {
		problems = append(problems, err)
	}
	if o.Environment == "" {
		problems = append(problems, errors.New("no environment id to compare answers with"))
	}
	if o.Timeout < 0 {
		problems = append(problems, fmt.Errorf("time limit %s of a probe is negative", o.Timeout))
	}
	seen := map[string]bool{}
	for _, r := range o.Resolvers {
		if err := validateResolver(r); err != nil {
			problems = append(problems, err)
		}
		if seen[r] {
			problems = append(problems, fmt.Errorf("resolver %q is given twice", r))
		}
		seen[r] = true
	}
	return errors.Join(problems...)
}

// endpoint is the parsed URL of the global record.
type endpoint struct {
	host string // without brackets
	port string
	url  url.URL // scheme and authority
}

func parseEndpoint(raw string) (endpoint, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return endpoint{}, fmt.Errorf("read endpoint: %w", err)
	}
	const example = "give the URL of the global record, for example https://api.example.com"
	switch {
	case u.Scheme == "http":
		return endpoint{}, hint.New(fmt.Sprintf("endpoint %q is http: without TLS nobody knows who answers", raw), example)
	case u.Scheme != "https", u.Hostname() == "":
		return endpoint{}, hint.New(fmt.Sprintf("endpoint %q is not an https URL", raw), example)
	case u.User != nil:
		return endpoint{}, hint.New("endpoint carries a user name or password", example)
	case strings.Trim(u.Path, "/") != "", u.RawQuery != "", u.Fragment != "":
		return endpoint{}, hint.New(fmt.Sprintf("endpoint %q has more than a host and a port", raw), example)
	}
	port := u.Port()
	if port == "" {
		port = "443"
	} else if !validPort(port) {
		return endpoint{}, hint.New(fmt.Sprintf("endpoint %q has an impossible port", raw), example)
	}
	return endpoint{host: u.Hostname(), port: port, url: url.URL{Scheme: u.Scheme, Host: u.Host}}, nil
}

func validateResolver(r string) error {
	if r == SystemResolver {
		return nil
	}
	host, port, err := net.SplitHostPort(r)
	if err != nil || host == "" || !validPort(port) {
		return hint.New(fmt.Sprintf("resolver %q is not HOST:PORT", r), "give a DNS server such as 10.0.0.10:53, or "+SystemResolver)
	}
	return nil
}

func validPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0
}
