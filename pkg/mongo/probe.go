package mongo

import (
	"context"
	"crypto/x509"
	"errors"
	"sync"
	"time"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongocheck"
)

// probeTime bounds one router's TCP connection, TLS handshake and first answer.
const probeTime = 5 * time.Second

// Probe asks every router for a first answer, side by side, and returns nil as soon as one gives it, else every router's reason in the
// words of `mongo check`. The driver would report the same troubles only after its whole selection timeout, and without naming them.
func (c *Client) Probe(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	reasons := make([]error, len(c.hosts))
	var wg sync.WaitGroup
	for i, host := range c.hosts {
		wg.Go(func() {
			if reasons[i] = c.probeRouter(ctx, host); reasons[i] == nil {
				cancel() // one is enough
			}
		})
	}
	wg.Wait()
	for _, err := range reasons {
		if err == nil {
			return nil
		}
	}
	return errors.Join(reasons...)
}

// Member is the subject of the router's certificate that was seen last, "" before there was one. MongoDB takes clients that are too like it
// for members.
func (c *Client) Member() string {
	if subject := c.members.Load(); subject != nil {
		return *subject
	}
	return ""
}

func (c *Client) sawMember(chain []*x509.Certificate) {
	if len(chain) > 0 {
		c.members.Store(new(mongocheck.Subject(chain[0])))
	}
}

func (c *Client) probeRouter(ctx context.Context, host string) error {
	if mongocheck.IsAtlas(host) {
		return mongocheck.AtlasTrouble().Error(host)
	}
	n, hello, chain, troubles := dialNode(ctx, c.dial, c.tls, host, probeTime)
	c.sawMember(chain)
	if n == nil {
		errs := make([]error, len(troubles))
		for i, t := range troubles {
			errs[i] = t.Error(host)
		}
		return errors.Join(errs...)
	}
	n.close()
	if !isRouter(hello) {
		return mongocheck.NotMongosTrouble(hello.SetName).Error(host)
	}
	return nil
}

// isRouter tells a mongos by its greeting.
func isRouter(hello greeting) bool { return hello.Msg == "isdbgrid" }
