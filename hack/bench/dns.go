package main

import (
	"errors"
	"net"
	"net/netip"
	"sync/atomic"

	"golang.org/x/net/dns/dnsmessage"
)

// record is the global record: a DNS server with one name, whose addresses can be changed. It is never cached.
type record struct {
	conn      net.PacketConn
	addresses atomic.Pointer[[]netip.Addr]
}

func newRecord(address string) (*record, error) {
	conn, err := net.ListenPacket("udp", address)
	if err != nil {
		return nil, err
	}
	r := &record{conn: conn}
	r.addresses.Store(&[]netip.Addr{})
	go r.serve()
	return r, nil
}

// point makes the record name the replicas of zone z of environment index.
func (r *record) point(index, z int) {
	var to []netip.Addr
	for n := range replicas {
		to = append(to, netip.MustParseAddr(zoneAddress(index, z, n)))
	}
	r.addresses.Store(&to)
}

func (r *record) close() { _ = r.conn.Close() }

func (r *record) serve() {
	buffer := make([]byte, 1500)
	for {
		n, from, err := r.conn.ReadFrom(buffer)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		if reply, err := answer(buffer[:n], *r.addresses.Load()); err == nil {
			_, _ = r.conn.WriteTo(reply, from) // a resolver asks again
		}
	}
}

// answer answers one question for the name: its IPv4 addresses, and nothing else.
func answer(query []byte, addresses []netip.Addr) ([]byte, error) {
	var m dnsmessage.Message
	if err := m.Unpack(query); err != nil {
		return nil, err
	}
	m.Response, m.Authoritative, m.Additionals = true, true, nil
	if len(m.Questions) != 1 || m.Questions[0].Name.String() != hostName+"." {
		m.RCode = dnsmessage.RCodeNameError
		return m.Pack()
	}
	if m.Questions[0].Type == dnsmessage.TypeA {
		for _, a := range addresses {
			m.Answers = append(m.Answers, dnsmessage.Resource{
				Header: dnsmessage.ResourceHeader{Name: m.Questions[0].Name, Class: dnsmessage.ClassINET},
				Body:   &dnsmessage.AResource{A: a.As4()},
			})
		}
	}
	return m.Pack()
}
