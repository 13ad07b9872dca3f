package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
)

const (
	// gatewaySelector finds the gateway's pods of the release control-plane.
	gatewaySelector = "app.kubernetes.io/name=aporeto-gateway,app.kubernetes.io/instance=control-plane"
	// gatewayStatusPort is the port inside the cluster; the pod proxy takes numbers only.
	gatewayStatusPort = "9090"
	gatewayIdentity   = "/.well-known/aporeto/zone"
	gatewayEligible   = "/healthz/eligible"
	gatewayActive     = "/healthz/active"
	maxGatewayAnswer  = 1 << 20
)

// GatewayAnswer is what a zone's gateway says of itself (docs: HTTP surface of the gateway).
type GatewayAnswer struct {
	Environment string `json:"environment"` // id
	Zone        string `json:"zone"`
	State       string `json:"state"` // "Active" when requests pass
	Epoch       int64  `json:"epoch"` // of the lease it last saw
	Nonce       string `json:"nonce"` // the question's
	// Remaining is how long, in milliseconds, the replica's gate stays open unless it renews; 0: closed; nil: not said.
	Remaining *int64 `json:"remaining"`
}

// GatewayReplica is one replica of a zone's gateway, asked by itself.
type GatewayReplica struct {
	Pod       string
	Answer    *GatewayAnswer // nil where Err says why
	Err       error
	Eligible  *bool    // nil: unknown
	Reason    string   // why not eligible, in the gateway's words
	LeaseLeft *float64 // seconds until the replica's gate closes unless it renews; 0: closed; nil: unknown
}

// GatewayReplicas asks every replica of the zone's gateway, side by side, through the API server's pod proxy, so that it works from
// wherever kubectl does. No replica and no error means that no gateway runs in the zone's namespace. Of what is said nothing is believed
// here: the caller compares environment, zone and nonce.
func (c *Client) GatewayReplicas(ctx context.Context, nonce string) ([]GatewayReplica, error) {
	pods, err := c.gatewayPods(ctx)
	if err != nil {
		return nil, err
	}
	replicas := make([]GatewayReplica, len(pods))
	var wg sync.WaitGroup
	for i, pod := range pods {
		wg.Go(func() { replicas[i] = c.askReplica(ctx, pod, nonce) })
	}
	wg.Wait()
	return replicas, nil
}

// GatesOpen asks every replica whether its gate is open. open counts those whose is, closed those that answer 423; the rest could not
// be asked.
func (c *Client) GatesOpen(ctx context.Context, pods []string) (open, closed int, err error) {
	codes, errs := make([]int, len(pods)), make([]error, len(pods))
	var wg sync.WaitGroup
	for i, pod := range pods {
		wg.Go(func() { codes[i], _, errs[i] = c.askPod(ctx, pod, gatewayActive, "") })
	}
	wg.Wait()
	for i, code := range codes {
		switch {
		case errs[i] != nil:
			err = errs[i]
		case code == http.StatusOK:
			open++
		case code == http.StatusLocked:
			closed++
		default:
			err = fmt.Errorf("pod %s answers %d", pods[i], code)
		}
	}
	return open, closed, err
}

func (c *Client) gatewayPods(ctx context.Context) ([]string, error) {
	list, err := c.clientset.CoreV1().Pods(c.Zone.Namespace).List(ctx, metav1.ListOptions{LabelSelector: gatewaySelector})
	if err != nil {
		return nil, c.Explain(fmt.Errorf("list the gateway's pods of zone %s: %w", c.Zone.Name, err))
	}
	names := make([]string, len(list.Items))
	for i := range list.Items {
		names[i] = list.Items[i].Name
	}
	return names, nil
}

func (c *Client) askReplica(ctx context.Context, pod, nonce string) GatewayReplica {
	r := GatewayReplica{Pod: pod}
	code, body, err := c.askPod(ctx, pod, gatewayIdentity, nonce)
	if err == nil && code != http.StatusOK {
		err = fmt.Errorf("answers %d", code)
	}
	var answer GatewayAnswer
	if err == nil {
		err = json.Unmarshal(body, &answer)
	}
	if err != nil {
		r.Err = fmt.Errorf("ask pod %s: %w", pod, err)
		return r
	}
	r.Answer = &answer
	if answer.Remaining != nil {
		r.LeaseLeft = new(float64(*answer.Remaining) / 1000)
	}
	if code, body, err := c.askPod(ctx, pod, gatewayEligible, ""); err == nil && (code == http.StatusOK || code == http.StatusServiceUnavailable) {
		r.Eligible = new(code == http.StatusOK)
		if !*r.Eligible {
			r.Reason = strings.TrimSpace(string(body))
		}
	}
	return r
}

// askPod returns what a pod answers on the status port. An answer of the API server itself, which is a Status object, is an error.
func (c *Client) askPod(ctx context.Context, pod, path, nonce string) (int, []byte, error) {
	client, ok := c.clientset.CoreV1().RESTClient().(*rest.RESTClient)
	if !ok {
		return 0, nil, fmt.Errorf("no HTTP client for context %q", c.Zone.Context)
	}
	ask := client.Get().Namespace(c.Zone.Namespace).Resource("pods").Name("http:" + pod + ":" + gatewayStatusPort).SubResource("proxy").Suffix(path)
	if nonce != "" {
		ask = ask.Param("nonce", nonce)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, ask.URL().String(), http.NoBody)
	if err != nil {
		return 0, nil, err
	}
	response, err := client.Client.Do(request)
	if err != nil {
		return 0, nil, c.Explain(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxGatewayAnswer))
	if err != nil {
		return 0, nil, err
	}
	var status struct {
		Kind    string `json:"kind"`
		Message string `json:"message"`
	}
	if response.StatusCode != http.StatusOK && json.Unmarshal(body, &status) == nil && status.Kind == "Status" {
		return 0, nil, fmt.Errorf("the API server says: %s", status.Message)
	}
	return response.StatusCode, body, nil
}
