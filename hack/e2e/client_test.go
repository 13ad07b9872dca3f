//go:build e2e

package e2e

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"time"

	"golang.org/x/net/websocket"
)

// Addresses of the zones' gateways in the sandbox.
var gateways = map[string]string{"zone-a": "10.90.0.11:443", "zone-b": "10.90.0.12:443"}

// How long a client waits: longer than anything healthy takes on a busy machine, short enough to see what a zone that is cut off does.
const (
	dialTime   = time.Second
	answerTime = 2 * time.Second
)

// The kinds of clients that the checker is made of.
const (
	freshConnections = "new connections"
	keptConnections  = "keep-alive"
	http2            = "HTTP/2"
	sockets          = "websocket"
	lightRequests    = "no database" // keep-alive, and answered without it: what shows an open gate where nothing else gets an answer
)

// transport reaches one zone's gateway, whatever DNS says.
func transport(zone, kind string) *http.Transport {
	t := &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}}, // certificates are pkg/pki's and the probe's subject
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{Timeout: dialTime}).DialContext(ctx, network, gateways[zone])
		},
	}
	switch kind {
	case freshConnections:
		t.DisableKeepAlives = true
	case http2:
		t.ForceAttemptHTTP2, t.TLSClientConfig.NextProtos = true, []string{"h2"}
	}
	return t
}

// ask makes one request of a zone on a new connection, and returns the status code, 0 when nobody answered, and the body.
func ask(zone, path string) (int, string) {
	r, err := http.NewRequest(http.MethodGet, "https://api.sandbox.test"+path, http.NoBody)
	if err != nil {
		return 0, err.Error()
	}
	code, body, err := exchange(&http.Client{Timeout: answerTime, Transport: transport(zone, freshConnections)}, r, 1)
	if err != nil {
		return 0, err.Error()
	}
	return code, string(body)
}

// exchange makes one request over a major version of HTTP.
func exchange(client *http.Client, r *http.Request, major int) (int, []byte, error) {
	response, err := client.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	if response.ProtoMajor != major {
		return 0, nil, fmt.Errorf("answered in %s", response.Proto)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return 0, nil, err // cut in the middle: no client takes it for an answer
	}
	return response.StatusCode, body, nil
}

// reply is what the ledger answers.
type reply struct{ Zone, ID, Of, Error string }

// client makes one request after the other of one zone.
type client interface {
	// next makes the n-th request. wrote is the id of an entry that was acknowledged, "" for none.
	next(ctx context.Context, n int) (code int, wrote string, err error)
	// kept tells how many requests there were, and how many of them on a connection that was there.
	kept() (requests, reused int)
	close()
}

// requests writes one entry and reads it a few times, then again.
type requests struct {
	zone   string
	client *http.Client
	major  int  // of HTTP's version
	light  bool // asks nothing of the database
	latest string

	made, reused int // requests, and those of them on a connection that was there
}

// readsPerWrite keeps the number of entries of a whole run small enough for a stand-in that writes all of them to one file.
const readsPerWrite = 3

func newRequests(zone, kind string) *requests {
	c := &requests{zone: zone, client: &http.Client{Timeout: answerTime, Transport: transport(zone, kind)}, major: 1, light: kind == lightRequests}
	if kind == http2 {
		c.major = 2
	}
	return c
}

func (c *requests) next(ctx context.Context, n int) (int, string, error) {
	method, path := http.MethodPost, "/checker"
	reading := c.latest != "" && n%(1+readsPerWrite) != 0
	switch {
	case c.light:
		method, path = http.MethodGet, "/alive"
	case reading:
		method, path = http.MethodGet, "/entries/"+c.latest
	}
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) {
		if c.made++; i.Reused {
			c.reused++
		}
	}})
	r, err := http.NewRequestWithContext(ctx, method, "https://api.sandbox.test"+path, http.NoBody)
	if err != nil {
		return 0, "", err
	}
	code, body, err := exchange(c.client, r, c.major)
	switch {
	case err != nil:
		return 0, "", err
	case code == http.StatusNotFound && reading:
		return code, "", fmt.Errorf("entry %s was acknowledged and is gone", c.latest)
	case code < 200 || code > 299:
		return code, "", nil
	}
	var got reply
	if err := json.Unmarshal(body, &got); err != nil || got.Zone != names[c.zone] || got.ID == "" && !c.light {
		return code, "", fmt.Errorf("answered %d with %q", code, body)
	}
	if reading || c.light {
		return code, "", nil
	}
	c.latest = got.ID
	return code, got.ID, nil
}

func (c *requests) kept() (int, int) { return c.made, c.reused }

func (c *requests) close() { c.client.CloseIdleConnections() }

// socket writes an entry with every message of a websocket that it keeps for as long as it can.
type socket struct {
	zone string
	conn *websocket.Conn

	opened, sent int // connections, and messages on them
}

func (c *socket) next(ctx context.Context, _ int) (int, string, error) {
	if c.conn == nil {
		if code, err := c.open(ctx); err != nil || code != http.StatusSwitchingProtocols {
			return code, "", err
		}
	}
	got, err := c.send()
	if err != nil {
		c.close()
		return 0, "", err
	}
	c.sent++
	if got.Error != "" {
		return http.StatusServiceUnavailable, "", nil
	}
	return http.StatusOK, got.ID, nil
}

func (c *socket) send() (got reply, err error) {
	if err = c.conn.SetDeadline(time.Now().Add(answerTime)); err != nil {
		return got, err
	}
	if err = websocket.Message.Send(c.conn, "entry"); err != nil {
		return got, err
	}
	if err = websocket.JSON.Receive(c.conn, &got); err == nil && got.ID == "" && got.Error == "" {
		err = errors.New("a message without an answer in it")
	}
	return got, err
}

// open asks for a websocket and returns the status code of a refusal.
func (c *socket) open(ctx context.Context) (int, error) {
	dialer := &tls.Dialer{NetDialer: &net.Dialer{Timeout: dialTime}, Config: &tls.Config{InsecureSkipVerify: true}}
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	conn, err := dialer.DialContext(ctx, "tcp", gateways[c.zone])
	if err != nil {
		return 0, err
	}
	if err := conn.SetDeadline(time.Now().Add(answerTime)); err != nil {
		return 0, err
	}
	config, err := websocket.NewConfig("wss://api.sandbox.test/socket", "https://api.sandbox.test")
	if err != nil {
		return 0, err
	}
	if c.conn, err = websocket.NewClient(config, conn); err == nil {
		c.opened++
		return http.StatusSwitchingProtocols, nil
	}
	c.conn = nil
	conn.Close()
	if errors.Is(err, websocket.ErrBadStatus) {
		return http.StatusLocked, nil // the package does not say which; the other kinds of clients see it
	}
	return 0, err
}

func (c *socket) kept() (int, int) { return c.sent, max(0, c.sent-c.opened) }

func (c *socket) close() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
}
