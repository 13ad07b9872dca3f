package hold

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Probes are the user's own probes of the command, in the words of Kubernetes' Probe (v1): they apply only while it runs. Host of those
// that name none is the pod's address.
type Probes struct {
	Startup   *Probe `json:"startup,omitempty"`
	Readiness *Probe `json:"readiness,omitempty"`
	Liveness  *Probe `json:"liveness,omitempty"`
	Host      string `json:"-"`
}

// Probe is one of them. How often it is asked, and how long an answer may take, is the kubelet's business, who asks the endpoint.
type Probe struct {
	HTTPGet *struct {
		Host    string `json:"host"`
		Path    string `json:"path"`
		Port    uint16 `json:"port"`
		Scheme  string `json:"scheme"`
		Headers []struct {
			Name  string `json:"name"`
			Value string `json:"value"`
		} `json:"httpHeaders"`
	} `json:"httpGet"`
	TCPSocket *struct {
		Host string `json:"host"`
		Port uint16 `json:"port"`
	} `json:"tcpSocket"`
	Exec *struct {
		Command []string `json:"command"`
	} `json:"exec"`
	InitialDelaySeconds int `json:"initialDelaySeconds"`
	PeriodSeconds       int `json:"periodSeconds"`
	FailureThreshold    int `json:"failureThreshold"`
}

// ParseProbes reads {"startup": PROBE, "readiness": PROBE, "liveness": PROBE}, each of them optional, with ports as numbers.
func ParseProbes(data []byte) (Probes, error) {
	var p Probes
	decoder := json.NewDecoder(bytes.NewReader(data))
	if err := decoder.Decode(&p); err != nil {
		return Probes{}, fmt.Errorf("parse probes: %w", err)
	}
	var problems []error
	for _, named := range []struct {
		name  string
		probe *Probe
	}{{"startup", p.Startup}, {"readiness", p.Readiness}, {"liveness", p.Liveness}} {
		if named.probe != nil && !named.probe.usable() {
			problems = append(problems, fmt.Errorf("%s probe: one of httpGet, tcpSocket and exec is needed", named.name))
		}
	}
	return p, errors.Join(problems...)
}

// usable tells whether p says what to ask, and only one such thing.
func (p *Probe) usable() bool {
	handlers := 0
	if p.HTTPGet != nil && p.HTTPGet.Port > 0 {
		handlers++
	}
	if p.TCPSocket != nil && p.TCPSocket.Port > 0 {
		handlers++
	}
	if p.Exec != nil && len(p.Exec.Command) > 0 {
		handlers++
	}
	return handlers == 1
}

// delay is how long after the command's start p is not asked.
func (p *Probe) delay() time.Duration {
	if p == nil {
		return 0
	}
	return time.Duration(p.InitialDelaySeconds) * time.Second
}

// allowance is how long a startup probe may fail: Kubernetes' defaults are three times, every ten seconds.
func (p *Probe) allowance() time.Duration {
	return p.delay() + time.Duration(cmp.Or(p.FailureThreshold, 3)*cmp.Or(p.PeriodSeconds, 10))*time.Second
}
