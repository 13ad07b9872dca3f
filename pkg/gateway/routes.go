package gateway

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
)

// Route sends requests for a host and a path, with everything below it, to an upstream.
type Route struct {
	Host     string `json:"host"` // lower case, without port; "" is any host
	Path     string `json:"path"` // begins with /
	Upstream string `json:"upstream"`
	Held     bool   `json:"held"` // of an active-only service: nobody listens there while the zone is passive

	target  *url.URL
	address string // host:port of the upstream
	plain   bool   // requests go there as they came: over http, to the upstream's root
}

// Routes is the table that a gateway proxies by: an exact host before any host, then the longest path.
type Routes []Route

// ParseRoutes reads routes.json, {"routes":[{"host":…,"path":…,"upstream":…,"held":…}]}, and reports every problem in it.
func ParseRoutes(data []byte) (Routes, error) {
	var file struct {
		Routes Routes `json:"routes"`
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&file); err != nil {
		return nil, fmt.Errorf("parse routes: %w", err)
	}
	var problems []error
	for i := range file.Routes {
		r := &file.Routes[i]
		r.Host = strings.ToLower(r.Host)
		if r.Path == "" {
			r.Path = "/"
		}
		target, err := url.Parse(r.Upstream)
		switch {
		case err != nil:
			problems = append(problems, fmt.Errorf("route %d: upstream: %w", i, err))
		case target.Host == "" || target.Scheme != "http" && target.Scheme != "https":
			problems = append(problems, fmt.Errorf("route %d: upstream %q is not an http or https URL", i, r.Upstream))
		case !strings.HasPrefix(r.Path, "/"):
			problems = append(problems, fmt.Errorf("route %d: path %q does not begin with /", i, r.Path))
		}
		if r.target = target; target != nil {
			r.address = addressOf(target)
			r.plain = target.Scheme == "http" && (target.Path == "" || target.Path == "/") && target.User == nil && isASCII(target.Host)
		}
	}
	slices.SortStableFunc(file.Routes, func(a, b Route) int {
		if (a.Host == "") != (b.Host == "") {
			if a.Host == "" {
				return 1
			}
			return -1
		}
		return len(b.Path) - len(a.Path)
	})
	return file.Routes, errors.Join(problems...)
}

// Match returns the route for a request's Host header and path, nil when none fits.
func (r Routes) Match(host, path string) *Route {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	for i := range r {
		if (r[i].Host == "" || r[i].Host == host) && below(path, r[i].Path) {
			return &r[i]
		}
	}
	return nil
}

// below tells whether path is prefix or lies under it, segment by segment.
func below(path, prefix string) bool {
	rest, found := strings.CutPrefix(path, strings.TrimSuffix(prefix, "/"))
	return found && (rest == "" || rest[0] == '/')
}

// Upstreams returns the host:port of every distinct upstream that is there in a passive zone too.
func (r Routes) Upstreams() []string {
	var hosts []string
	for _, route := range r {
		if route.Held {
			continue
		}
		hosts = append(hosts, route.address)
	}
	slices.Sort(hosts)
	return slices.Compact(hosts)
}

// addressOf returns the host:port that u leads to.
func addressOf(u *url.URL) string {
	if u.Port() != "" {
		return u.Host
	}
	port := "80"
	if u.Scheme == "https" {
		port = "443"
	}
	return net.JoinHostPort(u.Hostname(), port)
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
