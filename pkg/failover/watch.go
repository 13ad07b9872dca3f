package failover

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/probe"
)

// Gate asks a zone once whether it is open. An error means that nobody knows.
type Gate func(ctx context.Context) (open bool, err error)

const (
	askTime    = time.Second     // one question of a Watch
	directTime = 3 * time.Second // one question to a public address: the first one needs DNS, TCP and TLS
	askAtOne   = 32              // questions that may be under way at a time: one that hangs must not hold up the others
	// ActivePath answers 200 when a gateway is open and 423 when it is not.
	ActivePath = "/healthz/active"
)

// Watch keeps asking zones whether they are open, each by itself.
type Watch struct {
	began time.Time
	end   context.CancelFunc
	done  sync.WaitGroup

	mu      sync.Mutex
	samples map[string][]Sample
}

// NewWatch asks every gate, by zone key, again and again until Stop. An answer is awaited for a second; questions do not wait for answers.
func NewWatch(ctx context.Context, every time.Duration, gates map[string]Gate) *Watch {
	ctx, end := context.WithCancel(context.WithoutCancel(ctx))
	w := &Watch{began: time.Now(), end: end, samples: map[string][]Sample{}}
	for zone, gate := range gates {
		w.done.Go(func() { w.poll(ctx, every, zone, gate) })
	}
	return w
}

// Stop ends the asking.
func (w *Watch) Stop() {
	w.end()
	w.done.Wait()
}

// Now is the time by which samples are dated.
func (w *Watch) Now() time.Duration { return time.Since(w.began) }

// Compare measures the switch between two zones that began at since.
func (w *Watch) Compare(from, to string, since time.Duration) Measure {
	w.mu.Lock()
	defer w.mu.Unlock()
	return Compare(w.samples[from], w.samples[to], since)
}

// Seen waits until zone was seen open by a question sent since, for at most limit.
func (w *Watch) Seen(ctx context.Context, zone string, since, limit time.Duration) {
	for end := w.Now() + limit; w.Now() < end; {
		w.mu.Lock()
		seen := slices.ContainsFunc(w.samples[zone], func(s Sample) bool { return s.Open && s.Sent >= since })
		w.mu.Unlock()
		if seen || pause(ctx, 20*time.Millisecond) != nil {
			return
		}
	}
}

func (w *Watch) poll(ctx context.Context, every time.Duration, zone string, gate Gate) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	slots := make(chan struct{}, askAtOne)
	var asking sync.WaitGroup
	defer asking.Wait()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		select {
		case slots <- struct{}{}:
			asking.Go(func() {
				defer func() { <-slots }()
				w.ask(ctx, zone, gate)
			})
		default: // all are waiting for an answer
		}
	}
}

func (w *Watch) ask(ctx context.Context, zone string, gate Gate) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	s := Sample{Sent: w.Now()}
	open, err := gate(ctx)
	s.Received = w.Now()
	if err != nil {
		s.Err = err.Error()
	} else {
		s.Open, s.Closed = open, !open
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.samples[zone] = append(w.samples[zone], s)
}

// Direct returns the gate of a zone's own public address: GET url+path, where any 2xx means open and 423 closed. Redirects are not
// followed and no proxy is used. roots verify its certificate; nil means the system's. A region that is gone answers nothing at all, and
// the kernel would try for minutes: a question ends after 3 seconds by itself.
func Direct(url, path string, roots *x509.CertPool) Gate {
	client := &http.Client{
		Transport: &http.Transport{
			TLSClientConfig:     &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
			MaxIdleConnsPerHost: askAtOne, IdleConnTimeout: 10 * time.Second,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	url = strings.TrimSuffix(url, "/") + path
	return func(ctx context.Context) (bool, error) {
		ctx, cancel := context.WithTimeout(ctx, directTime)
		defer cancel()
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
		if err != nil {
			return false, err
		}
		response, err := client.Do(request)
		if err != nil {
			return false, err
		}
		defer response.Body.Close()
		_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 64<<10)) // so that the connection is used again
		switch {
		case response.StatusCode >= 200 && response.StatusCode < 300:
			return true, nil
		case response.StatusCode == http.StatusLocked:
			return false, nil
		}
		return false, fmt.Errorf("%s answers %s", url, response.Status)
	}
}

// Prober asks the global endpoint once by each resolver; *probe.Prober is it.
type Prober interface {
	Round(ctx context.Context) []probe.Result
}

// AwaitRecord asks the global endpoint every second until each resolver's way leads to zone key `to`, or limit is over. say is told of
// every change of what is seen. It returns what was seen last where that is not it.
func AwaitRecord(ctx context.Context, p Prober, to string, limit time.Duration, say func(string)) (elsewhere string, err error) {
	last := ""
	for end := time.Now().Add(limit); ; {
		led, seen := leads(p.Round(ctx), to)
		if led {
			return "", nil
		}
		if ctx.Err() != nil {
			return seen, ctx.Err()
		}
		if seen != last {
			say(seen)
			last = seen
		}
		if time.Now().After(end) {
			return seen, nil
		}
		if err := pause(ctx, time.Second); err != nil {
			return seen, err
		}
	}
}

// leads tells whether all results lead to a zone, and what they lead to.
func leads(results []probe.Result, to string) (bool, string) {
	all, seen := len(results) > 0, make([]string, len(results))
	for i, r := range results {
		switch {
		case r.Kind != probe.OK:
			all, seen[i] = false, fmt.Sprintf("%s: no answer (%s)", r.Resolver, r.Err)
		default:
			all, seen[i] = all && r.Zone == to, fmt.Sprintf("%s: zone %s", r.Resolver, r.Zone)
		}
	}
	return all, strings.Join(seen, "; ")
}
