// Package mirror shows a zone's intent to those who look with kubectl: one ConfigMap, and an Event for each change.
//
// It is a mirror and never an input: nothing of this product reads it back, and whoever writes to it changes nothing. It speaks to the
// Kubernetes API by itself, because client-go would make the agent three times as big. Requests are those of the API reference
// (core/v1 ConfigMap and events.k8s.io/v1 Event), authenticated by the token that Kubernetes projects into the pod.
package mirror

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Name is the ConfigMap's: the only one that the job's Role lets it write.
const Name = "aporeto-maintenance"

// ServiceAccount is where Kubernetes projects a pod's token, its API's CA and the namespace.
const ServiceAccount = "/var/run/secrets/kubernetes.io/serviceaccount"

// Bounds of one request.
const (
	requestTime = 3 * time.Second
	maxBody     = 64 << 10
	maxNote     = 1000 // bytes of an Event's note; the API takes 1024
)

// ErrNotInCluster means that this process has no token of a cluster.
var ErrNotInCluster = errors.New("not in a pod with a ServiceAccount's token")

// Config says where the API is.
type Config struct {
	Host, Port string // of the API; KUBERNETES_SERVICE_HOST and _PORT in a pod
	Folder     string // with token, ca.crt and namespace; ServiceAccount in a pod
	Pod        string // name of this pod; who reports
	UserAgent  string
}

// Client writes one namespace's mirror.
type Client struct {
	config    Config
	base      url.URL
	namespace string
	client    *http.Client
}

// New returns a client, or ErrNotInCluster.
func New(c Config) (*Client, error) {
	if c.Host == "" || c.Port == "" {
		return nil, ErrNotInCluster
	}
	ca, err := os.ReadFile(filepath.Join(c.Folder, "ca.crt"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, ErrNotInCluster
	}
	if err != nil {
		return nil, fmt.Errorf("read the cluster's CA: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		return nil, errors.New("no certificate in the cluster's CA file")
	}
	namespace, err := os.ReadFile(filepath.Join(c.Folder, "namespace"))
	if err != nil {
		return nil, fmt.Errorf("read the pod's namespace: %w", err)
	}
	return &Client{
		config: c, namespace: strings.TrimSpace(string(namespace)),
		base: url.URL{Scheme: "https", Host: net.JoinHostPort(c.Host, c.Port)},
		client: &http.Client{
			Transport: &http.Transport{
				TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, MaxResponseHeaderBytes: maxBody, DisableCompression: true,
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // the token goes nowhere else
			Timeout:       requestTime,
		},
	}, nil
}

// Put sets data's keys in the ConfigMap, which the chart makes: the right to make one cannot be limited to one name, that to patch it can.
func (c *Client) Put(ctx context.Context, data map[string]string) error {
	// A merge patch needs no resourceVersion, and so no right to read.
	path := "/api/v1/namespaces/" + c.namespace + "/configmaps/" + Name
	if _, err := c.send(ctx, http.MethodPatch, path, "application/merge-patch+json", map[string]any{"data": data}); err != nil {
		return fmt.Errorf("patch ConfigMap %q: %w", Name, err)
	}
	return nil
}

// Event is something that happened to the zone's intent.
type Event struct {
	Key    string // makes it one of a kind: an Event with a key that is there is not made again
	Time   time.Time
	Reason string // CamelCase, for machines
	Note   string // for people
}

// Tell makes an Event about the ConfigMap, unless one with its key is there.
func (c *Client) Tell(ctx context.Context, e Event) error {
	note := e.Note
	if len(note) > maxNote {
		note = strings.ToValidUTF8(note[:maxNote], "")
	}
	object := map[string]any{
		"apiVersion": "events.k8s.io/v1", "kind": "Event",
		"metadata":            map[string]any{"name": Name + "." + e.Key, "namespace": c.namespace},
		"eventTime":           e.Time.UTC().Format("2006-01-02T15:04:05.000000Z07:00"), // MicroTime
		"reportingController": "aporeto.io/auto-maintenance",
		"reportingInstance":   c.config.Pod,
		"action":              "ObserveEndpoint",
		"type":                "Normal",
		"reason":              e.Reason,
		"note":                note,
		"regarding":           map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "name": Name, "namespace": c.namespace},
	}
	code, err := c.send(ctx, http.MethodPost, "/apis/events.k8s.io/v1/namespaces/"+c.namespace+"/events", "application/json", object)
	if err != nil && code != http.StatusConflict {
		return fmt.Errorf("make Event %q: %w", e.Reason, err)
	}
	return nil
}

// send makes one request and returns the answer's status code, 0 when there was none. Codes of 300 and above are errors.
func (c *Client) send(ctx context.Context, method, path, contentType string, object any) (int, error) {
	body, err := json.Marshal(object)
	if err != nil {
		return 0, fmt.Errorf("write request: %w", err)
	}
	// Read every time: Kubernetes replaces it.
	token, err := os.ReadFile(filepath.Join(c.config.Folder, "token"))
	if err != nil {
		return 0, fmt.Errorf("read the pod's token: %w", err)
	}
	target := c.base
	target.Path = path
	target.RawQuery = url.Values{"fieldManager": {"aporeto-agent"}}.Encode()
	req, err := http.NewRequestWithContext(ctx, method, target.String(), bytes.NewReader(body))
	if err != nil {
		return 0, fmt.Errorf("make request: %w", err)
	}
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", c.config.UserAgent)
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	resp, err := c.client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	if err != nil {
		return resp.StatusCode, fmt.Errorf("read answer: %w", err)
	}
	if resp.StatusCode < 300 {
		return resp.StatusCode, nil
	}
	var status struct {
		Message string `json:"message"`
	}
	_ = json.Unmarshal(answer, &status) // without a message the code says enough
	return resp.StatusCode, fmt.Errorf("the API answered %q: %.300s", resp.Status, status.Message)
}
