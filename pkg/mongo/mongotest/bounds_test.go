package mongotest

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"testing"
	"time"
)

// TestOneMessage: before a login only small messages are taken; a message that
// was begun must come to an end.
func TestOneMessage(t *testing.T) {
	const patience = 3 * time.Second
	srv := Start(t, Options{Config: Config{patience: patience}})
	large := cmd("ping", 1, field("filler", make([]byte, maxBeforeLogin)))
	r := dialRaw(t, srv, srv.Hosts()[0], AdminDN)
	r.ok("admin", cmd("ping", 1))
	_, _ = r.c.Write(encodeOpMsg(t, "admin", large)) // refused by its header: the rest may meet a closed connection
	if m, err := r.receive(); !ended(err) {
		t.Errorf("a large message before the login: %v, %v", m, err)
	}
	r = dialLogin(t, srv, srv.Hosts()[0], AdminDN)
	r.ok("admin", large)
	r.ok("admin", cmd("ping", 1, field("filler", make([]byte, 2*smallMessage))))

	message := encodeOpMsg(t, "admin", cmd("ping", 1))
	parts := [][]byte{message[:1], message[:headerLen], message[:len(message)-1]}
	var slow []*rawConn
	for _, sent := range parts {
		c := dialLogin(t, srv, srv.Hosts()[0], AdminDN)
		if _, err := c.c.Write(sent); err != nil {
			t.Fatal(err)
		}
		slow = append(slow, c)
	}
	start := time.Now()
	for i, c := range slow {
		if m, err := c.receive(); !ended(err) {
			t.Errorf("%d bytes of a message: %v, %v", len(parts[i]), m, err)
		}
	}
	if took := time.Since(start); took < patience/2 {
		t.Errorf("a message that was begun was given %s", took)
	}
	r.ok("admin", cmd("ping", 1)) // which was silent all the while, as drivers are

	lying := dialLogin(t, srv, srv.Hosts()[0], AdminDN)
	head := append([]byte{}, message[:headerLen]...)
	binary.LittleEndian.PutUint32(head, maxMessage)
	for range 20 { // together more than the room for large messages: small ones pass by
		other := dialLogin(t, srv, srv.Hosts()[0], AdminDN)
		_, _ = other.c.Write(head)
	}
	lying.ok("admin", cmd("ping", 1))
}

// TestManyConnections: above the limit a connection is closed at once, and one
// that ends makes room.
func TestManyConnections(t *testing.T) {
	srv := Start(t, Options{Config: Config{MaxConnections: 2}})
	first, second := dialRaw(t, srv, srv.Hosts()[0], AdminDN), dialRaw(t, srv, srv.Hosts()[0], AdminDN)
	first.ok("admin", cmd("ping", 1))
	if _, err := tls.Dial("tcp", srv.Hosts()[0], srv.TLSConfig(AdminDN)); !errors.Is(err, io.EOF) && !ended(err) {
		t.Errorf("a third connection: %v", err)
	}
	_ = first.c.Close()
	within(t, 10*time.Second, "room for another", func() bool {
		c, err := tls.Dial("tcp", srv.Hosts()[0], srv.TLSConfig(AdminDN))
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
	second.ok("admin", cmd("ping", 1))
}
