package gateway

import (
	"strings"
	"testing"
)

func TestRoutesMatch(t *testing.T) {
	routes, err := ParseRoutes([]byte(`{"routes":[
		{"host":"","path":"/","upstream":"http://any:80"},
		{"host":"","path":"/v1","upstream":"http://v1:80"},
		{"host":"","path":"/held","upstream":"http://held:80","held":true},
		{"host":"API.example.com","path":"/","upstream":"http://api:80"},
		{"host":"held.example.com","path":"/","upstream":"http://held:80","held":true},
		{"host":"api.example.com","path":"/v1/jobs/","upstream":"https://jobs"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ host, path, want string }{
		{"other.example.com", "/", "any:80"},
		{"other.example.com", "/v1", "v1:80"},
		{"other.example.com", "/v1/x", "v1:80"},
		{"other.example.com", "/v10", "any:80"},
		{"other.example.com", "/held", "held:80"},
		{"api.example.com:443", "/v1", "api:80"},
		{"Api.Example.Com.", "/v1/jobs", "jobs"},
		{"api.example.com", "/v1/jobs/7", "jobs"},
		{"api.example.com", "*", ""},
	} {
		got := ""
		if r := routes.Match(c.host, c.path); r != nil {
			got = r.target.Host
		}
		if got != c.want {
			t.Errorf("Match(%q, %q) = %q, want %q", c.host, c.path, got, c.want)
		}
	}
	if got := strings.Join(routes.Upstreams(), " "); got != "any:80 api:80 jobs:443 v1:80" {
		t.Errorf("Upstreams() = %s", got)
	}
}

func TestRoutesReportEveryProblem(t *testing.T) {
	_, err := ParseRoutes([]byte(`{"routes":[{"path":"x","upstream":"http://a"},{"path":"/","upstream":"ftp://b"}]}`))
	if err == nil || !strings.Contains(err.Error(), "route 0") || !strings.Contains(err.Error(), "route 1") {
		t.Errorf("got %v", err)
	}
	if _, err := ParseRoutes([]byte(`{"routes":[],"more":1}`)); err == nil {
		t.Error("an unknown field was taken")
	}
}
