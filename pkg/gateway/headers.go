package gateway

import (
	"encoding/pem"
	"net/http"
	"net/url"
	"strings"
)

// forged tells whether a header is one by which a client could pass for another one. Those of the X-Forwarded family go by their prefix.
func forged(name string) bool {
	for _, f := range [...]string{"forwarded", "x-real-ip", "x-client-ip", "x-cluster-client-ip", "true-client-ip", "x-original-forwarded-for"} {
		if folds(name, f) {
			return true
		}
	}
	return len(name) >= len(forgedPrefix) && folds(name[:len(forgedPrefix)], forgedPrefix)
}

const forgedPrefix = "x-forwarded"

// hygiene decides about the headers of requests that go upstream.
type hygiene struct {
	clientCert string // header for the client's certificate; "" for none
}

// scrub removes what only a gateway may say. Many services fold every character but letters and digits into one (CGI, WSGI): names are
// compared that way, so that X_Forwarded_For does not pass for X-Forwarded-For.
func (h hygiene) scrub(header http.Header) {
	for name := range header {
		if h.spoofs(name) {
			delete(header, name)
		}
	}
}

func (h hygiene) spoofs(name string) bool {
	return forged(name) || h.clientCert != "" && folds(name, h.clientCert)
}

// folds tells whether a and b are one name to a service that ignores case and keeps only letters and digits apart.
func folds(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if fold(a[i]) != fold(b[i]) {
			return false
		}
	}
	return true
}

func fold(c byte) byte {
	switch {
	case 'A' <= c && c <= 'Z':
		return c + 'a' - 'A'
	case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		return c
	}
	return '-'
}

// tellCertificate says upstream which certificate the client has the key of: its PEM form, percent-encoded, as nginx's
// $ssl_client_escaped_cert. It is for verified https only: elsewhere nobody knows who reads it, or who else writes it.
func (h hygiene) tellCertificate(in *http.Request, out http.Header, target *url.URL) {
	if h.clientCert == "" || target.Scheme != "https" || in.TLS == nil || len(in.TLS.PeerCertificates) == 0 {
		return
	}
	leaf := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: in.TLS.PeerCertificates[0].Raw})
	out.Set(h.clientCert, url.PathEscape(string(leaf)))
}

// keepUpgrade leaves an upgrade in place only where it is to a websocket. Another one (h2c above all) would be a way past the routes and
// past this file; without it, the request goes as a plain one, as RFC 9110, section 7.8, allows.
func keepUpgrade(out http.Header) {
	if upgrade := out["Upgrade"]; len(upgrade) > 0 && (len(upgrade) > 1 || !strings.EqualFold(upgrade[0], "websocket")) {
		delete(out, "Upgrade")
		delete(out, "Connection")
	}
}
