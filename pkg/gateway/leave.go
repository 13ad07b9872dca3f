package gateway

import (
	"context"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// lingerMore is for how long, beyond Linger, new connections that keep coming put the end off: nobody knows how long load balancers take.
	lingerMore = 10 * time.Second
	// goodbye is for clients that ask on a connection of whose end they have not heard. An HTTP/2 connection lives on for 1 s after its
	// GOAWAY, one that never brought a request for 5 s, of which all but this are over with the usual Linger; both are net/http's.
	goodbye = 2500 * time.Millisecond
	// lastAnswers is for answers of a closed gate that are under way when the process ends.
	lastAnswers = time.Second
)

// arrivals knows when the last of some listeners' connections came.
type arrivals struct {
	began time.Time
	last  atomic.Int64 // since began
}

// counted is a listener whose connections arrivals hears of.
type counted struct {
	net.Listener
	came *arrivals
}

// Accept is net.Listener's.
func (c counted) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c.came.last.Store(int64(time.Since(c.came.began)))
	if tcp, is := conn.(*net.TCPConn); is {
		conn = parting{tcp}
	}
	return conn, nil
}

// parting is a client's connection whose end is always a FIN first. Close alone sends a RST where something was not read, such as the
// client's own farewell in TLS that crossed ours. After a RST without a FIN from a server, Linux's conntrack keeps what kube-proxy
// translated the connection to for 10 s, also for a new connection from the same port of the client's: it would be led to this replica,
// long after kube-proxy forgot it (nf_conntrack_proto_tcp.c: IP_CT_TCP_FLAG_CLOSE_INIT, nf_conntrack_tcp_timeout_close).
type parting struct{ *net.TCPConn }

// Close is net.Conn's.
func (p parting) Close() error {
	_ = p.CloseWrite() // says only that there is no connection any more
	return p.TCPConn.Close()
}

// quiet returns how long ago the last connection came.
func (a *arrivals) quiet() time.Duration { return time.Since(a.began) - time.Duration(a.last.Load()) }

// leave ends what servers do so that no client notices while the zone goes on to serve by other replicas. It returns when no request
// comes any more, or with failed's error. The gate stays as the lease has it: that a replica goes is no reason to answer 423.
//
// First all goes on as before, but for "Connection: close" or GOAWAY on every answer, until load balancers have forgotten this replica: no
// new connection came for Linger. Then nothing is listened to, and connections that wait for a request are closed.
func (g *Gateway) leave(ctx context.Context, came *arrivals, failed <-chan error, servers ...*http.Server) error {
	g.leaving.Store(true)
	began := time.Now()
	for {
		gone := time.Since(began)
		wait := min(g.cfg.Linger-min(came.quiet(), gone), g.cfg.Linger+lingerMore-gone)
		if wait <= 0 {
			break
		}
		if err := pause(wait, failed); err != nil {
			return err
		}
	}
	g.cfg.Log.InfoContext(ctx, "not listening any more", "after", time.Since(began).String(), "quiet_for", came.quiet().String(), "requests", g.gate.Within())
	g.lanes.stop()
	said, cancel := context.WithTimeout(ctx, goodbye)
	defer cancel()
	var wg sync.WaitGroup
	for _, server := range servers {
		wg.Go(func() { _ = server.Shutdown(said) }) // what takes longer has the drain's time
	}
	wg.Wait()
	return nil
}

// pause waits for d, or returns failed's error.
func pause(d time.Duration, failed <-chan error) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case err := <-failed:
		return err
	}
}
