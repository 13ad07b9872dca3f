package mongo_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/hint"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongo"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongo/mongotest"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongocheck"
)

// authority is a CA whose certificates can be wrong in every way.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newCA(t *testing.T) authority {
	t.Helper()
	a := authority{cert: &x509.Certificate{Subject: pkix.Name{CommonName: "inspect CA"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}}
	a.cert, a.key = a.sign(t, a.cert)
	return a
}

// sign completes what template leaves out.
func (a authority) sign(t *testing.T, template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	if template.NotAfter.IsZero() {
		template.NotBefore, template.NotAfter = time.Now().Add(-24*time.Hour), time.Now().Add(24*time.Hour)
	}
	parent, signer := a.cert, a.key
	if signer == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

// tlsServer is a router as far as TLS goes: it says nothing afterwards.
func (a authority) tlsServer(t *testing.T, template *x509.Certificate) string {
	t.Helper()
	cert, key := a.sign(t, template)
	config := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: key}}}
	return listen(t, func(conn net.Conn) {
		server := tls.Server(conn, config)
		if server.HandshakeContext(t.Context()) == nil {
			_, _ = io.Copy(io.Discard, server)
		}
	})
}

// listen serves connections on loopback until the test ends, each until serve returns.
func listen(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				serve(conn)
			}()
		}
	}()
	t.Cleanup(func() {
		listener.Close()
		<-done
	})
	return listener.Addr().String()
}

func server(usage ...x509.ExtKeyUsage) *x509.Certificate {
	return &x509.Certificate{Subject: pkix.Name{CommonName: "router"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: usage}
}

// TestTroubles makes every trouble on the way to a router for real, all routers in one list, and finds each named, and named alike by
// what deploy asks.
func TestTroubles(t *testing.T) {
	standin := mongotest.Start(t, mongotest.Options{})
	refusing := mongotest.Start(t, mongotest.Options{Config: mongotest.Config{ClientCAs: otherChain(t)}})
	ca := newCA(t)
	dates := func(from, to time.Duration) *x509.Certificate {
		c := server(x509.ExtKeyUsageServerAuth)
		c.NotBefore, c.NotAfter = time.Now().Add(from), time.Now().Add(to)
		return c
	}
	nameless, elsewhere, misnamed := server(x509.ExtKeyUsageServerAuth), server(x509.ExtKeyUsageServerAuth), server(x509.ExtKeyUsageServerAuth)
	misnamed.IPAddresses, misnamed.DNSNames = nil, []string{"127.0.0.1"}
	nameless.IPAddresses = nil
	elsewhere.IPAddresses, elsewhere.DNSNames = nil, []string{"mongo-1"}
	cases := []struct {
		host string
		kind mongocheck.Kind
		text string
	}{
		{newCA(t).tlsServer(t, server(x509.ExtKeyUsageServerAuth)), mongocheck.WrongCA, "issuer CN=inspect CA"},
		{ca.tlsServer(t, nameless), mongocheck.NoSAN, "no subject alternative name"},
		{ca.tlsServer(t, elsewhere), mongocheck.WrongName, "is for mongo-1, not for 127.0.0.1"},
		{ca.tlsServer(t, misnamed), mongocheck.WrongName, "has 127.0.0.1 as a DNS name"},
		{ca.tlsServer(t, dates(-72*time.Hour, -48*time.Hour)), mongocheck.Expired, "expired at"},
		{ca.tlsServer(t, dates(time.Hour, 2*time.Hour)), mongocheck.NotYetValid, "not valid before"},
		{ca.tlsServer(t, server(x509.ExtKeyUsageClientAuth)), mongocheck.NoServerUse, "serverAuth"},
		{refusing.Hosts()[0], mongocheck.ClientCert, "refuses this client's certificate"},
		{ca.tlsRefusing(t, tls.VersionTLS12, false), mongocheck.ClientCert, "bad certificate"},
		{ca.tlsRefusing(t, tls.VersionTLS13, false), mongocheck.ClientCert, "bad certificate"},
		{ca.tlsRefusing(t, tls.VersionTLS12, true), mongocheck.ClientCert, "without a word"},
		{listen(t, func(conn net.Conn) { _, _ = io.ReadFull(conn, make([]byte, 16)) }), mongocheck.NoTLS, "does not speak TLS"},
		{listen(t, func(conn net.Conn) {
			_, _ = conn.Write([]byte("220 mail.example.com\r\n"))
			_, _ = io.Copy(io.Discard, conn)
		}), mongocheck.NoTLS, "not by TLS"},
		{"127.0.0.1:1", mongocheck.Refused, "nothing listens there"},
		{"no-such-router.invalid:27017", mongocheck.NoName, "no-such-router.invalid"},
	}
	hosts := []string{}
	for _, c := range cases {
		hosts = append(hosts, c.host)
	}
	trust := append(standin.TrustPEM(), pemOf(ca.cert)...)
	trust = append(trust, refusing.TrustPEM()...)
	hosts = append(hosts, standin.Hosts()[0])
	o := optionsFor(t, standin, strings.Join(hosts, ","), trust)
	facts, err := mongo.Inspect(t.Context(), o, false)
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range cases {
		r := facts.Routers[i]
		if r.Host != c.host || len(r.Troubles) != 1 || r.Troubles[0].Kind != c.kind || !strings.Contains(r.Troubles[0].Text, c.text) || r.Troubles[0].Hint == "" {
			t.Errorf("%s: %+v", c.kind, r)
		}
		alone := o
		if alone.URI, err = mongo.URI(c.host, ""); err != nil {
			t.Fatal(err)
		}
		client, err := mongo.Connect(t.Context(), alone)
		if err != nil {
			t.Fatal(err)
		}
		err = client.Probe(t.Context())
		_ = client.Close(t.Context())
		text, _, _ := strings.Cut(r.Troubles[0].Text, ", and here it is ") // a second later it is another time
		if err == nil || !strings.Contains(err.Error(), text) || hint.Of(err) != r.Troubles[0].Hint {
			t.Errorf("%s: deploy says %v", c.kind, err)
		}
	}
	last := facts.Routers[len(cases)]
	if len(last.Troubles) > 0 || last.Login == nil || last.Login.Err != "" || facts.Cluster == nil {
		t.Errorf("the healthy one: %+v, %+v", last, facts.Cluster)
	}
}

// TestSeveralTroublesAtOnce names all that is wrong with one certificate.
func TestSeveralTroublesAtOnce(t *testing.T) {
	standin := mongotest.Start(t, mongotest.Options{})
	bad := server(x509.ExtKeyUsageServerAuth)
	bad.IPAddresses = nil
	bad.NotBefore, bad.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
	facts, err := mongo.Inspect(t.Context(), optionsFor(t, standin, newCA(t).tlsServer(t, bad), standin.TrustPEM()), false)
	if err != nil {
		t.Fatal(err)
	}
	var kinds []mongocheck.Kind
	for _, trouble := range facts.Routers[0].Troubles {
		kinds = append(kinds, trouble.Kind)
	}
	if len(kinds) != 3 || kinds[0] != mongocheck.WrongCA || kinds[1] != mongocheck.Expired || kinds[2] != mongocheck.NoSAN {
		t.Errorf("troubles %v", kinds)
	}
}

// TestBlackHole ends by its time limit: one accepts connections and says nothing, one speaks TLS and says nothing then.
func TestBlackHole(t *testing.T) {
	standin := mongotest.Start(t, mongotest.Options{})
	ca := newCA(t)
	silent := listen(t, func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) })
	mute := ca.tlsServer(t, server(x509.ExtKeyUsageServerAuth))
	facts, err := mongo.Inspect(t.Context(), optionsFor(t, standin, silent+","+mute+","+standin.Hosts()[0], append(standin.TrustPEM(), pemOf(ca.cert)...)), false)
	if err != nil {
		t.Fatal(err)
	}
	for i, text := range []string{"accepts the connection but does not answer", "does not answer the first command"} {
		if r := facts.Routers[i]; len(r.Troubles) != 1 || r.Troubles[0].Kind != mongocheck.NoAnswer || !strings.Contains(r.Troubles[0].Text, text) {
			t.Errorf("%+v", r)
		}
	}
	if facts.Cluster == nil {
		t.Error("the third router was not asked")
	}
}

// tlsRefusing refuses every client's certificate: by an alert, or silently as MongoDB's servers do, inside the handshake of TLS 1.2.
func (a authority) tlsRefusing(t *testing.T, version uint16, silent bool) string {
	t.Helper()
	cert, key := a.sign(t, server(x509.ExtKeyUsageServerAuth))
	return listen(t, func(conn net.Conn) {
		config := &tls.Config{
			Certificates: []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: key}}, ClientAuth: tls.RequireAnyClientCert, MaxVersion: version,
			VerifyPeerCertificate: func([][]byte, [][]*x509.Certificate) error {
				if silent {
					conn.Close()
				}
				return errors.New("refused")
			},
		}
		_ = tls.Server(conn, config).HandshakeContext(t.Context())
		_, _ = io.Copy(io.Discard, conn) // no reset that would overtake the alert
	})
}

func pemOf(cert *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
}

func otherChain(t *testing.T) []byte {
	t.Helper()
	other, err := mongotest.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	return other.Chain
}

// optionsFor are those of the administrator of standin, for the routers hosts, which trust verifies.
func optionsFor(t *testing.T, standin *mongotest.Server, hosts string, trust []byte) mongo.Options {
	t.Helper()
	uri, err := mongo.URI(hosts, "")
	if err != nil {
		t.Fatal(err)
	}
	cert := standin.Certificate(standin.Admin())
	return mongo.Options{URI: uri, CA: trust, AppName: "test", Certificate: func() (*tls.Certificate, error) { return &cert, nil }}
}
