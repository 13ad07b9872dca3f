package failover

import (
	"net"
	"strings"
	"testing"
	"time"
)

// A region that is gone takes connections at best, and answers none: whoever asks it must not wait for the kernel.
func TestDirectOfASilentZone(t *testing.T) {
	silent, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	gate := Direct("https://"+silent.Addr().String(), ActivePath, nil)
	ended := make(chan error, 1)
	go func() {
		_, err := gate(t.Context())
		ended <- err
	}()
	select {
	case err := <-ended:
		if err == nil || !strings.Contains(err.Error(), "deadline exceeded") {
			t.Errorf("a zone that says nothing: %v", err)
		}
	case <-time.After(directTime + 20*time.Second):
		t.Fatal("still waiting")
	}
}
