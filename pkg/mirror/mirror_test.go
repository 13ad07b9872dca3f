package mirror_test

import (
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/mirror"
)

// api is as much of the Kubernetes API as the mirror uses, with the Role that the chart gives.
type api struct {
	*httptest.Server
	folder string
	object map[string]any
	events map[string]map[string]any
	refuse int // a status code for everything; 0: none
	calls  []string
}

func startAPI(t *testing.T) *api {
	t.Helper()
	a := &api{folder: t.TempDir(), events: map[string]map[string]any{}}
	a.Server = httptest.NewTLSServer(a)
	t.Cleanup(a.Close)
	for name, content := range map[string][]byte{
		"ca.crt": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.Certificate().Raw}), "token": []byte("first\n"), "namespace": []byte("svcs"),
	} {
		if err := os.WriteFile(filepath.Join(a.folder, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return a
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	token, _ := os.ReadFile(filepath.Join(a.folder, "token"))
	a.calls = append(a.calls, r.Method+" "+r.URL.Path)
	answer := func(code int, message string) {
		w.WriteHeader(code)
		_ = json.NewEncoder(w).Encode(map[string]any{"kind": "Status", "message": message})
	}
	var body map[string]any
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		answer(http.StatusBadRequest, err.Error())
		return
	}
	const maps, events = "/api/v1/namespaces/svcs/configmaps", "/apis/events.k8s.io/v1/namespaces/svcs/events"
	metadata, _ := body["metadata"].(map[string]any)
	switch name := fmt.Sprint(metadata["name"]); {
	case a.refuse != 0:
		answer(a.refuse, "no")
	case r.Header.Get("Authorization") != "Bearer "+strings.TrimSpace(string(token)):
		answer(http.StatusUnauthorized, "Unauthorized")
	case r.Method == http.MethodPatch && r.URL.Path == maps+"/aporeto-maintenance" && r.Header.Get("Content-Type") == "application/merge-patch+json":
		a.object = body
	case r.Method == http.MethodPost && r.URL.Path == events:
		if a.events[name] != nil {
			answer(http.StatusConflict, "exists")
			return
		}
		a.events[name] = body
		w.WriteHeader(http.StatusCreated)
	default:
		answer(http.StatusForbidden, "the Role does not allow "+r.Method+" "+r.URL.Path)
	}
}

func (a *api) client(t *testing.T) *mirror.Client {
	t.Helper()
	host, port, _ := strings.Cut(strings.TrimPrefix(a.URL, "https://"), ":")
	c, err := mirror.New(mirror.Config{Host: host, Port: port, Folder: a.folder, Pod: "pod-1", UserAgent: "test"})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestPut(t *testing.T) {
	a := startAPI(t)
	c := a.client(t)
	for _, zone := range []string{"west", "east"} {
		if err := c.Put(t.Context(), map[string]string{"pointsAt": zone}); err != nil {
			t.Fatal(err)
		}
		if got := a.object["data"].(map[string]any)["pointsAt"]; got != zone {
			t.Errorf("got %v, want %s", got, zone)
		}
		if err := os.WriteFile(filepath.Join(a.folder, "token"), []byte("second"), 0o600); err != nil { // Kubernetes replaces it
			t.Fatal(err)
		}
	}
	if got := len(a.calls); got != 2 {
		t.Errorf("%d calls for two changes: %v", got, a.calls)
	}
}

func TestTell(t *testing.T) {
	a := startAPI(t)
	at := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
	for range 2 { // the run that was killed, and the next one
		if err := a.client(t).Tell(t.Context(), mirror.Event{Key: "west.7", Time: at, Reason: "IntentMoved", Note: strings.Repeat("é", 900)}); err != nil {
			t.Fatal(err)
		}
	}
	e := a.events["aporeto-maintenance.west.7"]
	if len(a.events) != 1 || e["reason"] != "IntentMoved" || e["eventTime"] != "2026-01-02T03:04:05.000006Z" || e["reportingInstance"] != "pod-1" {
		t.Fatalf("got %v", a.events)
	}
	if note := fmt.Sprint(e["note"]); len(note) > 1024 || len(note) < 900 || strings.Contains(note, "\uFFFD") {
		t.Errorf("note of %d bytes", len(note))
	}
	for _, needed := range []string{"reportingController", "action", "type"} { // the API refuses an Event without them
		if e[needed] == "" || e[needed] == nil {
			t.Errorf("no %s", needed)
		}
	}
}

// Every trouble is an error that says what it was, and none shows the token.
func TestTroubles(t *testing.T) {
	a := startAPI(t)
	c := a.client(t)
	for _, code := range []int{403, 404, 409, 500, 302} {
		a.refuse = code
		err := c.Put(t.Context(), nil)
		if err == nil || !strings.Contains(err.Error(), fmt.Sprint(code)) || strings.Contains(err.Error(), "first") {
			t.Errorf("%d: got %v", code, err)
		}
		if err := c.Tell(t.Context(), mirror.Event{}); (err == nil) != (code == 409) {
			t.Errorf("%d: Tell got %v", code, err)
		}
	}
	a.Close()
	if err := c.Put(t.Context(), nil); err == nil {
		t.Error("put into an API that is down")
	}
	for name, config := range map[string]mirror.Config{"no API": {Folder: a.folder}, "no token": {Host: "h", Port: "1", Folder: t.TempDir()}} {
		if _, err := mirror.New(config); !errors.Is(err, mirror.ErrNotInCluster) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if err := os.WriteFile(filepath.Join(a.folder, "ca.crt"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := mirror.New(mirror.Config{Host: "h", Port: "1", Folder: a.folder}); err == nil || errors.Is(err, mirror.ErrNotInCluster) {
		t.Errorf("a broken CA file: got %v", err)
	}
}
