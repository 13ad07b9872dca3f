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
	zone string
	page *template.Template // for browsers
}

func newRefusal(zoneName string) *refusal {
	return &refusal{zone: zoneName, page: template.Must(template.New("maintenance").Parse(maintenancePage))}
}

// answer answers a request to a closed zone and returns the status code.
func (f *refusal) answer(w http.ResponseWriter, r *http.Request, v lease.View) int {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	if r.Method == http.MethodOptions {
		allowAnyOrigin(h, r)
		w.WriteHeader(http.StatusOK)
		return http.StatusOK
	}
	h.Set("Retry-After", retryAfter)
	allowAnyOrigin(h, r) // else a browser's script could not see the 423
	elsewhere := ""
	if v.Known && v.Holder != "" && v.Holder != zone.Key(f.zone) {
		elsewhere = v.Holder
	}
	if prefersHTML(r) {
		var page bytes.Buffer
		if f.page.Execute(&page, map[string]string{"Zone": f.zone, "Elsewhere": elsewhere}) == nil {
			h.Set("Content-Type", "text/html; charset=utf-8")
			h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
			w.WriteHeader(http.StatusLocked)
			_, _ = w.Write(page.Bytes()) // an error means that the client went away
			return http.StatusLocked
		}
	}
	description := fmt.Sprintf("The zone %s is in maintenance mode.", f.zone)
	if elsewhere != "" {
		description = fmt.Sprintf("The zone %s is in maintenance mode; the active zone is %s.", f.zone, elsewhere)
	}
	problem(w, http.StatusLocked, "Service Locked", description)
	return http.StatusLocked
}

// problem answers in the platform's error form.
func problem(w http.ResponseWriter, code int, title, description string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	// An error means that the client went away.
	_ = json.NewEncoder(w).Encode([]Problem{{Code: code, Title: title, Subject: "gateway", Description: description}})
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
