package gateway

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"strings"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/lease"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/zone"
)

//go:embed maintenance.html
var maintenancePage string

// Problem is one entry of an error's body, in the form that the platform's clients parse.
type Problem struct {
	Code        int    `json:"code"`
	Title       string `json:"title"`
	Subject     string `json:"subject"`
	Description string `json:"description"`
}

// retryAfter is how many seconds a refused client is asked to wait.
const retryAfter = "5"

// refusal is what a closed zone answers.
type refusal struct {
	zone     string
	urls     map[string]string  // zone key → public URL, for as many zones as have one
	names    map[string]string  // zone key → name as people write it
	redirect int                // status code that sends browsers to the active zone; 0 means the page
	page     *template.Template // for browsers
}

func newRefusal(cfg Config) *refusal {
	return &refusal{
		zone: cfg.Zone, urls: cfg.ZoneURLs, names: cfg.ZoneNames, redirect: cfg.Redirect, page: template.Must(template.New("maintenance").Parse(maintenancePage)),
	}
}

// answer answers a request to a closed zone and returns the status code.
func (f *refusal) answer(w http.ResponseWriter, r *http.Request, v lease.View) int {
	if r.Method == http.MethodOptions {
		w.Header().Set("Cache-Control", "no-store")
		allowAnyOrigin(w.Header(), r)
		w.WriteHeader(http.StatusOK)
		return http.StatusOK
	}
	return f.refuse(w, r, v, refused{code: http.StatusLocked, uri: r.URL.RequestURI()})
}

// refused is how a refusal is put.
type refused struct {
	code int
	uri  string // path and query that the client asked for
}

// refuse answers with how.code, or sends browsers elsewhere where that is wanted, and returns the status code.
func (f *refusal) refuse(w http.ResponseWriter, r *http.Request, v lease.View, how refused) int {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Retry-After", retryAfter)
	allowAnyOrigin(h, r) // else a browser's script could not see the 423
	elsewhere := ""
	if v.Known && v.Holder != "" && v.Holder != zone.Key(f.zone) {
		elsewhere = v.Holder
	}
	url := f.urls[elsewhere]
	if name := f.names[elsewhere]; name != "" {
		elsewhere = name
	}
	if url != "" {
		h.Set("Link", "<"+url+`>; rel="alternate"`)
	}
	if prefersHTML(r) {
		return f.refuseBrowser(w, how, elsewhere, url)
	}
	description := fmt.Sprintf("The zone %s is in maintenance mode.", f.zone)
	switch {
	case url != "":
		description = fmt.Sprintf("The zone %s is in maintenance mode; the active zone is %s at %s.", f.zone, elsewhere, url)
	case elsewhere != "":
		description = fmt.Sprintf("The zone %s is in maintenance mode; the active zone is %s.", f.zone, elsewhere)
	}
	locked(w, how.code, description)
	return how.code
}

// locked answers in the platform's error form. The body says 423 whatever code an ingress wants to see.
func locked(w http.ResponseWriter, code int, description string) {
	problemAs(w, code, Problem{Code: http.StatusLocked, Title: "Service Locked", Subject: "gateway", Description: description})
}

// refuseBrowser sends a browser to the active zone where that is wanted and known, else shows it a page.
func (f *refusal) refuseBrowser(w http.ResponseWriter, how refused, elsewhere, url string) int {
	h := w.Header()
	if f.redirect != 0 && url != "" && how.code == http.StatusLocked {
		h.Set("Location", strings.TrimSuffix(url, "/")+"/"+strings.TrimPrefix(how.uri, "/"))
		w.WriteHeader(f.redirect)
		return f.redirect
	}
	var page bytes.Buffer
	if err := f.page.Execute(&page, map[string]string{"Zone": f.zone, "Elsewhere": elsewhere, "URL": url}); err != nil {
		locked(w, how.code, "This zone is in maintenance mode.")
		return how.code
	}
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(how.code)
	_, _ = w.Write(page.Bytes()) // an error means that the client went away
	return how.code
}

// problem answers in the platform's error form.
func problem(w http.ResponseWriter, code int, title, description string) {
	problemAs(w, code, Problem{Code: code, Title: title, Subject: "gateway", Description: description})
}

func problemAs(w http.ResponseWriter, code int, p Problem) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode([]Problem{p}) // an error means that the client went away
}

func allowAnyOrigin(h http.Header, r *http.Request) {
	origin := r.Header.Get("Origin")
	if origin == "" {
		origin = "*"
	} else {
		h.Add("Vary", "Origin")
		h.Set("Access-Control-Allow-Credentials", "true")
	}
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Allow-Methods", "GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS")
	if asked := r.Header.Get("Access-Control-Request-Headers"); asked != "" {
		h.Set("Access-Control-Allow-Headers", asked)
	}
	h.Set("Access-Control-Max-Age", "60")
}

// prefersHTML tells a browser from the platform's other clients.
func prefersHTML(r *http.Request) bool {
	accept := r.Header.Get("Accept")
	html, api := strings.Index(accept, "text/html"), strings.Index(accept, "application/json")
	return html >= 0 && (api < 0 || html < api)
}
