package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/failover"
)

// pollEvery is how often a zone is asked, as failover.md defines the gap.
const pollEvery = 10 * time.Millisecond

// rawClient is one kept connection to one address. It is as small as it can be, so that the bench is not what is measured.
type rawClient struct {
	address string
	tls     *tls.Config
	conn    *tls.Conn
	reader  *bufio.Reader
}

const smallRequest = "GET " + smallPath + " HTTP/1.1\r\nHost: " + hostName + "\r\n\r\n"

// get asks once and returns the status code.
func (c *rawClient) get(ctx context.Context) (int, error) {
	if c.conn == nil {
		if err := c.dial(ctx); err != nil {
			return 0, err
		}
	}
	code, err := c.exchange()
	if err != nil {
		c.close()
	}
	return code, err
}

func (c *rawClient) dial(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	conn, err := (&tls.Dialer{Config: c.tls}).DialContext(ctx, "tcp", c.address)
	if err != nil {
		return err
	}
	secured, is := conn.(*tls.Conn)
	if !is {
		return fmt.Errorf("%s: no TLS", c.address)
	}
	c.conn, c.reader = secured, bufio.NewReaderSize(conn, 4096)
	return nil
}

func (c *rawClient) exchange() (int, error) {
	if err := c.conn.SetDeadline(time.Now().Add(2 * time.Second)); err != nil {
		return 0, err
	}
	if _, err := io.WriteString(c.conn, smallRequest); err != nil {
		return 0, err
	}
	response, err := http.ReadResponse(c.reader, nil)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return 0, err
	}
	if response.Close {
		defer c.close()
	}
	return response.StatusCode, nil
}

func (c *rawClient) close() {
	if c.conn != nil {
		// Not with TLS's farewell, which may wait for a peer that was killed.
		_ = c.conn.NetConn().(*net.TCPConn).SetLinger(0) //nolint:forcetypeassert // it dialled tcp
		c.conn.NetConn().Close()
		c.conn = nil
	}
}

// watch asks a replica every 10 ms until ctx ends and returns its answers, and how late the bench itself was at the worst.
func (c *rawClient) watch(ctx context.Context, began time.Time, seen func(failover.Sample)) (samples []failover.Sample, late time.Duration) {
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return samples, late
		case due := <-ticker.C:
			late = max(late, time.Since(due))
		}
		s := failover.Sample{Sent: time.Since(began)}
		code, err := c.get(ctx)
		s.Received = time.Since(began)
		switch {
		case err != nil:
			s.Err = err.Error()
		case code >= 200 && code < 300:
			s.Open = true
		case code == http.StatusLocked:
			s.Closed = true
		default:
			s.Err = fmt.Sprintf("status %d", code)
		}
		samples = append(samples, s)
		seen(s)
	}
}
