package mongo

import (
	"context"
	"errors"
	"time"

	"go.mongodb.org/mongo-driver/event"
	"go.mongodb.org/mongo-driver/mongo/description"
	"go.mongodb.org/mongo-driver/mongo/options"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongocheck"
)

const (
	// headStart is how long a router has for an answer before the next one is asked too. A healthy one takes a few round trips of it.
	headStart = 500 * time.Millisecond
	// patience is how long the driver may try by itself before it is found out why it gets no answer.
	patience = time.Second
)

// Reach returns a client of the one router, of those that o names, that answers first, having said hello to no more of them than it took.
// It is for what is over in seconds and can be run again: the client does not turn to another router when that one fails. An error names
// every router's trouble in the words of `mongo check`.
func Reach(ctx context.Context, o Options) (*Client, error) {
	opts, _, err := o.driver()
	if err != nil {
		return nil, err
	}
	type outcome struct {
		client *Client
		err    error
	}
	trying, end := context.WithCancel(ctx)
	defer end()
	outcomes := make(chan outcome, len(opts.Hosts))
	waiting, reasons := opts.Hosts, make([]error, 0, len(opts.Hosts))
	ask := func() {
		if len(waiting) == 0 {
			return
		}
		host := waiting[0]
		waiting = waiting[1:]
		go func() {
			client, err := o.reachOne(trying, host)
			outcomes <- outcome{client, err}
		}()
	}
	next := time.NewTicker(headStart)
	defer next.Stop()
	ask()
	for len(reasons) < len(opts.Hosts) {
		select {
		case <-next.C:
			ask()
		case got := <-outcomes:
			if got.err == nil {
				end()
				asked := len(opts.Hosts) - len(waiting) - len(reasons) - 1
				go func() {
					for range asked {
						if late := <-outcomes; late.client != nil {
							_ = late.client.Close(context.WithoutCancel(ctx)) // nothing was asked by it
						}
					}
				}()
				return got.client, nil
			}
			reasons = append(reasons, got.err)
			ask()
		}
	}
	return nil, errors.Join(reasons...)
}

// reachOne returns a client of host alone, which has answered as a router does.
func (o Options) reachOne(ctx context.Context, host string) (*Client, error) {
	if mongocheck.IsAtlas(host) {
		return nil, mongocheck.AtlasTrouble().Error(host)
	}
	// The driver says hello by itself: listening to it costs nothing, where a hello of our own would be one more.
	looked := make(chan bool, 1)
	look := func(router bool) {
		select {
		case looked <- router:
		default: // only the first one counts
		}
	}
	client, err := o.connect(ctx, func(opts *options.ClientOptions) {
		opts.SetHosts([]string{host}).SetServerMonitoringMode("poll").SetServerMonitor(&event.ServerMonitor{
			ServerHeartbeatSucceeded: func(e *event.ServerHeartbeatSucceededEvent) { look(e.Reply.Kind == description.Mongos) },
			ServerHeartbeatFailed:    func(*event.ServerHeartbeatFailedEvent) { look(false) },
		})
	})
	if err != nil {
		return nil, err
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case router := <-looked:
		if router {
			return client, nil
		}
	case <-timer.C:
	case <-ctx.Done():
	}
	err = ctx.Err()
	if err == nil {
		err = client.Probe(ctx) // nil: it has come to itself, and the driver will look again
	}
	if err != nil {
		_ = client.Close(context.WithoutCancel(ctx)) // the probe's error is the one that counts
		return nil, err
	}
	return client, nil
}
