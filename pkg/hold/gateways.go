package hold

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/lease"
)

// Bounds of one question to a replica.
const (
	askTime     = time.Second
	maxBody     = 64 << 10
	maxReplicas = 64
)

// lookEvery is how long the replicas' addresses are believed while one of them answers.
const lookEvery = 5 * time.Second

// Gateways asks every replica of the zone's gateway, by the protocol of pkg/gateway's status address: POST /held/ID for a promise,
// DELETE to give it back.
type Gateways struct {
	url         url.URL
	environment string
	zone        string
	id          string
	clock       func() lease.Time
	client      *http.Client

	mu    sync.Mutex
	known []netip.Addr
	stale time.Time // when to look the addresses up again
}

// NewGateways returns a client of the gateways at address, http://HOST:PORT, whose answers must name environment and zone. id names this
// holder; no other may use it.
func NewGateways(address, environment, zone, id string, clock func() lease.Time) (*Gateways, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("read gateway address: %w", err)
	}
	if u.Scheme != "http" || u.Hostname() == "" || u.Port() == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil {
		return nil, fmt.Errorf("gateway address %q is not http://HOST:PORT", address)
	}
	u.Path = "/held/" + id
	return &Gateways{
		url: *u, environment: environment, zone: zone, id: id, clock: clock,
		client: &http.Client{
			Transport:     &http.Transport{DisableCompression: true, MaxResponseHeaderBytes: maxBody, IdleConnTimeout: time.Minute},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			Timeout:       askTime,
		},
	}, nil
}

// Ask asks every replica once, side by side, and calls take with each answer as it comes, one at a time. It returns all answers, and
// why the others failed.
func (g *Gateways) Ask(ctx context.Context, take func(Answer)) ([]Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	replicas, err := g.replicas(ctx)
	if err != nil {
		return nil, err
	}
	var (
		mu       sync.Mutex
		answers  []Answer
		problems []error
		wg       sync.WaitGroup
	)
	for _, replica := range replicas {
		wg.Go(func() {
			a, err := g.ask(ctx, replica)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				problems = append(problems, err)
				return
			}
			answers = append(answers, a)
			take(a)
		})
	}
	wg.Wait()
	if len(answers) == 0 {
		g.forget()
	}
	return answers, errors.Join(problems...)
}

// GiveBack tells every replica that the command is dead, so that a handover need not wait for the promise to end.
func (g *Gateways) GiveBack(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	replicas, err := g.replicas(ctx)
	if err != nil {
		return // the promise ends by itself
	}
	var wg sync.WaitGroup
	for _, replica := range replicas {
		wg.Go(func() {
			if resp, err := g.do(ctx, http.MethodDelete, replica, ""); err == nil {
				resp.Body.Close()
			}
		})
	}
	wg.Wait()
}

// replicas returns the addresses of the headless Service. What was known is believed for a while, and as long as nobody knows better.
func (g *Gateways) replicas(ctx context.Context) ([]netip.Addr, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.known) > 0 && time.Now().Before(g.stale) {
		return g.known, nil
	}
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", g.url.Hostname())
	if err == nil {
		g.known, g.stale = nil, time.Now().Add(lookEvery)
		for _, address := range found[:min(len(found), maxReplicas)] {
			g.known = append(g.known, address.Unmap())
		}
	}
	if len(g.known) == 0 {
		return nil, fmt.Errorf("look up the gateway: %w", err)
	}
	return g.known, nil
}

// forget has the addresses looked up again before the next question.
func (g *Gateways) forget() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.stale = time.Time{}
}

// ask asks one replica for a promise.
func (g *Gateways) ask(ctx context.Context, replica netip.Addr) (Answer, error) {
	nonce, sent := rand.Text(), g.clock()
	resp, err := g.do(ctx, http.MethodPost, replica, nonce)
	if err != nil {
		return Answer{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	if err != nil {
		return Answer{}, fmt.Errorf("read answer of gateway %s: %w", replica, err)
	}
	if resp.StatusCode != http.StatusOK {
		return Answer{}, fmt.Errorf("gateway %s answered %q", replica, resp.Status)
	}
	var said struct {
		Environment string      `json:"environment"`
		Zone        string      `json:"zone"`
		State       lease.State `json:"state"`
		Nonce       string      `json:"nonce"`
		Remaining   int64       `json:"remaining"`
	}
	if err := json.Unmarshal(body, &said); err != nil {
		return Answer{}, fmt.Errorf("read answer of gateway %s: %w", replica, err)
	}
	if said.Environment != g.environment || !strings.EqualFold(said.Zone, g.zone) || said.Nonce != nonce {
		return Answer{}, fmt.Errorf("gateway %s answered for environment %.64q, zone %.64q, or another question", replica, said.Environment, said.Zone)
	}
	return Answer{Sent: sent, State: said.State, Remaining: time.Duration(min(said.Remaining, maxPromise.Milliseconds())) * time.Millisecond}, nil
}

// maxPromise is longer than any term, and short enough to count with.
const maxPromise = time.Hour

func (g *Gateways) do(ctx context.Context, method string, replica netip.Addr, nonce string) (*http.Response, error) {
	target := g.url
	target.Host = net.JoinHostPort(replica.String(), g.url.Port())
	if nonce != "" {
		target.RawQuery = url.Values{"nonce": {nonce}}.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, target.String(), http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("make request to gateway %s: %w", replica, err)
	}
	resp, err := g.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask gateway: %w", err)
	}
	return resp, nil
}
