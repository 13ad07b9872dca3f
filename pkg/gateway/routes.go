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

	target *url.URL
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
		r.target = target
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
		host := route.target.Host
		if route.target.Port() == "" {
			port := "80"
			if route.target.Scheme == "https" {
				port = "443"
			}
			host = net.JoinHostPort(route.target.Hostname(), port)
		}
		hosts = append(hosts, host)
	}
	slices.Sort(hosts)
	return slices.Compact(hosts)
}
