package gateway

import (
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/lease"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongo"
)

// metrics are one gateway's, in a registry of its own.
type metrics struct {
	registry    *prometheus.Registry
	zone        string
	requests    *prometheus.CounterVec
	transitions *prometheus.CounterVec
	operations  *prometheus.HistogramVec
	cuts        *prometheus.CounterVec
	decisions   *prometheus.CounterVec
	dualActive  prometheus.Counter
}

func newMetrics(zone string) *metrics {
	label := prometheus.Labels{"zone": zone}
	m := &metrics{
		registry: prometheus.NewRegistry(), zone: zone,
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "aporeto_gate_requests_total", Help: "Requests by the status code of their answer.", ConstLabels: label}, []string{"code"}),
		transitions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "aporeto_zone_transitions_total", Help: "Changes of this replica's state.", ConstLabels: label}, []string{"from", "to", "reason"}),
		cuts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "aporeto_gate_connections_cut_total", Help: "Requests and upgraded connections that were under way when the gate was cut.", ConstLabels: label}, []string{"kind"}),
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "aporeto_gate_decisions_total", Help: "Answers to other ingresses by their status code.", ConstLabels: label}, []string{"code"}),
		dualActive: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "aporeto_dual_active_observed_total", Help: "Times that another zone was seen to hold a later epoch while this gate let requests through. Anything but 0 is a broken promise.", ConstLabels: label}),
		operations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "aporeto_lease_operation_seconds", Help: "Time of reads and writes of the lease.", ConstLabels: label,
			Buckets: []float64{.002, .005, .01, .02, .05, .1, .2, .5, 1, 2}}, []string{"operation", "result"}),
	}
	for _, kind := range []string{kindRequest, kindUpgraded} {
		m.cuts.WithLabelValues(kind) // there from the start, at 0
	}
	m.registry.MustRegister(m.requests, m.transitions, m.operations, m.cuts, m.decisions, m.dualActive)
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// watch registers the gauges that are read when asked for.
func (m *metrics) watch(k *Keeper, g *Gate, clock func() lease.Time, conditions func() []Condition) {
	gauge := func(name, help string, read func() float64) {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: prometheus.Labels{"zone": m.zone}}, read))
	}
	for _, state := range []lease.State{lease.Locked, lease.Candidate, lease.Acquiring, lease.Active, lease.Draining, lease.Fenced, lease.Pinned} {
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
	for n, c := range conditions() {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "aporeto_zone_condition", Help: "1 where the condition is true, 0 where it is false or not known.",
			ConstLabels: prometheus.Labels{"zone": m.zone, "condition": c.Type},
		}, func() float64 {
			if conditions()[n].Status == conditionTrue {
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

// probes shows what the zone's job last wrote: which resolver was led to a zone, or why not. The job itself comes and goes too fast for
// anybody to scrape it.
type probes struct {
	result, confirmed *prometheus.Desc
	sightings         func() []mongo.Sighting
	record            func() (lease.Record, bool)
}

// watchProbes registers the metrics of the job of zone (a zone key).
func (m *metrics) watchProbes(sightings func() []mongo.Sighting, zone string, k *Keeper) {
	label := prometheus.Labels{"zone": m.zone}
	m.registry.MustRegister(&probes{
		result:    prometheus.NewDesc("aporeto_probe_result", "1 for what the zone's job last saw of the global endpoint by each resolver.", []string{"resolver", "result"}, label),
		confirmed: prometheus.NewDesc("aporeto_intent_confirmations_total", "Confirmations of the zone's intent. They stand still when the job, or the global endpoint, does not answer.", nil, label),
		sightings: sightings,
		record: func() (lease.Record, bool) {
			if records := k.records.Load(); records != nil {
				for _, r := range *records {
					if r.Zone == zone {
						return r, true
					}
				}
			}
			return lease.Record{}, false
		},
	})
}

// Describe and Collect are those of prometheus.Collector.
func (p *probes) Describe(to chan<- *prometheus.Desc) { to <- p.result; to <- p.confirmed }

// Collect sends what there is at the moment.
func (p *probes) Collect(to chan<- prometheus.Metric) {
	if p.sightings != nil {
		for _, s := range p.sightings() {
			result := "ok"
			if s.Error != "" {
				result, _, _ = strings.Cut(s.Error, ":") // a kind of pkg/probe
			}
			to <- prometheus.MustNewConstMetric(p.result, prometheus.GaugeValue, 1, s.Resolver, result)
		}
	}
	if r, known := p.record(); known {
		to <- prometheus.MustNewConstMetric(p.confirmed, prometheus.CounterValue, float64(r.Confirmed))
	}
}

// request counts one by its answer's code; 0 says that it was cut, or its client left, before there was an answer.
func (m *metrics) request(code int) {
	label := "none"
	if code != 0 {
		label = strconv.Itoa(code)
	}
	m.requests.WithLabelValues(label).Inc()
}

func (m *metrics) decision(code int) { m.decisions.WithLabelValues(strconv.Itoa(code)).Inc() }

func (m *metrics) cut(kind string) { m.cuts.WithLabelValues(kind).Inc() }

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// observer writes what the keeper tells to the log, the metrics and the journal.
type observer struct {
	log     *slog.Logger
	zone    string
	metrics *metrics
	journal *journal
}

func (o *observer) Transition(from, to lease.View, reason string) {
	if from.State != to.State {
		o.metrics.transitions.WithLabelValues(string(from.State), string(to.State), reason).Inc()
		o.journal.note(from, to, reason)
	}
	o.log.Info("transition", "zone", o.zone, "from", from.State, "to", to.State, "reason", reason, "epoch", to.Epoch, "holder", to.Holder)
}

func (o *observer) DualActive(epoch int64, holder string) {
	o.metrics.dualActive.Inc()
	o.log.Error("two zones were active at once", "zone", o.zone, "epoch", epoch, "holder", holder)
}

func (o *observer) Operation(kind string, took time.Duration, err error) {
	result := "ok"
	if err != nil {
		result = "error"
	}
	o.metrics.operations.WithLabelValues(kind, result).Observe(took.Seconds())
}
