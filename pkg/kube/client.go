// Package kube reaches the Kubernetes cluster of one zone: clients from a kubeconfig context, server-side apply, dry runs that tell
// whether live objects still are what they should be, the workstation lock, and waiting by watch.
//
// Invariant: every request has a deadline, and a cluster that does not answer is an error with the zone's context in its hint within
// ten seconds. The package decides nothing about what should run; it knows no chart and no release.
package kube

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/hint"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/zone"
)

// FieldManager is the name under which the plugin's server-side applies are recorded in managedFields.
const FieldManager = "kubectl-aporeto"

const (
	dialTimeout = 5 * time.Second  // an address that drops packets
	callTimeout = 15 * time.Second // one request, admission webhooks included
	reachBudget = 8 * time.Second  // the first request: connection, TLS, answer
	clientQPS   = 50               // client-go's default of 5 would make a release of 40 objects take 8 s
	clientBurst = 100
)

// Client holds the connections to one zone's cluster. It is the zone's RESTClientGetter too, so that Helm shares its discovery cache
// and REST mapper. It is safe for concurrent use.
type Client struct {
	Zone zone.Zone

	raw    clientcmd.ClientConfig
	config *rest.Config // with a deadline for every request
	stream *rest.Config // without: watches end by their context

	clientset kubernetes.Interface
	dynamic   dynamic.Interface
	watches   dynamic.Interface
	discovery discovery.CachedDiscoveryInterface
	mapper    meta.RESTMapper
	warnings  *warnings
}

// Open returns the client of z's cluster. The kubeconfig is z.Kubeconfig when set, else kubeconfig (the --kubeconfig flag) when set,
// else kubectl's rules. Nothing is sent yet; an unknown context is an error that names the known ones.
func Open(z zone.Zone, kubeconfig string) (*Client, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = kubeconfig
	if z.Kubeconfig != "" {
		rules.ExplicitPath = z.Kubeconfig
	}
	loaded, err := rules.Load()
	if err != nil {
		return nil, fmt.Errorf("load kubeconfig: %w", err)
	}
	if err := knowsContext(loaded, z); err != nil {
		return nil, err
	}
	overrides := &clientcmd.ConfigOverrides{CurrentContext: z.Context, Context: clientcmdapi.Context{Namespace: z.Namespace}}
	raw := clientcmd.NewNonInteractiveClientConfig(*loaded, z.Context, overrides, rules)
	config, err := raw.ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("context %q: %w", z.Context, err)
	}
	c := &Client{Zone: z, raw: raw, warnings: &warnings{}}
	config.QPS, config.Burst = clientQPS, clientBurst
	config.Dial = (&net.Dialer{Timeout: dialTimeout, KeepAlive: 15 * time.Second}).DialContext
	config.UserAgent = FieldManager
	config.WarningHandlerWithContext = c.warnings
	c.stream = rest.CopyConfig(config)
	config.Timeout = callTimeout
	c.config = config
	return c, c.connect()
}

func knowsContext(loaded *clientcmdapi.Config, z zone.Zone) error {
	if _, ok := loaded.Contexts[z.Context]; ok {
		return nil
	}
	known := make([]string, 0, len(loaded.Contexts))
	for name := range loaded.Contexts {
		known = append(known, name)
	}
	slices.Sort(known)
	err := fmt.Errorf("kubeconfig has no context %q", z.Context)
	if len(known) == 0 {
		return hint.Wrap(err, "no context is known: set KUBECONFIG or --kubeconfig, then look with: kubectl config get-contexts")
	}
	return hint.Wrap(err, "known contexts: %s; kubectl config get-contexts", strings.Join(known, ", "))
}

func (c *Client) connect() error {
	var err error
	if c.clientset, err = kubernetes.NewForConfig(c.config); err != nil {
		return fmt.Errorf("context %q: %w", c.Zone.Context, err)
	}
	if c.dynamic, err = dynamic.NewForConfig(c.config); err != nil {
		return fmt.Errorf("context %q: %w", c.Zone.Context, err)
	}
	if c.watches, err = dynamic.NewForConfig(c.stream); err != nil {
		return fmt.Errorf("context %q: %w", c.Zone.Context, err)
	}
	c.discovery = memory.NewMemCacheClient(c.clientset.Discovery())
	c.mapper = restmapper.NewDeferredDiscoveryRESTMapper(c.discovery)
	return nil
}

// ToRESTConfig returns a copy of the connection's settings, with QPS, dial and request deadlines set.
func (c *Client) ToRESTConfig() (*rest.Config, error) { return rest.CopyConfig(c.config), nil }

// ToDiscoveryClient returns the zone's discovery client, cached in memory for the life of c.
func (c *Client) ToDiscoveryClient() (discovery.CachedDiscoveryInterface, error) {
	return c.discovery, nil
}

// ToRESTMapper returns the zone's REST mapper, which shares the discovery cache.
func (c *Client) ToRESTMapper() (meta.RESTMapper, error) { return c.mapper, nil }

// ToRawKubeConfigLoader returns the kubeconfig narrowed to the zone's context and namespace.
func (c *Client) ToRawKubeConfigLoader() clientcmd.ClientConfig { return c.raw }

// Warnings returns what the API server warned of since the last call (deprecated APIs, pod security), each text once.
func (c *Client) Warnings() []string { return c.warnings.drain() }

// Explain adds to an error of a request the hint that fits: how to look at an unreachable cluster, or which right is missing.
func (c *Client) Explain(err error) error { return explain(c.Zone, err) }

// UID returns the UID of the cluster's kube-system namespace, within eight seconds: it is the first request to a cluster, and finds out
// whether there is one.
func (c *Client) UID(ctx context.Context) (string, error) {
	bounded, cancel := context.WithTimeout(ctx, reachBudget)
	defer cancel()
	uid, err := ClusterUID(bounded, c.config)
	return uid, c.Explain(err)
}

// warnings collects API server warnings; client-go would write them to stderr, between the progress lines of other zones.
type warnings struct {
	mu   sync.Mutex
	seen map[string]bool
	new  []string
}

// HandleWarningHeaderWithContext keeps the text of a "299" warning.
func (w *warnings) HandleWarningHeaderWithContext(_ context.Context, code int, _ string, text string) {
	if code != 299 || text == "" {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.seen == nil {
		w.seen = map[string]bool{}
	}
	if !w.seen[text] {
		w.seen[text] = true
		w.new = append(w.new, text)
	}
}

func (w *warnings) drain() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	texts := w.new
	w.new = nil
	return texts
}
