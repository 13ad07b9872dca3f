package mongocheck

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/hint"
)

// kinded is an error that knows its kind: the relay's, which was classified at the other end.
type kinded interface {
	error
	TroubleKind() string
}

// DialTrouble says why no TCP connection came about within limit.
func DialTrouble(err error, limit time.Duration) Trouble {
	var known kinded
	var dns *net.DNSError
	switch {
	case errors.As(err, &known):
		return NewTrouble(Kind(known.TroubleKind()), "%s", known.Error())
	case hint.Of(err) != "": // the way itself is in trouble, not the router
		return Trouble{Kind: Unreachable, Text: "it was not reached: " + err.Error(), Hint: hint.Of(err)}
	case errors.As(err, &dns) && dns.IsNotFound:
		return NewTrouble(NoName, "its name %s does not resolve", dns.Name)
	case errors.As(err, &dns):
		return NewTrouble(NoName, "its name %s cannot be resolved: %s", dns.Name, dns.Err)
	case errors.Is(err, syscall.ECONNREFUSED):
		return NewTrouble(Refused, "it refuses the connection: nothing listens there")
	case timedOut(err):
		return NewTrouble(NoAnswer, "it does not answer within %s: it is down, or a firewall drops what is sent", limit)
	}
	return NewTrouble(Unreachable, "it cannot be reached: %v", err)
}

// HandshakeTrouble says why no TLS connection came about within limit. verified tells that the router's certificate was found good
// before.
func HandshakeTrouble(err error, verified bool, roots *x509.CertPool, name string, now time.Time, limit time.Duration) ([]*x509.Certificate, []Trouble) {
	one := func(k Kind, format string, args ...any) ([]*x509.Certificate, []Trouble) {
		return nil, []Trouble{NewTrouble(k, format, args...)}
	}
	var certificate *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	switch {
	case errors.As(err, &certificate):
		chain, troubles := JudgeChain(certificate.UnverifiedCertificates, roots, name, now)
		if len(troubles) == 0 { // never: crypto/tls has just refused it
			troubles = []Trouble{NewTrouble(BadChain, "its certificate does not verify: %v", certificate.Err)}
		}
		return chain, troubles
	case errors.As(err, &record):
		return one(NoTLS, "it answers, but not by TLS")
	case timedOut(err):
		return one(NoAnswer, "it accepts the connection but does not answer within %s", limit)
	case refusal(err), verified && ended(err):
		return one(ClientCert, "it refuses this client's certificate (%s)", brief(err))
	case ended(err):
		return one(NoTLS, "it closes the connection at the first word of TLS: it does not speak TLS there")
	}
	return one(Handshake, "TLS does not come about: %v", err)
}

// GreetingTrouble says why no answer to the first command came within limit.
func GreetingTrouble(err error, limit time.Duration) Trouble {
	switch {
	case timedOut(err):
		return NewTrouble(NoAnswer, "it speaks TLS but does not answer the first command within %s", limit)
	case refusal(err), ended(err):
		return NewTrouble(ClientCert, "it refuses this client's certificate (%s)", brief(err))
	}
	return NewTrouble(NotMongoDB, "what answers there is not MongoDB: %v", err)
}

// Explain completes t, a router's trouble, where it is a refusal of the client's certificate and own, what the client showed, tells why.
func Explain(t Trouble, own *x509.Certificate, now time.Time) Trouble {
	if t.Kind != ClientCert || own == nil {
		return t
	}
	why := ""
	switch {
	case now.After(own.NotAfter):
		why = "it expired at " + stamp(own.NotAfter)
	case now.Before(own.NotBefore):
		why = "it is not valid before " + stamp(own.NotBefore)
	case !forClients(own):
		why = "clientAuth is not among its extended key usages"
	default:
		return t
	}
	t.Text = fmt.Sprintf("it refuses this client's certificate %s: %s", Subject(own), why)
	t.Hint = "kubectl aporeto pki init reissues it; kubectl aporeto deploy --all-zones takes new ones to the zones"
	return t
}

func timedOut(err error) bool {
	var timeout net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()
}

// ended tells whether the other side closed the connection.
func ended(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, io.ErrClosedPipe)
}

// refusal tells whether err is a TLS alert about the client's certificate.
func refusal(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error" && strings.Contains(op.Error(), "certificate")
}

func brief(err error) string {
	if refusal(err) {
		return err.Error()
	}
	return "it closed the connection without a word"
}
