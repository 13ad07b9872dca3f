package cli

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/kube"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/zone"
)

// podTime bounds the search for a pod that may carry connections.
const podTime = 10 * time.Second

// through is a way to the routers: a pod of a zone's gateway that carries the connections.
type through struct {
	f    *Factory
	zone zone.Zone

	mu     sync.Mutex
	client *kube.Client
	pod    string // "" until it was found
}

func (f *Factory) through(z zone.Zone) *through { return &through{f: f, zone: z} }

// find looks for the pod, once it was found no more.
func (t *through) find(ctx context.Context) (*kube.Client, string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.pod != "" {
		return t.client, t.pod, nil
	}
	client, pod, err := t.f.agentPod(ctx, t.zone)
	if err != nil {
		return nil, "", err
	}
	t.client, t.pod = client, pod
	t.f.say(fmt.Sprintf("the MongoDB routers are reached through pod %s of zone %s", pod, t.zone.Name))
	return client, pod, nil
}

// dial is a mongo.Dial.
func (t *through) dial(ctx context.Context, _, address string) (net.Conn, error) {
	client, pod, err := t.find(ctx)
	if err != nil {
		return nil, err
	}
	return client.DialThrough(ctx, pod, address)
}

// agentPod finds a pod of the zone's gateway.
func (f *Factory) agentPod(ctx context.Context, z zone.Zone) (*kube.Client, string, error) {
	client, err := kube.Open(z, f.Kubeconfig())
	if err != nil {
		return nil, "", fmt.Errorf("zone %s: %w", z.Name, err)
	}
	ctx, cancel := context.WithTimeout(ctx, podTime)
	defer cancel()
	pod, err := client.AgentPod(ctx)
	return client, pod, err
}
