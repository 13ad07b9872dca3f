package cli

import (
	"bytes"
	"context"
	"crypto/rand"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/lease"
)

// tape is a program's output, looked at while it is written.
type tape struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (p *tape) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.Write(b)
}

func (p *tape) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
}

// background runs the program; the channel gets its exit code.
func (r *region) background(ctx context.Context, args ...string) (out, errs *tape, code chan int) {
	out, errs, code = &tape{}, &tape{}, make(chan int, 1)
	go func() {
		code <- Main(ctx, &Factory{
			IO:  genericiooptions.IOStreams{In: strings.NewReader(""), Out: out, ErrOut: errs},
			Now: time.Now, Getenv: func(string) string { return "" },
			WorkDir: r.dir, UserConfigDir: func() (string, error) { return filepath.Join(r.dir, ".config"), nil }, Version: "test",
		}, append(args, "--kubeconfig", r.kubePath))
	}()
	return out, errs, code
}

// interruptAt runs the program and presses Ctrl-C once stderr says what.
func (r *region) interruptAt(what string, args ...string) (code int, errs string) {
	r.t.Helper()
	ctx, interrupt := context.WithCancel(r.t.Context())
	defer interrupt()
	_, said, ended := r.background(ctx, args...)
	r.await(what, func() bool { return strings.Contains(said.String(), what) })
	interrupt()
	return <-ended, said.String()
}

// breakAPI lets the API server of a zone refuse connections, until mend is called.
func (r *region) breakAPI(name string) (mend func()) {
	r.t.Helper()
	before := r.read(filepath.Base(r.kubePath))
	config, err := clientcmd.LoadFromFile(r.kubePath)
	if err != nil {
		r.t.Fatal(err)
	}
	config.Clusters[name].Server = "http://" + freePort(r.t)
	if err := clientcmd.WriteToFile(*config, r.kubePath); err != nil {
		r.t.Fatal(err)
	}
	return func() { r.write(filepath.Base(r.kubePath), before) }
}

// TestOperationsThatGoWrong: every mistake and every trouble has an error with a hint, moves nothing that it need not, and Ctrl-C at each
// step leaves what the command says.
func TestOperationsThatGoWrong(t *testing.T) {
	r := newRegion(t)
	r.await("all is well", func() bool { return r.status().Healthy() })
	epoch := r.status().Lease.Epoch
	refused := func(exit int, args []string, wants ...string) {
		t.Helper()
		code, out, errs := r.run(t.Context(), args...)
		if code != exit || !strings.Contains(errs, "\nhint: ") && !strings.HasPrefix(errs, "hint: ") {
			t.Errorf("%v: exit %d, want %d with a hint\n%s%s", args, code, exit, out, errs)
		}
		contains(t, errs, wants...)
	}
	refused(ExitError, []string{"failover", "--to", "eastt", "--yes"}, `no zone is named "eastt"`, "the nearest is east")
	refused(ExitError, []string{"drill", "--to", "north", "--yes"}, `no zone is named "north"`)
	refused(ExitUsage, []string{"drill", "--to", "west", "--yes"}, "zone west serves now")
	refused(ExitError, []string{"drill", "--yes", "--report", "none/such/drill"}, "the report could not be written")
	refused(ExitError, []string{"drill", "--yes", "--path", "/healthz/live"}, "as if it were open")
	contains(t, r.must("failover", "--to", "West", "--yes", "--no-wait-dns"), "zone west holds the lease already")

	// A zone whose cluster cannot be asked is not eligible as far as anybody knows.
	mend := r.breakAPI("east")
	refused(ExitError, []string{"failover", "--to", "east", "--yes"}, "whether zone east could serve is unknown", "--force")
	refused(ExitError, []string{"drill", "--yes"}, "no time for a drill", "zone east was not asked")
	if st := r.status(); !has(st, "zone-unknown") || st.Zones[1].State != "?" {
		t.Errorf("with a cluster that is away: %+v", st)
	}
	mend()
	if now := r.status().Lease.Epoch; now != epoch {
		t.Fatalf("something moved: epoch %d, then %d", epoch, now)
	}

	// Ctrl-C after the order: it stands, and the command says so.
	code, errs := r.interruptAt("is asked to close for east", "failover", "--to", "east", "--yes")
	if code != ExitInterrupted {
		t.Errorf("interrupted failover: exit %d", code)
	}
	contains(t, errs, "it may still happen")
	r.await("the order happens", func() bool { return r.code("east") == http.StatusOK && r.code("west") == http.StatusLocked })

	// Ctrl-C while the record is watched: the switch is done.
	code, errs = r.interruptAt("the record: system: zone west", "failover", "--to", "east", "--yes")
	if code != ExitInterrupted || r.code("east") != http.StatusOK {
		t.Errorf("interrupted watching: exit %d\n%s", code, errs)
	}
	r.must("failover", "--to", "west", "--yes", "--no-wait-dns")
	r.await("all is well again", func() bool { return r.status().Healthy() })

	// Ctrl-C in the first leg of a drill comes home.
	code, errs = r.interruptAt("is asked to close for east", "drill", "--yes", "--report", "first-leg")
	if code != ExitInterrupted || r.code("west") != http.StatusOK || r.code("east") != http.StatusLocked {
		t.Errorf("interrupted first leg: exit %d, west %d, east %d\n%s", code, r.code("west"), r.code("east"), errs)
	}
	contains(t, r.read("first-leg.json"), `"result": "interrupted"`, `"restored": true`)
	r.await("the drill leaves nothing behind", func() bool { return r.status().Healthy() })

	// Without a holder, and without a job that could say where the record points, an order is the only way to anybody who serves.
	r.jobless.Store(true)
	r.await("the intents are stale", func() bool { return r.status().Zones[0].Intent.SilentSecs > 2*shortTerm().D.Seconds() })
	store := r.client(gatewayUser).LeaseStore(r.env, time.Second)
	doc, _, err := store.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, outcome, err := store.Write(t.Context(), lease.CloseWrite(doc, "", nil, rand.Text())); err != nil || outcome != lease.Applied {
		t.Fatal(outcome, err)
	}
	r.await("released", func() bool { return has(r.status(), "released") })
	out := r.must("failover", "--to", "east", "--yes", "--no-wait-dns")
	contains(t, out, "zone east serves")
	if strings.Contains(out, "order of events") || r.code("east") != http.StatusOK {
		t.Errorf("appointed: east answers %d\n%s", r.code("east"), out)
	}
	r.jobless.Store(false)
	r.must("failover", "--to", "west", "--yes", "--no-wait-dns")
	r.await("all is well once more", func() bool { return r.status().Healthy() })

	// The database has lost its primary: failover waits for the next one, and for the gateways to see it.
	r.standin.Election(time.Minute)
	served, told, moved := r.background(t.Context(), "failover", "--to", "east", "--yes", "--no-wait-dns")
	r.await("failover waits", func() bool {
		return strings.Contains(told.String(), "the database does not answer, perhaps it elects a primary; trying again for 20s: ")
	})
	r.standin.Election(0)
	if code := <-moved; code != ExitOK || !strings.Contains(served.String(), "zone east serves") {
		t.Errorf("failover during an election: exit %d\n%s%s", code, served, told)
	}
	r.must("failover", "--to", "west", "--yes", "--no-wait-dns")
	r.await("all is well after the election", func() bool { return r.status().Healthy() })

	// Who watches goes on through an outage of everything.
	mendWest, mendEast := r.breakAPI("west"), r.breakAPI("east")
	heal := r.standin.Partition()
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	shown, said, ended := r.background(ctx, "maintenance", "status", "-w", "--every", "100ms")
	r.await("nothing can be read", func() bool { return strings.Contains(said.String(), "warning: nothing could be read") })
	heal()
	r.await("it sees the lease again", func() bool { return strings.Contains(shown.String(), "held by west") })
	mendEast()
	mendWest()
	interrupt()
	if code := <-ended; code != ExitInterrupted {
		t.Errorf("interrupted watch: exit %d", code)
	}

	// An environment that this database does not know.
	r.write("aporeto.yaml", strings.Replace(r.read("aporeto.yaml"), r.env, "99999999-9999-4999-8999-999999999999", 1))
	if st := r.status(); !has(st, "no-lease") {
		t.Errorf("findings: %+v", st.Findings)
	}
	refused(ExitError, []string{"failover", "--to", "east", "--yes"}, "this environment has no lease in MongoDB", "kubectl aporeto deploy")
	refused(ExitError, []string{"maintenance", "pin"}, "this environment has no lease in MongoDB", "kubectl aporeto deploy")
	if _, err := os.Stat(filepath.Join(r.dir, "none")); err == nil {
		t.Error("a folder was made for a report that was refused")
	}
}
