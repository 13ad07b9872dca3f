//go:build e2e

package e2e

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"
)

// Addresses of the zones' gateways in the sandbox.
var gateways = map[string]string{"zone-a": "10.90.0.11:443", "zone-b": "10.90.0.12:443"}

// direct returns a client that reaches one zone's gateway, whatever DNS says, on a new connection for every request.
func direct(zone string) *http.Client {
	return &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, // the checks of certificates are pkg/pki's and the probe's
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{Timeout: 2 * time.Second}).DialContext(ctx, network, gateways[zone])
		},
	}}
}

// ask makes one request of a zone and returns the status code, 0 when nobody answered, and the body.
func ask(client *http.Client, path string) (int, string) {
	response, err := client.Get("https://api.sandbox.test" + path)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return 0, err.Error()
	}
	return response.StatusCode, string(body)
}

// await waits until what holds.
func await(t *testing.T, limit time.Duration, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", limit, what)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// awaitCodes waits until the zones answer as wanted.
func awaitCodes(t *testing.T, limit time.Duration, want map[string]int) {
	t.Helper()
	await(t, limit, fmt.Sprintf("zones answer %v", want), func() bool {
		for zone, code := range want {
			if have, _ := ask(direct(zone), "/await"); have != code {
				return false
			}
		}
		return true
	})
}

// accepted is one request that a zone served.
type accepted struct {
	zone       string
	start, end time.Duration
	id         string
}

// checker asks every zone directly, all the while, and keeps what was accepted.
type checker struct {
	began time.Time
	stop  context.CancelFunc
	wg    sync.WaitGroup
	mu    sync.Mutex
	log   []accepted
	codes map[string]map[int]int
}

func startChecker() *checker {
	ctx, stop := context.WithCancel(context.Background())
	c := &checker{began: time.Now(), stop: stop, codes: map[string]map[int]int{}}
	for zone := range gateways {
		c.codes[zone] = map[int]int{}
		c.wg.Go(func() {
			client := direct(zone)
			for ctx.Err() == nil {
				start := time.Since(c.began)
				code, body := ask(client, "/checker")
				end := time.Since(c.began)
				var entry struct{ ID string }
				_ = json.Unmarshal([]byte(body), &entry) // no JSON, no id
				c.mu.Lock()
				c.codes[zone][code]++
				if code >= 200 && code < 300 {
					c.log = append(c.log, accepted{zone: zone, start: start, end: end, id: entry.ID})
				}
				c.mu.Unlock()
				select {
				case <-ctx.Done():
				case <-time.After(10 * time.Millisecond):
				}
			}
		})
	}
	return c
}

// finish stops asking, and fails the test if from ever accepted a request that began after to had accepted one. It returns the gap that a
// client saw: from the last 2xx of from to the first 2xx of to.
func (c *checker) finish(t *testing.T, from, to string) time.Duration {
	t.Helper()
	c.stop()
	c.wg.Wait()
	last, first := time.Duration(-1), time.Duration(-1)
	for _, a := range c.log {
		switch {
		case a.id == "":
			t.Errorf("%s answered 2xx at %v without the id of what it wrote", a.zone, a.start)
		case a.zone == to && (first < 0 || a.end < first):
			first = a.end
		}
	}
	for _, a := range c.log {
		if a.zone != from {
			continue
		}
		last = max(last, a.end)
		if first >= 0 && a.start > first {
			t.Errorf("two zones at once: %s accepted a request begun at %v, %s had accepted one by %v", from, a.start, to, first)
		}
	}
	if last < 0 || first < 0 {
		t.Fatalf("no switch was seen: codes %v", c.codes)
	}
	t.Logf("codes seen: %v", c.codes)
	return first - last
}
