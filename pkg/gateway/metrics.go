package gateway

import (
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/lease"
)

// metrics are one gateway's, in a registry of its own.
type metrics struct {
	registry    *prometheus.Registry
	zone        string
	requests    *prometheus.CounterVec
	transitions *prometheus.CounterVec
	operations  *prometheus.HistogramVec
}

func newMetrics(zone string) *metrics {
	label := prometheus.Labels{"zone": zone}
	m := &metrics{
		registry: prometheus.NewRegistry(), zone: zone,
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "aporeto_gate_requests_total", Help: "Requests by the status code of their answer.", ConstLabels: label}, []string{"code"}),
		transitions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "aporeto_zone_transitions_total", Help: "Changes of this replica's state.", ConstLabels: label}, []string{"from", "to"}),
		operations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "aporeto_lease_operation_seconds", Help: "Time of reads and writes of the lease.", ConstLabels: label,
			Buckets: []float64{.002, .005, .01, .02, .05, .1, .2, .5, 1, 2}}, []string{"operation", "result"}),
	}
	m.registry.MustRegister(m.requests, m.transitions, m.operations, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// watch registers the gauges that are read when asked for.
func (m *metrics) watch(k *Keeper, g *Gate, clock func() lease.Time) {
	gauge := func(name, help string, read func() float64) {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: prometheus.Labels{"zone": m.zone}}, read))
	}
	for _, state := range []lease.State{lease.Locked, lease.Candidate, lease.Acquiring, lease.Active, lease.Draining, lease.Fenced} {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "aporeto_zone_state", Help: "1 for the state that this replica is in.",
			ConstLabels: prometheus.Labels{"zone": m.zone, "state": string(state)},
		}, func() float64 {
			if k.View().State == state {
				return 1
			}
			return 0
		}))
	}
	gauge("aporeto_lease_epoch", "Epoch of the lease as last seen.", func() float64 { return float64(k.View().Epoch) })
	gauge("aporeto_lease_remaining_seconds", "Time until this replica's gate closes unless it renews; 0 when closed.", func() float64 {
		v := k.View()
		if !v.Open {
			return 0
		}
		return max(0, (v.Deadline.Mono - clock().Mono).Seconds())
	})
	gauge("aporeto_gate_requests_under_way", "Requests that are within the gate.", func() float64 { return float64(g.Within()) })
}

func (m *metrics) request(code int) { m.requests.WithLabelValues(strconv.Itoa(code)).Inc() }

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// observer writes what the keeper tells to the log and the metrics.
type observer struct {
	log     *slog.Logger
	zone    string
	metrics *metrics
}

func (o *observer) Transition(from, to lease.View) {
	if from.State != to.State {
		o.metrics.transitions.WithLabelValues(string(from.State), string(to.State)).Inc()
	}
	o.log.Info("transition", "zone", o.zone, "from", from.State, "to", to.State, "epoch", to.Epoch, "holder", to.Holder)
}

func (o *observer) Operation(kind string, took time.Duration, err error) {
	result := "ok"
	if err != nil {
		result = "error"
	}
	o.metrics.operations.WithLabelValues(kind, result).Observe(took.Seconds())
}
