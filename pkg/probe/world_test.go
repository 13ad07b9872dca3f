package probe_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// host is the name of the global record in these tests.
const host = "api.example.test"

// authority issues certificates that its pool verifies.
type authority struct {
	tb   testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(tb testing.TB) *authority {
	tb.Helper()
	key := newKey(tb)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	cert := sign(tb, template, template, key, key)
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return &authority{tb: tb, cert: cert, key: key, pool: pool}
}

// issue returns a certificate for name that ends after life.
func (a *authority) issue(name string, life time.Duration) tls.Certificate {
	a.tb.Helper()
	key := newKey(a.tb)
	cert := sign(a.tb, &x509.Certificate{
		SerialNumber: big.NewInt(2), DNSNames: []string{name}, NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(life),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, a.cert, key, a.key)
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key}
}

func newKey(tb testing.TB) *ecdsa.PrivateKey {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

func sign(tb testing.TB, template, parent *x509.Certificate, key, signer *ecdsa.PrivateKey) *x509.Certificate {
	tb.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		tb.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		tb.Fatal(err)
	}
	return cert
}

// gateway is a zone's gateway as far as a probe meets it.
type gateway struct {
	addr        netip.AddrPort
	connections atomic.Int32
}

// startGateway listens at listen (an address, with port 0 for any) with the certificate cert.
func startGateway(tb testing.TB, listen string, cert tls.Certificate, answer http.HandlerFunc) *gateway {
	tb.Helper()
	g := &gateway{}
	s := httptest.NewUnstartedServer(answer)
	l, err := (&net.ListenConfig{}).Listen(tb.Context(), "tcp", listen)
	if err != nil {
		tb.Fatal(err)
	}
	s.Listener.Close()
	s.Listener = l
	s.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	s.Config.ErrorLog = nil
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			g.connections.Add(1)
		}
	}
	s.StartTLS()
	tb.Cleanup(s.Close)
	g.addr = netip.MustParseAddrPort(l.Addr().String())
	return g
}

// identity answers as zone's gateway does; change may spoil the answer.
func identity(zone string, change func(answer map[string]any)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/.well-known/aporeto/zone" {
			http.NotFound(w, r)
			return
		}
		answer := map[string]any{"environment": "env-1", "zone": zone, "state": "Locked", "epoch": 7, "nonce": r.URL.Query().Get("nonce")}
		if change != nil {
			change(answer)
		}
		if err := json.NewEncoder(w).Encode(answer); err != nil {
			panic(err)
		}
	}
}

// nameServer is a DNS server with one A record, which can be moved. Without an address it says that there is no such name.
type nameServer struct {
	addr    string
	queries atomic.Int32

	mu     sync.Mutex
	record netip.Addr
}

func (s *nameServer) point(at netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.record = at
}

func startNameServer(tb testing.TB, at netip.Addr) *nameServer {
	tb.Helper()
	c, err := (&net.ListenConfig{}).ListenPacket(tb.Context(), "udp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	s := &nameServer{addr: c.LocalAddr().String(), record: at}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 1500)
		for {
			n, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			if reply := s.answer(buf[:n]); reply != nil {
				_, _ = c.WriteTo(reply, from) // a lost reply is the asker's trouble
			}
		}
	}()
	tb.Cleanup(func() { c.Close(); <-done })
	return s
}

func (s *nameServer) answer(query []byte) []byte {
	var p dnsmessage.Parser
	header, err := p.Start(query)
	if err != nil {
		return nil
	}
	q, err := p.Question()
	if err != nil {
		return nil
	}
	s.queries.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	known := q.Name.String() == host+"." && s.record.IsValid()
	reply := dnsmessage.Message{Header: dnsmessage.Header{ID: header.ID, Response: true, Authoritative: true}, Questions: []dnsmessage.Question{q}}
	switch {
	case !known:
		reply.RCode = dnsmessage.RCodeNameError
	case q.Type == dnsmessage.TypeA:
		reply.Answers = []dnsmessage.Resource{{
			Header: dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET, TTL: 1}, Body: &dnsmessage.AResource{A: s.record.As4()},
		}}
	}
	packed, err := reply.Pack()
	if err != nil {
		return nil
	}
	return packed
}
