package relay_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/relay"
)

// echo answers every connection with what it sends, in upper case, until "bye".
func echo(t *testing.T) string {
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
				word := make([]byte, 3)
				for {
					if _, err := io.ReadFull(conn, word); err != nil || string(word) == "bye" {
						return
					}
					_, _ = conn.Write([]byte(strings.ToUpper(string(word))))
				}
			}()
		}
	}()
	return listener.Addr().String()
}

func dialer(address string) func(context.Context) (net.Conn, *relay.Failure) {
	return func(ctx context.Context) (net.Conn, *relay.Failure) {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		if err != nil {
			return nil, &relay.Failure{Kind: "Refused", Text: "nothing there"}
		}
		return conn, nil
	}
}

// start runs the far end over a pipe and returns the near one.
func start(ctx context.Context, t *testing.T, address string) (net.Conn, <-chan error) {
	t.Helper()
	near, far := net.Pipe()
	t.Cleanup(func() { near.Close() })
	ended := make(chan error, 1)
	go func() {
		ended <- relay.Serve(ctx, dialer(address), far, far)
		far.Close()
	}()
	return near, ended
}

func wait(t *testing.T, ended <-chan error) error {
	t.Helper()
	select {
	case err := <-ended:
		return err
	case <-time.After(20 * time.Second):
		t.Fatal("the relay does not end")
		return nil
	}
}

func TestBytesPassBothWays(t *testing.T) {
	near, ended := start(t.Context(), t, echo(t))
	if err := relay.Open(near); err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"one", "two"} {
		if _, err := near.Write([]byte(word)); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 3)
		if _, err := io.ReadFull(near, got); err != nil || string(got) != strings.ToUpper(word) {
			t.Fatalf("%q, %v", got, err)
		}
	}
	if _, err := near.Write([]byte("bye")); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(near); err != nil || len(rest) > 0 {
		t.Errorf("after the server's end: %q, %v", rest, err)
	}
	if err := wait(t, ended); err != nil {
		t.Error(err)
	}
}

func TestEndsWithTheNearEnd(t *testing.T) {
	near, ended := start(t.Context(), t, echo(t))
	if err := relay.Open(near); err != nil {
		t.Fatal(err)
	}
	near.Close()
	if err := wait(t, ended); err != nil {
		t.Error(err)
	}
}

func TestEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	near, ended := start(ctx, t, echo(t))
	if err := relay.Open(near); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := wait(t, ended); err != nil {
		t.Error(err)
	}
}

func TestFailureIsReported(t *testing.T) {
	near, ended := start(t.Context(), t, "127.0.0.1:1")
	var failure *relay.Failure
	if err := relay.Open(near); !errors.As(err, &failure) || failure.TroubleKind() != "Refused" || failure.Error() != "nothing there" {
		t.Errorf("near end: %v", err)
	}
	if err := wait(t, ended); !errors.As(err, &failure) {
		t.Errorf("far end: %v", err)
	}
}

func TestOpenRefusesWhatIsNoRelay(t *testing.T) {
	for text, want := range map[string]string{
		"":                                "unexpected EOF",
		"error: unknown command":          "unexpected EOF",
		"error: unknown command\n":        "no relay",
		"{}\n":                            "no relay",
		strings.Repeat("x", 5000) + "\n":  "too long",
		`{"relay":1,"failure":{}}` + "\n": "",
	} {
		if err := relay.Open(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.20q: %v", text, err)
		}
	}
	rest := strings.NewReader("{\"relay\":1}\nTLS")
	if err := relay.Open(rest); err != nil || rest.Len() != 3 {
		t.Errorf("%v, %d bytes are left for the connection", err, rest.Len())
	}
}
