package kube

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/hint"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/kube/kubetest"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/relay"
)

// agentAt is a zone with a pod of the gateway, in which command runs.
func agentAt(t *testing.T, command kubetest.Command) *Client {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle("GET /api/v1/namespaces/ns/pods", kubetest.Pods("gateway-1"))
	mux.Handle("GET /api/v1/namespaces/ns/pods/gateway-1/exec", kubetest.Exec(command))
	return clusterAt(t, mux.ServeHTTP)
}

// upper answers in upper case until its peer ends.
func upper(t *testing.T) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				buffer := make([]byte, 64<<10)
				for {
					n, err := conn.Read(buffer)
					if err != nil {
						return
					}
					_, _ = conn.Write(bytes.ToUpper(buffer[:n]))
				}
			}()
		}
	}()
	return listener
}

func relayTo(listener net.Listener, ended chan<- struct{}) kubetest.Command {
	return func(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) int {
		defer func() { ended <- struct{}{} }()
		if !slices.Equal(args, []string{"/aporeto-agent", "relay", "mongo1:27017"}) {
			_, _ = io.WriteString(errOut, `error: unknown command "relay" for "aporeto-agent"`)
			return 2
		}
		err := relay.Serve(ctx, func(ctx context.Context) (net.Conn, *relay.Failure) {
			conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", listener.Addr().String())
			if err != nil {
				return nil, &relay.Failure{Kind: "NoAnswer", Text: "it does not answer"}
			}
			return conn, nil
		}, in, out)
		if err != nil {
			return 1
		}
		return 0
	}
}

func TestDialThrough(t *testing.T) {
	listener, ended := upper(t), make(chan struct{}, 8)
	c := agentAt(t, relayTo(listener, ended))
	pod, err := c.AgentPod(t.Context())
	if err != nil || pod != "gateway-1" {
		t.Fatalf("%q, %v", pod, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	conn, err := c.DialThrough(ctx, pod, "mongo1:27017")
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
	conn.Close()
	select {
	case <-ended: // the command in the pod ends with its connection
	case <-time.After(20 * time.Second):
		t.Error("the relay goes on")
	}
}

func TestDialThroughFailures(t *testing.T) {
	gone := upper(t)
	gone.Close()
	c := agentAt(t, relayTo(gone, make(chan struct{}, 8)))
	var failure *relay.Failure
	if _, err := c.DialThrough(t.Context(), "gateway-1", "mongo1:27017"); !errors.As(err, &failure) || failure.Kind != "NoAnswer" {
		t.Errorf("a router that is down: %v", err)
	}
	if _, err := c.DialThrough(t.Context(), "gateway-1", "elsewhere:1"); err == nil || !strings.Contains(err.Error(), "older than this plugin") || !strings.Contains(hint.Of(err), "deploy --zone a") {
		t.Errorf("an agent without the command: %v", err)
	}
	if _, err := c.DialThrough(t.Context(), "gateway-2", "mongo1:27017"); err == nil {
		t.Error("a pod that is not there")
	}
	silent := agentAt(t, func(_ context.Context, _ []string, in io.Reader, _, _ io.Writer) int {
		_, _ = io.Copy(io.Discard, in)
		return 0
	})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := silent.DialThrough(ctx, "gateway-1", "mongo1:27017"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a relay that says nothing: %v", err)
	}
}

func TestRunAgent(t *testing.T) {
	c := agentAt(t, func(_ context.Context, args []string, _ io.Reader, out, errOut io.Writer) int {
		if args[1] == "fail" {
			_, _ = io.WriteString(errOut, "error: no lease\n")
			return 3
		}
		_, _ = io.WriteString(out, strings.Join(args, " "))
		return 0
	})
	if out, err := c.RunAgent(t.Context(), "gateway-1", "mongodb-view", "--environment=e"); err != nil || string(out) != "/aporeto-agent mongodb-view --environment=e" {
		t.Errorf("%q, %v", out, err)
	}
	if _, err := c.RunAgent(t.Context(), "gateway-1", "fail"); err == nil || !strings.Contains(err.Error(), "exit code 3: error: no lease") {
		t.Errorf("%v", err)
	}
}

func TestAgentPodNone(t *testing.T) {
	c := clusterAt(t, kubetest.Pods().ServeHTTP)
	if _, err := c.AgentPod(t.Context()); err == nil || hint.Of(err) != "kubectl aporeto deploy --zone a" {
		t.Errorf("%v", err)
	}
}
