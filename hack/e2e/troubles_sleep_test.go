//go:build e2e

package e2e

import (
	"context"
	"io"
	"net/http"
	"net/http/httptrace"
	"sync"
	"testing"
	"time"
)

// sleepers are so many patient clients of each kind that some of them have their connection to either of two gateways.
const sleepers = 6

// gatewaysAsleep freezes the serving zone's gateways, as a machine's that sleeps; another zone takes over. When they wake up, with requests
// waiting on connections that were kept since before, their time is over: they let none through.
func (l *lab) gatewaysAsleep(t *testing.T, from, to string) {
	var clients []*http.Client
	for range sleepers {
		for _, kind := range []string{keptConnections, http2} {
			client := &http.Client{Timeout: takeover, Transport: transport(from, kind)}
			defer client.CloseIdleConnections()
			if code, reused, err := alive(client, func() {}); code != http.StatusOK {
				t.Fatalf("%s before the sleep: %d, %v (%t)", from, code, err, reused)
			}
			clients = append(clients, client)
		}
	}
	l.sandbox(t, "pause", from, "gateway")
	l.sandbox(t, "record", to)
	awaitCodes(t, takeover, map[string]int{to: 200})
	var sent, answered sync.WaitGroup
	refused, cut := make(chan struct{}, len(clients)), make(chan struct{}, len(clients))
	for _, client := range clients {
		sent.Add(1)
		answered.Go(func() {
			code, reused, err := alive(client, sync.OnceFunc(sent.Done))
			switch {
			case !reused:
				t.Errorf("asked on a new connection: %v", err)
			case err != nil:
				cut <- struct{}{}
			case code == http.StatusLocked:
				refused <- struct{}{}
			default:
				t.Errorf("%s woke up and answered %d to a request that had waited for it", from, code)
			}
		})
	}
	sent.Wait()
	l.sandbox(t, "resume", from, "gateway")
	answered.Wait()
	t.Logf("of %d requests that waited for sleeping gateways %d were refused and %d were cut", len(clients), len(refused), len(cut))
	awaitCodes(t, swap, map[string]int{from: 423, to: 200})
}

// alive asks for what needs no database, and calls sent when the request is on its way. It tells whether it went on a connection that was
// there.
func alive(client *http.Client, sent func()) (code int, reused bool, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), takeover+10*time.Second)
	defer cancel()
	defer sent() // where it never was
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn:      func(i httptrace.GotConnInfo) { reused = i.Reused },
		WroteRequest: func(httptrace.WroteRequestInfo) { sent() },
	})
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://api.sandbox.test/alive", http.NoBody)
	if err != nil {
		return 0, false, err
	}
	response, err := client.Do(r)
	if err != nil {
		return 0, reused, err
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body) // or the connection would not be kept
	return response.StatusCode, reused, err
}
