package mongotest

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"time"
)

// Restart ends one router, as its process's restart would, and starts it again after away with another certificate: connections
// are cut, what was not answered is lost, and until then nothing listens at its address. The other routers go on.
func (s *Standin) Restart(ctx context.Context, router int, certificate tls.Certificate, away time.Duration) error {
	s.netMu.Lock()
	if router < 0 || router >= len(s.routers) || s.closed {
		s.netMu.Unlock()
		return fmt.Errorf("restart router %d: there is no such router", router)
	}
	rt := s.routers[router]
	address := rt.listener.Addr()
	_ = rt.listener.Close()
	for c := range s.conns {
		if c.router == rt {
			_ = c.raw.Close()
		}
	}
	s.netMu.Unlock()
	if err := wait(ctx, away); err != nil {
		return err
	}
	l, err := new(net.ListenConfig).Listen(ctx, address.Network(), address.String())
	if err != nil {
		return fmt.Errorf("restart router %d: %w", router, err)
	}
	s.netMu.Lock()
	defer s.netMu.Unlock()
	if s.closed {
		return l.Close()
	}
	rt.listener, rt.certificate = l, certificate
	s.mu.Lock()
	rt.users = userCache{} // a new process knows nobody
	s.mu.Unlock()
	s.wg.Go(func() { s.accept(rt, l) }) //nolint:contextcheck // connections live as long as the server, not as this call
	return nil
}
