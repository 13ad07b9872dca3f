package gateway

import (
	"net/http"
	"testing"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/lease"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongo"
)

// TestProbeMetrics: what the zone's job saw is told by the gateway, which is there to be scraped.
func TestProbeMetrics(t *testing.T) {
	t.Parallel()
	l := newLab(t, http.NotFoundHandler(), func(c *Config) {
		c.Probes = func() []mongo.Sighting {
			return []mongo.Sighting{{Resolver: "system", Zone: "west"}, {Resolver: "10.0.0.10:53", Error: "tls: TLS handshake: unknown authority"}}
		}
	})
	l.store.set(func(s *memoryStore) {
		s.records = []lease.Record{{Zone: "east", PointsAt: "west", Confirmed: 5}, {Zone: "west", PointsAt: "west", Confirmed: 41}}
	})
	l.run(t)
	eventually(t, "records read", func() bool { return l.keeper.records.Load() != nil })
	for series, want := range map[string]float64{
		`aporeto_probe_result{resolver="system",result="ok",zone="West"}`:        1,
		`aporeto_probe_result{resolver="10.0.0.10:53",result="tls",zone="West"}`: 1,
		`aporeto_intent_confirmations_total{zone="West"}`:                        41,
	} {
		if got := l.metric(t, series); got != want {
			t.Errorf("%s is %v, want %v", series, got, want)
		}
	}
}

// TestEveryStateHasItsSeries: a state without one would show a replica that is in none.
func TestEveryStateHasItsSeries(t *testing.T) {
	t.Parallel()
	l := newLab(t, http.NotFoundHandler())
	for _, state := range []lease.State{lease.Locked, lease.Candidate, lease.Acquiring, lease.Active, lease.Draining, lease.Fenced, lease.Pinned} {
		want := 0.0
		if state == lease.Locked {
			want = 1
		}
		if got := l.metric(t, `aporeto_zone_state{state="`+string(state)+`",zone="West"}`); got != want {
			t.Errorf("%s at boot: %v", state, got)
		}
	}
}
