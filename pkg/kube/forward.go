package kube

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/streaming/pkg/httpstream"
)

// DialPod opens a TCP connection to a port of a pod of the zone, through the API server's portforward stream: the kubelet dials inside the
// pod, so that neither a Service nor a NetworkPolicy is in the way. A port where nobody listens is found out by the first read.
func (c *Client) DialPod(ctx context.Context, pod string, port int) (net.Conn, error) {
	type dialed struct {
		conn net.Conn
		err  error
	}
	done := make(chan dialed, 1)
	go func() { // the stream's own dialing knows no context
		conn, err := c.forward(pod, port)
		done <- dialed{conn, err}
	}()
	select {
	case d := <-done:
		if d.err != nil {
			return nil, c.Explain(fmt.Errorf("forward port %d of pod %s in zone %s: %w", port, pod, c.Zone.Name, d.err))
		}
		return d.conn, nil
	case <-ctx.Done():
		go func() {
			if d := <-done; d.conn != nil {
				d.conn.Close()
			}
		}()
		return nil, fmt.Errorf("forward port %d of pod %s in zone %s: %w", port, pod, c.Zone.Name, context.Cause(ctx))
	}
}

func (c *Client) forward(pod string, port int) (net.Conn, error) {
	url := c.clientset.CoreV1().RESTClient().Post().Namespace(c.Zone.Namespace).Resource("pods").Name(pod).SubResource("portforward").URL()
	transport, upgrader, err := spdy.RoundTripperFor(c.stream)
	if err != nil {
		return nil, err
	}
	tunnel, err := portforward.NewSPDYOverWebsocketDialerForStreaming(url, c.stream)
	if err != nil {
		return nil, err
	}
	// API servers before 1.31, and some proxies, speak SPDY only.
	dialer := portforward.NewFallbackDialerForStreaming(tunnel, spdy.NewDialerForStreaming(upgrader, &http.Client{Transport: transport}, http.MethodPost, url),
		func(err error) bool { return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err) })
	stream, _, err := dialer.Dial(portforward.PortForwardProtocolV1Name)
	if err != nil {
		return nil, err
	}
	headers := http.Header{}
	headers.Set(corev1.StreamType, corev1.StreamTypeError)
	headers.Set(corev1.PortHeader, strconv.Itoa(port))
	headers.Set(corev1.PortForwardRequestIDHeader, "0")
	refusals, err := stream.CreateStream(headers)
	if err != nil {
		_ = stream.Close()
		return nil, err
	}
	_ = refusals.Close() // nothing is written to it
	headers.Set(corev1.StreamType, corev1.StreamTypeData)
	data, err := stream.CreateStream(headers)
	if err != nil {
		_ = stream.Close()
		return nil, err
	}
	near, far := net.Pipe() // which has the deadlines that a stream lacks
	conn := &forwarded{Conn: near}
	refused := make(chan string, 1)
	go func() {
		why, _ := io.ReadAll(io.LimitReader(refusals, maxRefusal))
		refused <- strings.TrimSpace(string(why))
	}()
	go func() {
		_, _ = io.Copy(far, data) // its end is the connection's
		select {
		case why := <-refused:
			if why != "" {
				conn.refusal.Store(&why)
			}
		case <-time.After(refusalTime):
		}
		far.Close()
		_ = stream.Close()
	}()
	go func() {
		_, _ = io.Copy(data, far)
		_ = stream.Close()
	}()
	return conn, nil
}

const (
	maxRefusal  = 4096        // of what a kubelet may say of why it could not connect
	refusalTime = time.Second // for it to say so, after the data has ended
)

// forwarded is a connection whose far end may have failed to come about.
type forwarded struct {
	net.Conn
	refusal atomic.Pointer[string] // the kubelet's reason; set before the pipe's other end is closed
}

// Read names the kubelet's reason where that, and not the peer, ended the connection.
func (f *forwarded) Read(p []byte) (int, error) {
	n, err := f.Conn.Read(p)
	return n, f.explain(err)
}

// Write does the same: a TLS client writes first.
func (f *forwarded) Write(p []byte) (int, error) {
	n, err := f.Conn.Write(p)
	return n, f.explain(err)
}

func (f *forwarded) explain(err error) error {
	why := f.refusal.Load()
	if why == nil || !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrClosedPipe) {
		return err
	}
	return fmt.Errorf("the pod's node: %s", *why)
}

// SetDeadline and its like say nothing of a connection that has ended: the next read or write says why.
func (f *forwarded) SetDeadline(t time.Time) error { return unlessEnded(f.Conn.SetDeadline(t)) }

// SetReadDeadline is as SetDeadline.
func (f *forwarded) SetReadDeadline(t time.Time) error {
	return unlessEnded(f.Conn.SetReadDeadline(t))
}

// SetWriteDeadline is as SetDeadline.
func (f *forwarded) SetWriteDeadline(t time.Time) error {
	return unlessEnded(f.Conn.SetWriteDeadline(t))
}

func unlessEnded(err error) error {
	if errors.Is(err, io.ErrClosedPipe) {
		return nil
	}
	return err
}
