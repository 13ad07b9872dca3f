package agentcli_test

import (
	"context"
	"crypto/rand"
	"flag"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/lease"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongo"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongo/mongotest"
)

var (
	chaosTime = flag.Duration("chaos", 15*time.Second, "how long TestChaos makes trouble")
	chaosSeed = flag.Uint64("chaos-seed", 0, "which troubles TestChaos draws; 0 draws the seed too")
)

// arrival is a request that a service behind the gateways got.
type arrival struct {
	zone string
	at   time.Time
}

// chaos is two zones of two gateways each, as processes, over one stand-in database, all of them hammered, among troubles.
type chaos struct {
	t      *testing.T
	rng    *mathrand.Rand
	server *mongotest.Server
	admin  *mongo.Client
	users  map[string]string

	mu       sync.Mutex
	zoneOf   map[string]string // address → zone
	arrivals []arrival
	replicas map[string]*process // a1, a2, b1, b2
	files    map[string][2]string
	service  string
	log      []string
}

const chaosEnvironment = "chaos"

// ServeHTTP is the service: it notes by which zone a request came.
func (c *chaos) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	at := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.arrivals = append(c.arrivals, arrival{c.zoneOf[r.Host], at})
}

func (c *chaos) say(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.log = append(c.log, time.Now().Format("05.000 ")+fmt.Sprintf(format, args...))
}

func (c *chaos) start(name string) {
	zone, replica := name[:1], name[1:]
	p := startReplica(c.t, c.server, chaosEnvironment, zone, replica, c.service, c.files[zone][0], c.files[zone][1])
	c.mu.Lock()
	defer c.mu.Unlock()
	c.replicas[name], c.zoneOf[p.address] = p, zone
}

func (c *chaos) replica(name string) *process {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.replicas[name]
}

// hammer asks one replica again and again, by new connections and by old ones.
func (c *chaos) hammer(ctx context.Context, name string) {
	for n := 0; ctx.Err() == nil; n++ {
		ask, cancel := context.WithTimeout(ctx, time.Second)
		r, err := http.NewRequestWithContext(ask, http.MethodGet, c.replica(name).url+"/", http.NoBody)
		if err != nil {
			panic(err)
		}
		r.Close = n%4 == 0
		if response, err := c.replica(name).http.Do(r); err == nil {
			_, _ = io.Copy(io.Discard, response.Body)
			response.Body.Close()
		}
		cancel()
		time.Sleep(5 * time.Millisecond)
	}
}

func (c *chaos) between(low, high time.Duration) time.Duration {
	return low + time.Duration(c.rng.Int64N(int64(high-low)))
}

// trouble makes one, and returns what ends it.
func (c *chaos) trouble() (end func()) {
	name := []string{"a1", "a2", "b1", "b2"}[c.rng.IntN(4)]
	zone := name[:1]
	d := c.between(500*time.Millisecond, 12*time.Second)
	user := c.users[zone]
	inject := func(what string, f mongotest.Fault) func() {
		c.say("%s of zone %s for %v", what, zone, d)
		f.User = user
		return c.server.Inject(f)
	}
	switch c.rng.IntN(9) {
	case 0, 1:
		c.say("%s stops for %v", name, d)
		p := c.replica(name)
		p.signal(syscall.SIGSTOP)
		return func() { _ = syscall.Kill(p.pid, syscall.SIGCONT) }
	case 2:
		c.say("%s is killed", name)
		c.replica(name).ended()
		c.start(name)
	case 3:
		return inject("cut off: requests", mongotest.Fault{DropBefore: true})
	case 4:
		return inject("cut off: replies", mongotest.Fault{Command: "findAndModify", DropAfter: true})
	case 5:
		return inject("late requests", mongotest.Fault{Command: "findAndModify", Delay: c.between(time.Second, 15*time.Second), Times: 4})
	case 6:
		return inject("slow replies", mongotest.Fault{ReplyDelay: c.between(200*time.Millisecond, 2*time.Second)})
	case 7:
		c.say("an election for %v", d)
		c.server.Election(d)
	default:
		c.order(map[string]string{"a": "b", "b": "a"}[zone])
	}
	return func() {}
}

// order is a planned switch, as failover --to writes it.
func (c *chaos) order(to string) {
	store := c.admin.LeaseStore(chaosEnvironment, 2*time.Second)
	doc, _, err := store.Read(c.t.Context())
	if err != nil || doc.Holder == to || doc.Holder == "" || doc.Closing || doc.Released {
		return
	}
	_, outcome, err := store.Write(c.t.Context(), lease.CloseWrite(doc, to, nil, rand.Text()))
	c.say("ordered to %s: outcome %d, %v", to, outcome, err)
}

// dual returns what shows two zones at work at once: an arrival by one zone between two by the other that are not a second apart. The
// shortest way there and back, two orders, takes longer.
func (c *chaos) dual() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	slices.SortFunc(c.arrivals, func(x, y arrival) int { return x.at.Compare(y.at) })
	var before *arrival // the latest by another zone than the one of now
	for i := 1; i < len(c.arrivals); i++ {
		now, last := &c.arrivals[i], &c.arrivals[i-1]
		if now.zone == last.zone {
			continue
		}
		if before != nil && before.zone == now.zone && now.at.Sub(before.at) < time.Second {
			return fmt.Sprintf("zone %s got requests through at %s and %s, zone %s between", now.zone, before.at.Format("05.000"), now.at.Format("05.000"), last.zone)
		}
		before = last
	}
	return ""
}

// TestChaos is what the simulation cannot show: real processes, sockets and signals. It hammers every replica of two zones while they are
// stopped, killed, cut off from the database, answered late, and ordered to and fro, and asserts from the service's own log that no two
// zones let requests through at once, and that one serves when the troubles are over.
func TestChaos(t *testing.T) {
	t.Parallel()
	seed := *chaosSeed
	if seed == 0 {
		seed = mathrand.Uint64() //nolint:gosec // draws troubles
	}
	c := &chaos{
		t: t, rng: mathrand.New(mathrand.NewPCG(seed, 1)), server: mongotest.Start(t, mongotest.Options{}), //nolint:gosec // draws troubles
		users: map[string]string{}, zoneOf: map[string]string{}, replicas: map[string]*process{}, files: map[string][2]string{},
	}
	c.admin = newLease(t, c.server, chaosEnvironment)
	service := httptest.NewServer(c)
	t.Cleanup(service.Close)
	c.service = service.URL
	ctx, stop := context.WithCancel(t.Context())
	var hammers sync.WaitGroup
	defer hammers.Wait()
	defer stop()
	for _, zone := range []string{"a", "b"} {
		// A record that no order knows ends every order at once, so that either zone may take over from a dead one.
		intents := c.admin.IntentStore(chaosEnvironment, zone, 2*time.Second)
		was, err := intents.Intent(ctx)
		if err != nil {
			t.Fatal(err)
		}
		is := lease.Record{Zone: zone, PointsAt: zone, Seq: 1, Confirmed: 1}
		if _, applied, err := intents.WriteIntent(ctx, mongo.IntentWrite{Was: was.Record, Is: is}); err != nil || !applied {
			t.Fatal(applied, err)
		}
		c.users[zone] = gatewayUser(c.server, zone)
		ca, certKey := c.server.Files(c.users[zone])
		c.files[zone] = [2]string{ca, certKey}
		for _, name := range []string{zone + "1", zone + "2"} {
			c.start(name)
			hammers.Go(func() { c.hammer(ctx, name) })
		}
	}
	serving := func() (zones []string) {
		for _, name := range []string{"a1", "a2", "b1", "b2"} {
			if c.replica(name).open() {
				zones = append(zones, name[:1])
			}
		}
		return zones
	}
	oneServes := func() {
		t.Helper()
		for end := time.Now().Add(60 * time.Second); ; time.Sleep(100 * time.Millisecond) {
			if zones := serving(); len(zones) == 2 && zones[0] == zones[1] {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("seed %d: no zone serves with both its gateways: %v\n%s", seed, serving(), c.log)
			}
		}
	}
	oneServes()
	var ends sync.WaitGroup
	for begin := time.Now(); time.Since(begin) < *chaosTime; time.Sleep(c.between(200*time.Millisecond, 4*time.Second)) {
		end, after := c.trouble(), c.between(500*time.Millisecond, 12*time.Second)
		ends.Go(func() {
			time.Sleep(after)
			end()
		})
	}
	ends.Wait()
	oneServes()
	stop()
	hammers.Wait()
	if found := c.dual(); found != "" {
		t.Errorf("seed %d: two zones served at once: %s", seed, found)
		for _, line := range c.log {
			t.Log(line)
		}
	}
	switches := 0
	for i := 1; i < len(c.arrivals); i++ {
		if c.arrivals[i].zone != c.arrivals[i-1].zone {
			switches++
		}
	}
	t.Logf("seed %d: %d troubles, %d requests, %d switches", seed, len(c.log), len(c.arrivals), switches)
}
