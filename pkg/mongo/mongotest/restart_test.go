package mongotest

import (
	"crypto/tls"
	"testing"
	"time"
)

// TestRestart: a router that restarts cuts its connections and comes back at the same address with its new certificate; the other one
// goes on with what it has.
func TestRestart(t *testing.T) {
	customer := must(NewAuthority())(t)
	s := Start(t, Options{Routers: 2})
	connect := func(router int) *tls.Conn {
		t.Helper()
		c, err := tls.Dial("tcp", s.hosts[router], &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{must(s.authority.Issue(AdminDN))(t)}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	ours := func(router int) bool {
		return string(connect(router).ConnectionState().PeerCertificates[1].Raw) != string(customer.ca.Raw)
	}
	first, second := connect(0), connect(1)
	if err := s.Restart(t.Context(), 0, must(customer.Issue("CN=router", "127.0.0.1"))(t), 10*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	for c, cut := range map[*tls.Conn]bool{first: true, second: false} {
		if err := c.SetReadDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		_, err := c.Read(make([]byte, 1))
		if timeout, ok := err.(interface{ Timeout() bool }); err == nil || (ok && timeout.Timeout()) == cut {
			t.Errorf("a connection to the router that restarted (%t): %v", cut, err)
		}
	}
	if ours(0) || !ours(1) {
		t.Error("the first router shows its former certificate, or the second one does not")
	}
	if err := s.Restart(t.Context(), 2, tls.Certificate{}, 0); err == nil {
		t.Error("a third router was restarted")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Restart(t.Context(), 0, tls.Certificate{}, 0); err == nil {
		t.Error("a router of a closed stand-in was restarted")
	}
}
