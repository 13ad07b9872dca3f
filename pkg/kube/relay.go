package kube

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/relay"
)

// DialThrough opens a TCP connection to address from inside the zone: the agent in pod dials, and the connection's bytes pass through the
// API server's exec stream. The agent refuses all addresses but its own MongoDB routers'.
func (c *Client) DialThrough(ctx context.Context, pod, address string) (net.Conn, error) {
	near, far := net.Pipe()
	life, end := context.WithCancel(context.WithoutCancel(ctx)) // the connection outlives the call that opened it
	ended := make(chan error, 1)
	go func() {
		ended <- c.execAgent(life, pod, []string{"relay", address}, far, far)
		far.Close()
	}()
	conn := &relayed{Conn: near, end: end}
	stop := context.AfterFunc(ctx, func() { _ = near.SetReadDeadline(time.Unix(1, 0)) })
	err := relay.Open(near)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err == nil {
		return conn, nil
	}
	_ = conn.Close() // the dialing's error is the one that counts
	var failure *relay.Failure
	if errors.As(err, &failure) {
		return nil, failure
	}
	if ctx.Err() != nil {
		return nil, fmt.Errorf("dial %s through pod %s: %w", address, pod, ctx.Err())
	}
	if why := <-ended; why != nil {
		err = why // why there is no line
	}
	return nil, fmt.Errorf("dial %s through pod %s: %w", address, pod, err)
}

// relayed ends its command when it is closed.
type relayed struct {
	net.Conn
	end context.CancelFunc
}

func (r *relayed) Close() error {
	err := r.Conn.Close()
	r.end()
	return err
}
