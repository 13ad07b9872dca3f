package cli

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/clock"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/failover"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/gateway"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/lease"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongo"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongo/mongotest"
)

// region is an environment with two zones whose gateways run in this process over one stand-in database, with an API server each, and a
// global endpoint that leads where record says.
type region struct {
	t        *testing.T
	dir      string
	env      string // id
	ca       *mongotest.Authority
	standin  *mongotest.Standin
	host     string
	record   atomic.Pointer[string] // zone key
	jobless  atomic.Bool            // the jobs do not run
	public   map[string]string      // zone key → host:port
	kubePath string
}

func shortTerm() lease.Term {
	return lease.Term{T: 2 * time.Second, R: 200 * time.Millisecond, P: 100 * time.Millisecond, C: time.Second, J: 100 * time.Millisecond, D: 3 * time.Second, Rho: 0.01}
}

const gatewayUser = "CN=gateway-test,OU=root,O=system"

func newRegion(t *testing.T) *region {
	t.Helper()
	ca, err := mongotest.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	r := &region{t: t, dir: t.TempDir(), ca: ca, public: map[string]string{}}
	r.kubePath = filepath.Join(r.dir, ".kubeconfig")
	r.move("west")
	database := listen(t)
	r.host = database.Addr().String()

	status := map[string]string{}
	for _, name := range []string{"west", "east"} {
		r.public[name], status[name] = freePort(t), freePort(t)
	}
	endpoint := r.startEndpoint()
	r.kubeconfig(status)
	r.must("init", ".")
	r.must("zone", "add", "west", "--context", "west", "--namespace", "ns")
	r.must("zone", "add", "east", "--context", "east", "--namespace", "ns")
	r.must("value", "set", "global.database.mongo.host", r.host)
	for name, address := range r.public {
		r.must("value", "set", "global.public.api", "https://"+address, "--zone", name)
	}
	r.must("pki", "init")
	r.write("certs/mongodb-custom-ca.pem", string(ca.Chain))
	values := r.read("conf.d/values.yaml") + "\nauto-maintenance:\n  endpoint: " + endpoint + "\n  caBundle: |\n    " + strings.ReplaceAll(strings.TrimSpace(string(ca.Chain)), "\n", "\n    ") + "\n"
	r.write("conf.d/values.yaml", values)
	for _, line := range strings.Split(r.read("aporeto.yaml"), "\n") {
		if id, found := strings.CutPrefix(line, "id: "); found {
			r.env = strings.TrimSpace(id)
		}
	}
	r.startDatabase(database)
	for _, name := range []string{"west", "east"} {
		r.startGateway(name, status[name])
		go r.job(t.Context(), name)
	}
	r.await("west opens", func() bool { return r.code("west") == http.StatusOK })
	return r
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func freePort(t *testing.T) string {
	l := listen(t)
	defer l.Close()
	return l.Addr().String()
}

func (r *region) write(name, content string) {
	if err := os.WriteFile(filepath.Join(r.dir, name), []byte(content), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

func (r *region) read(name string) string {
	data, err := os.ReadFile(filepath.Join(r.dir, name))
	if err != nil && !os.IsNotExist(err) {
		r.t.Fatal(err)
	}
	return string(data)
}

func (r *region) move(zone string) { r.record.Store(&zone) }

// run is the program; it returns the exit code, stdout and stderr.
func (r *region) run(ctx context.Context, args ...string) (int, string, string) {
	var out, errs bytes.Buffer
	code := Main(ctx, &Factory{
		IO:  genericiooptions.IOStreams{In: strings.NewReader(""), Out: &out, ErrOut: &errs},
		Now: time.Now, Getenv: func(key string) string { return map[string]string{"USER": "op"}[key] },
		WorkDir: r.dir, UserConfigDir: func() (string, error) { return filepath.Join(r.dir, ".config"), nil }, Version: "test",
	}, append(args, "--kubeconfig", r.kubePath))
	return code, out.String(), errs.String()
}

func (r *region) must(args ...string) string {
	r.t.Helper()
	code, out, errs := r.run(r.t.Context(), args...)
	if code != 0 {
		r.t.Fatalf("%v: exit %d\n%s%s", args, code, out, errs)
	}
	return out
}

func (r *region) await(what string, holds func() bool) {
	r.t.Helper()
	for end := time.Now().Add(40 * time.Second); !holds(); {
		if time.Now().After(end) {
			_, out, errs := r.run(r.t.Context(), "maintenance", "status")
			r.t.Fatalf("never came true: %s\n%s%s", what, out, errs)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (r *region) client(dn string) *mongo.Client {
	cert, err := r.ca.Issue(dn)
	if err != nil {
		r.t.Fatal(err)
	}
	uri, err := mongo.URI(r.host, "")
	if err != nil {
		r.t.Fatal(err)
	}
	ctx := context.WithoutCancel(r.t.Context())
	c, err := mongo.Connect(ctx, mongo.Options{URI: uri, CA: r.ca.Chain, Certificate: func() (*tls.Certificate, error) { return &cert, nil }})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = c.Close(ctx) })
	return c
}

func (r *region) startDatabase(l net.Listener) {
	cert, err := r.ca.Issue(mongotest.RouterDN, "127.0.0.1")
	if err != nil {
		r.t.Fatal(err)
	}
	r.standin, err = mongotest.New(context.WithoutCancel(r.t.Context()), mongotest.Config{
		Certificate: cert, AdminUser: mongotest.AdminDN, ClientCAs: append([]byte(r.read("certs/ca-chain-system.pem")), r.ca.Chain...),
	})
	if err != nil {
		r.t.Fatal(err)
	}
	r.standin.Serve(l)
	r.t.Cleanup(func() { _ = r.standin.Close() })
	admin := r.client(mongotest.AdminDN)
	if _, err := admin.CreateUser(r.t.Context(), mongo.User{Name: gatewayUser, Roles: []mongo.Role{{Role: "readWrite", DB: mongo.Database}}}); err != nil {
		r.t.Fatal(err)
	}
	if _, err := admin.EnsureLease(r.t.Context(), r.env, shortTerm()); err != nil {
		r.t.Fatal(err)
	}
}

func (r *region) startGateway(name, status string) {
	cert, err := r.ca.Issue("CN="+name, "127.0.0.1")
	if err != nil {
		r.t.Fatal(err)
	}
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(name)) }))
	routes, err := gateway.ParseRoutes(fmt.Appendf(nil, `{"routes":[{"host":"","path":"/","upstream":%q}]}`, service.URL))
	if err != nil {
		r.t.Fatal(err)
	}
	g := gateway.New(gateway.Config{
		Environment: r.env, Zone: name, Listen: r.public[name], Status: status, Routes: routes, Clock: clock.System(), Log: slog.New(slog.DiscardHandler),
		Certificate: func() (*tls.Certificate, error) { return &cert, nil }, Store: r.client(gatewayUser).LeaseStore(r.env, time.Second),
		Lease: lease.Config{
			Zone: name, Replica: name + "-1", Term: shortTerm(), Drain: 100 * time.Millisecond, Nonce: rand.Text, Jitter: func(d time.Duration) time.Duration { return d / 2 },
		},
	})
	ctx, stop := context.WithCancel(r.t.Context())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	r.t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			r.t.Error(err)
		}
		service.Close()
	})
}

// job states a zone's intent, as auto-maintenance does.
func (r *region) job(ctx context.Context, name string) {
	store := r.client(gatewayUser).IntentStore(r.env, name, time.Second)
	for ctx.Err() == nil {
		was, err := store.Intent(ctx)
		if err == nil && !r.jobless.Load() {
			is := was.Record
			is.Confirmed++
			if at := *r.record.Load(); is.PointsAt != at {
				is.PointsAt, is.Seq = at, is.Seq+1
			}
			_, _, _ = store.WriteIntent(ctx, mongo.IntentWrite{Was: was.Record, Is: is, Resolvers: []mongo.Sighting{{Resolver: "system", Zone: is.PointsAt}}})
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func (r *region) proxyTo(target func() string) *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			u, _ := url.Parse(target())
			p.Out.URL.Scheme, p.Out.URL.Host = u.Scheme, u.Host
			if _, rest, found := strings.Cut(p.In.URL.Path, "/proxy/"); found {
				p.Out.URL.Path = "/" + rest
			}
		},
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: r.ca.Roots, MinVersion: tls.VersionTLS12}, DisableKeepAlives: true},
	}
}

// startEndpoint is where the global record leads.
func (r *region) startEndpoint() string {
	cert, err := r.ca.Issue("CN=global", "127.0.0.1")
	if err != nil {
		r.t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(r.proxyTo(func() string { return "https://" + r.public[*r.record.Load()] }))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	server.StartTLS()
	r.t.Cleanup(server.Close)
	return server.URL
}

// kubeconfig starts an API server for each zone that knows one pod and proxies to its status port.
func (r *region) kubeconfig(status map[string]string) {
	config := clientcmdapi.NewConfig()
	for name, address := range status {
		mux := http.NewServeMux()
		answer := func(v any) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				_ = json.NewEncoder(w).Encode(v)
			}
		}
		meta := func(name string) map[string]any { return map[string]any{"name": name, "uid": name + "-uid"} }
		mux.HandleFunc("GET /api/v1/namespaces/kube-system", answer(map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": meta(name)}))
		mux.HandleFunc("GET /api/v1/namespaces/ns/pods", answer(map[string]any{
			"apiVersion": "v1", "kind": "PodList", "items": []any{map[string]any{"apiVersion": "v1", "kind": "Pod", "metadata": meta(name + "-1")}},
		}))
		mux.Handle("GET /api/v1/namespaces/ns/pods/http:"+name+"-1:9090/proxy/", r.proxyTo(func() string { return "http://" + address }))
		server := httptest.NewServer(mux)
		r.t.Cleanup(server.Close)
		config.Clusters[name] = &clientcmdapi.Cluster{Server: server.URL}
		config.AuthInfos[name] = &clientcmdapi.AuthInfo{Token: "test"}
		config.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: name}
	}
	config.CurrentContext = "west"
	if err := clientcmd.WriteToFile(*config, r.kubePath); err != nil {
		r.t.Fatal(err)
	}
}

// code is what a client gets from a zone.
func (r *region) code(name string) int {
	client := &http.Client{Timeout: time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: r.ca.Roots, MinVersion: tls.VersionTLS12}, DisableKeepAlives: true}}
	response, err := client.Get("https://" + r.public[name] + "/orders")
	if err != nil {
		return 0
	}
	response.Body.Close()
	return response.StatusCode
}

func (r *region) status() failover.Status {
	r.t.Helper()
	var st failover.Status
	if err := json.Unmarshal([]byte(r.must("maintenance", "status", "-o", "json")), &st); err != nil {
		r.t.Fatal(err)
	}
	return st
}

func has(st failover.Status, code string) bool {
	for _, f := range st.Findings {
		if f.Code == code {
			return true
		}
	}
	return false
}

func contains(t *testing.T, text string, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in:\n%s", want, text)
		}
	}
}

// TestOperations is an operator's day: look, pin, fail over, let the record follow, drill, interrupt a drill, lose the database.
func TestOperations(t *testing.T) {
	r := newRegion(t)
	r.await("all is well", func() bool { return r.status().Healthy() })
	st := r.status()
	west, _ := st.Zone("west")
	if west.State != "Active" || !*west.Holder || *west.Open != 1 || !*west.Eligible || *west.Left <= 0 || west.Intent.PointsAt != "west" {
		t.Errorf("west: %+v", west)
	}
	contains(t, r.must("maintenance", "status"), "held by west, 1 open", "HOLDER", "LEASE-LEFT")

	// A pin holds though the record moves; it is said once, and journalled.
	contains(t, r.must("maintenance", "pin", "--reason", "audit"), "pinned to zone west")
	contains(t, r.must("maintenance", "pin"), "pinned already, by op@")
	if st := r.status(); !has(st, "pinned") || st.Lease.Pin.Reason != "audit" || len(st.Journal) != 1 || !strings.Contains(st.Journal[0].Reason, "audit") {
		t.Errorf("pinned: %+v", st)
	}
	code, _, errs := r.run(t.Context(), "drill", "--yes")
	if code != ExitError {
		t.Errorf("a drill while pinned: exit %d", code)
	}
	contains(t, errs, "no time for a drill", "pinned to zone west")
	r.must("maintenance", "unpin")
	contains(t, r.must("maintenance", "unpin"), "not pinned")

	// The reply to the order is lost, and it is not ordered twice.
	r.standin.Inject(mongotest.Fault{User: mongotest.AdminDN, Command: "findAndModify", DropAfter: true, Times: 1})
	epoch := st.Lease.Epoch
	contains(t, r.must("failover", "--to", "EAST", "--yes", "--no-wait-dns"), fmt.Sprintf("zone east serves (epoch %d)", epoch+1), "proven: the old zone answered 423", "must point at zone east")
	if r.code("west") != http.StatusLocked || r.code("east") != http.StatusOK {
		t.Errorf("west answers %d, east %d", r.code("west"), r.code("east"))
	}
	if st = r.status(); !has(st, "override") || !has(st, "ordered-away") || st.Healthy() {
		t.Errorf("against the record: %+v", st.Findings)
	}
	code, _, errs = r.run(t.Context(), "failover", "--to", "east", "--yes", "--dns-timeout", "1s")
	if code != ExitError {
		t.Errorf("a record that does not follow: exit %d", code)
	}
	contains(t, errs, "the record did not follow within 1s")
	r.move("east")
	contains(t, r.must("failover", "--to", "east", "--yes", "--dns-timeout", "20s"), "holds the lease already", "points at zone east")

	// A machine that does not see the record believes the zone's job.
	endpoint := strings.TrimSpace(r.must("value", "get", "auto-maintenance.endpoint"))
	r.must("value", "set", "auto-maintenance.endpoint", "https://127.0.0.1:1")
	contains(t, r.must("failover", "--to", "east", "--yes", "--dns-timeout", "1s"), "is not seen to follow from here", "the job of zone east sees it there")
	r.must("value", "set", "auto-maintenance.endpoint", endpoint)

	// There and back leaves everything as it was.
	r.await("the order has ended", func() bool { return r.status().Healthy() })
	contains(t, r.must("drill", "--yes", "--stay", "200ms", "--report", "drill"), "result: passed", "proven")
	var report failover.DrillReport
	if err := json.Unmarshal([]byte(r.read("drill.json")), &report); err != nil {
		t.Fatal(err)
	}
	if report.Home != "east" || report.Away != "west" || len(report.Legs) != 2 || !report.Restored || report.Result != failover.Passed {
		t.Errorf("report: %+v", report)
	}
	for _, leg := range report.Legs {
		if leg.GapSecs == nil || *leg.GapSecs > 1.5 || leg.Samples < 20 {
			t.Errorf("leg %s -> %s: %+v", leg.From, leg.To, leg)
		}
	}
	contains(t, r.read("drill.txt"), "result: passed")
	r.await("the drill leaves no order behind", func() bool { return r.status().Healthy() })

	// Ctrl-C in the other zone comes back first.
	ctx, interrupt := context.WithCancel(t.Context())
	go func() {
		for r.code("west") != http.StatusOK && ctx.Err() == nil {
			time.Sleep(20 * time.Millisecond)
		}
		interrupt()
	}()
	code, _, errs = r.run(ctx, "drill", "--yes", "--stay", "1m", "--report", "cut")
	if code != ExitInterrupted || r.code("east") != http.StatusOK || r.code("west") != http.StatusLocked {
		t.Errorf("interrupted: exit %d, west %d, east %d\n%s", code, r.code("west"), r.code("east"), errs)
	}
	contains(t, r.read("cut.txt"), "result: interrupted")

	// Without the database status says what the gateways say.
	heal := r.standin.Partition()
	defer heal()
	out := r.must("maintenance", "status")
	contains(t, out, "LEASE         ?", "MongoDB was not read from here")
	code, _, errs = r.run(t.Context(), "failover", "--to", "west", "--yes")
	if code != ExitError {
		t.Errorf("failover without a database: exit %d", code)
	}
	contains(t, errs, "MongoDB")
}

// TestInTime: what was answered in time counts, though another zone was waited for until the time was over.
func TestInTime(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 100 {
		answer := make(chan failover.Gateways, 1)
		answer <- failover.Gateways{Replicas: []failover.Replica{{Name: "r"}}}
		if g := inTime(ctx, answer, failover.Gateways{}); g.Err != nil || len(g.Replicas) != 1 {
			t.Fatalf("an answer that was there: %+v", g)
		}
	}
	if g := inTime(ctx, make(chan failover.Gateways), failover.Gateways{Err: errNothing}); g.Err == nil {
		t.Error("no answer, and no error")
	}
}
