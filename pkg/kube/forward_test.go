package kube

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/streaming/pkg/httpstream/spdy"
)

// kubelet answers pods/portforward over SPDY, as an API server that knows no WebSocket there does.
func kubelet(t *testing.T, to string) http.HandlerFunc {
	t.Helper()
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			http.Error(w, "no such upgrade", http.StatusBadRequest)
			return
		}
		if _, err := httpstream.Handshake(r, w, []string{"portforward.k8s.io"}); err != nil {
			t.Error(err)
			return
		}
		streams := make(chan httpstream.Stream, 2)
		conn := spdy.NewResponseUpgrader().UpgradeResponse(w, r, func(s httpstream.Stream, _ <-chan struct{}) error {
			streams <- s
			return nil
		})
		if conn == nil {
			return
		}
		defer conn.Close()
		refusals, data := <-streams, <-streams
		if refusals.Headers().Get(corev1.StreamType) != corev1.StreamTypeError || data.Headers().Get(corev1.PortHeader) != "27017" {
			t.Errorf("streams %v, %v", refusals.Headers(), data.Headers())
		}
		peer, err := net.Dial("tcp", to)
		if err != nil {
			_, _ = io.WriteString(refusals, "connection refused")
			_ = refusals.Close()
			_ = data.Close()
			<-conn.CloseChan()
			return
		}
		defer peer.Close()
		_ = refusals.Close()
		go func() { _, _ = io.Copy(peer, data) }()
		_, _ = io.Copy(data, peer)
	}
}

func podAt(t *testing.T, to string) *Client {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle("/api/v1/namespaces/ns/pods/mongodb-0/portforward", kubelet(t, to))
	return clusterAt(t, mux.ServeHTTP)
}

func TestDialPod(t *testing.T) {
	c := podAt(t, upper(t).Addr().String())
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	conn, err := c.DialPod(ctx, "mongodb-0", 27017)
	if err != nil {
		t.Fatal(err)
	}
	cancel() // the dialing is over: the connection stays
	text := strings.Repeat("some bytes ", 20000)
	go func() { _, _ = io.WriteString(conn, text) }()
	got := make([]byte, len(text))
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != strings.ToUpper(text) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(10 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	var timeout net.Error
	if _, err := conn.Read(got); !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("a deadline: %v", err)
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
}

func TestDialPodFailures(t *testing.T) {
	c := podAt(t, "127.0.0.1:1")
	conn, err := c.DialPod(t.Context(), "mongodb-0", 27017)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("nobody listens: %v", err)
	}
	if _, err := conn.Write([]byte("hello")); err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("nobody listens, and it is written to: %v", err)
	}
	if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
		t.Errorf("a deadline for what has ended: %v", err)
	}
	if _, err := c.DialPod(t.Context(), "other", 27017); err == nil || !strings.Contains(err.Error(), "forward port 27017 of pod other") {
		t.Errorf("no such pod: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.DialPod(ctx, "mongodb-0", 27017); !errors.Is(err, context.Canceled) && err != nil {
		t.Errorf("interrupted: %v", err)
	}
}
