package kube

import (
	"context"
	"encoding/json"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// Where the control-plane chart exposes what a gateway says of itself inside the cluster.
const (
	gatewayService  = "aporeto-gateway-status"
	gatewayPort     = "status"
	gatewayIdentity = "/.well-known/aporeto/zone"
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

// AskGateway asks one replica of the zone's gateway, through the API server's service proxy, so that it works from wherever kubectl
// does. It returns nil without an error when the cluster has no gateway in the zone's namespace. Of what is said nothing is believed
// here: the caller compares environment, zone and nonce.
func (c *Client) AskGateway(ctx context.Context, nonce string) (*GatewayAnswer, error) {
	body, err := c.clientset.CoreV1().Services(c.Zone.Namespace).
		ProxyGet("http", gatewayService, gatewayPort, gatewayIdentity, map[string]string{"nonce": nonce}).DoRaw(ctx)
	if apierrors.IsNotFound(err) {
		// Only the API server's own 404 is about the Service; a gateway answers at this path in every state.
		return nil, nil
	}
	if err != nil {
		return nil, c.Explain(fmt.Errorf("ask the gateway of zone %s: %w", c.Zone.Name, err))
	}
	var answer GatewayAnswer
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, fmt.Errorf("ask the gateway of zone %s: the answer is not a gateway's: %w", c.Zone.Name, err)
	}
	return &answer, nil
}
