package main

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongo/mongotest"
)

// TestRoutersRestart: while the routers change to certificates of another CA, one after the other, every write of a ledger that trusts
// both succeeds.
func TestRoutersRestart(t *testing.T) {
	ours, customer := authority(t), authority(t)
	service, err := ours.Issue("CN=ledger,OU=root,O=system")
	if err != nil {
		t.Fatal(err)
	}
	server := standin(t, ours, "CN=ledger,OU=root,O=system")
	var hosts []string
	for range 2 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		server.Serve(l)
		hosts = append(hosts, l.Addr().String())
	}
	full, err := mongotest.PEM(service)
	if err != nil {
		t.Fatal(err)
	}
	uri := "mongodb://" + strings.Join(hosts, ",") + "/?authMechanism=MONGODB-X509&authSource=%24external&tls=true"
	books, err := openBooks(t.Context(), uri, file(t, "ca.crt", append(append([]byte{}, ours.Chain...), customer.Chain...)), file(t, "full.pem", full))
	if err != nil {
		t.Fatal(err)
	}
	defer books.close()
	stop, done := make(chan struct{}), make(chan int64, 4)
	for range cap(done) {
		go func() {
			var n int64
			defer func() { done <- n }()
			for {
				select {
				case <-stop:
					return
				default:
				}
				ctx, cancel := context.WithTimeout(context.Background(), requestTimeout)
				_, _, err := books.write(ctx, "z", "GET", "/")
				cancel()
				if err != nil {
					t.Errorf("write %d: %v", n, err)
					return
				}
				n++
			}
		}()
	}
	certificate, err := customer.Issue("CN=router,OU=databases,O=customer", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	for i := range hosts {
		if err := server.Restart(t.Context(), i, certificate, 300*time.Millisecond); err != nil {
			t.Fatal(err)
		}
		shown, err := tls.Dial("tcp", hosts[i], &tls.Config{RootCAs: customer.Roots})
		if err != nil {
			t.Fatalf("router %d: %v", i, err)
		}
		_ = shown.Close()
	}
	close(stop)
	var wrote int64
	for range cap(done) {
		wrote += <-done
	}
	ctx, cancel := context.WithTimeout(t.Context(), requestTimeout)
	defer cancel()
	if _, count, err := books.write(ctx, "z", "GET", "/"); err != nil || count != wrote+1 {
		t.Errorf("%d entries, %v; acknowledged were %d", count, err, wrote+1)
	}
}

// TestAgain: what never got an answer is tried until there is one, or no time is left.
func TestAgain(t *testing.T) {
	lost := errors.New("connection refused")
	calls := 0
	if err := again(t.Context(), func() error {
		if calls++; calls < 3 {
			return lost
		}
		return nil
	}); err != nil || calls != 3 {
		t.Errorf("%d calls, %v", calls, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*pause)
	defer cancel()
	if err := again(ctx, func() error { return lost }); !errors.Is(err, lost) {
		t.Errorf("out of time: %v", err)
	}
}

// TestRefusedIsNotRepeated: what the database has answered is the answer.
func TestRefusedIsNotRepeated(t *testing.T) {
	ours := authority(t)
	stranger, err := ours.Issue("CN=stranger,OU=root,O=system")
	if err != nil {
		t.Fatal(err)
	}
	server := standin(t, ours, "CN=ledger,OU=root,O=system")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server.Serve(l)
	full, err := mongotest.PEM(stranger)
	if err != nil {
		t.Fatal(err)
	}
	calls := 0
	books, err := openBooks(t.Context(), "mongodb://"+l.Addr().String()+"/?tls=true", file(t, "ca.crt", ours.Chain), file(t, "full.pem", full))
	if err != nil {
		t.Fatal(err)
	}
	defer books.close()
	err = again(t.Context(), func() error {
		calls++
		_, err := books.entries.EstimatedDocumentCount(t.Context())
		return err
	})
	if err == nil || calls != 1 {
		t.Errorf("%d calls, %v", calls, err)
	}
}

// TestClosing: a connection ends with an answer, not before it.
func TestClosing(t *testing.T) {
	ctx, end := context.WithCancel(t.Context())
	defer end()
	h := closing(ctx, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }))
	for _, want := range []string{"", "close"} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
		if got := w.Header().Get("Connection"); got != want || w.Code != 200 {
			t.Errorf("%d, Connection %q, want %q", w.Code, got, want)
		}
		end()
	}
}

func authority(t *testing.T) *mongotest.Authority {
	t.Helper()
	a, err := mongotest.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// standin returns a stand-in without routers yet, of a's certificates, in which user may do everything.
func standin(t *testing.T, a *mongotest.Authority, user string) *mongotest.Standin {
	t.Helper()
	certificate, err := a.Issue(mongotest.RouterDN, "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	s, err := mongotest.New(context.Background(), mongotest.Config{Certificate: certificate, ClientCAs: a.Chain, AdminUser: user})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func file(t *testing.T, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
