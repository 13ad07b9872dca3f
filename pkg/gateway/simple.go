package gateway

import (
	"bytes"
	"net/http"

	"golang.org/x/net/http/httpguts"
)

// simple returns the length of the request header that b begins with, 0 where that is not all of one, or not one that a lane takes.
//
// It decides where a request goes, not what it says: net/http parses each. So it takes only what nobody could read in two ways, which is what
// clients send: one line a field, no body, one Host, a target that is a path (RFC 9112).
func simple(b []byte) int {
	end := bytes.Index(b, []byte("\r\n\r\n"))
	if end < 0 {
		return 0
	}
	line, fields, _ := bytes.Cut(b[:end+2], []byte("\r\n"))
	if !simpleLine(line) {
		return 0
	}
	hosts := 0
	for len(fields) > 0 {
		line, fields, _ = bytes.Cut(fields, []byte("\r\n"))
		name, value, found := bytes.Cut(line, []byte(":"))
		if !found || !httpguts.ValidHeaderFieldName(string(name)) || !isText(value) {
			return 0
		}
		switch len(name) {
		case len("Host"):
			if is(name, "host") {
				hosts++
			}
		case len("Expect"):
			if is(name, "expect") {
				return 0
			}
		case len("Upgrade"): // and Trailer
			if is(name, "upgrade") || is(name, "trailer") {
				return 0
			}
		case len("Connection"):
			if is(name, "connection") && !is(bytes.TrimSpace(value), "keep-alive") {
				return 0
			}
		case len("Content-Length"):
			if is(name, "content-length") {
				return 0
			}
		case len("Transfer-Encoding"):
			if is(name, "transfer-encoding") {
				return 0
			}
		}
	}
	if hosts != 1 {
		return 0
	}
	return end + 4
}

// simpleLine tells whether line is a request line of HTTP/1.1 with a method that has no body, and a path.
func simpleLine(line []byte) bool {
	method, rest, _ := bytes.Cut(line, []byte(" "))
	target, version, _ := bytes.Cut(rest, []byte(" "))
	if string(version) != "HTTP/1.1" || !bodyless(string(method)) || len(target) == 0 || target[0] != '/' {
		return false
	}
	for _, c := range target {
		if c <= ' ' || c >= 0x7f || c == '#' {
			return false
		}
	}
	return true
}

// bodyless tells whether requests of method have no body as a rule.
func bodyless(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions || method == http.MethodDelete
}

// is compares a with lower, which is in lower case, without regard to ASCII's case.
func is(a []byte, lower string) bool {
	if len(a) != len(lower) {
		return false
	}
	for i, c := range a {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// isText tells whether b may be a field's value.
func isText(b []byte) bool {
	for _, c := range b {
		if c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}
