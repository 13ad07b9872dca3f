package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// Addresses of what is compared.
const (
	nginxAddress = "127.77.0.3:8443"
	caddyAddress = "127.77.0.4:8443"
	caddyAdmin   = "127.77.0.4:2019"
	proxyEnv     = 200 // index of the gateway's environment
)

// proxySpec is how long and how often is measured.
type proxySpec struct {
	Rounds int           `json:"rounds"`
	Time   time.Duration `json:"-"` // of one measurement
}

// shape is one kind of load.
type shape struct {
	Name        string `json:"name"`
	Path        string `json:"-"`
	Connections int    `json:"connections"`
}

// shapes are the loads: what saturates the machine, and one request at a time for the latency that a proxy adds.
func shapes() []shape {
	return []shape{
		{Name: "512 B", Path: smallPath, Connections: 32},
		{Name: "1 MiB", Path: largePath, Connections: 8},
		{Name: "one at a time, 512 B", Path: smallPath, Connections: 1},
	}
}

// target is a reverse proxy, or the upstream itself.
type target struct {
	name string
	url  string
	proc *process
}

// measurement is what one run of the load generator saw.
type measurement struct {
	Rate   float64 `json:"rate"`   // requests a second
	Median float64 `json:"median"` // µs
	P99    float64 `json:"p99"`    // µs
	CPU    float64 `json:"cpu"`    // µs of the proxy's CPU a request
	RSS    float64 `json:"rss"`    // bytes, at the end
	Errors int64   `json:"errors"`
}

// proxyResult holds, by shape and target, the medians over the rounds.
type proxyResult struct {
	Spec     proxySpec                         `json:"spec"`
	Seconds  float64                           `json:"seconds"` // of one measurement
	Workers  int                               `json:"workers"` // of nginx, and GOMAXPROCS of the others
	Cipher   map[string]string                 `json:"cipher"`
	Versions map[string]string                 `json:"versions"`
	Medians  map[string]map[string]measurement `json:"medians"`
	Rounds   map[string]map[string][]float64   `json:"rates"` // of every round, requests a second
}

// measureProxies compares the gateway with nginx and Caddy in one run, in rounds that take turns.
func (l *lab) measureProxies(ctx context.Context, spec proxySpec) (*proxyResult, error) {
	targets, end, err := l.startProxies(ctx, runtime.NumCPU())
	if err != nil {
		return nil, err
	}
	defer end()
	r := &proxyResult{Spec: spec, Seconds: spec.Time.Seconds(), Workers: runtime.NumCPU(), Cipher: map[string]string{}, Versions: map[string]string{},
		Medians: map[string]map[string]measurement{}, Rounds: map[string]map[string][]float64{}}
	for _, t := range targets[1:] {
		if r.Cipher[t.name], err = l.cipher(ctx, t); err != nil {
			return nil, err
		}
	}
	r.Versions["nginx"] = strings.TrimPrefix(version(ctx, "nginx", "-v"), "version: nginx/")
	if r.Versions["caddy"], err = l.caddyVersion(); err != nil {
		return nil, err
	}
	r.Versions["wrk"], _, _ = strings.Cut(version(ctx, "wrk", "-v"), " Copyright")
	all := map[string]map[string][]measurement{}
	for _, s := range shapes() {
		all[s.Name], r.Medians[s.Name], r.Rounds[s.Name] = map[string][]measurement{}, map[string]measurement{}, map[string][]float64{}
	}
	for round := range spec.Rounds {
		for _, s := range shapes() {
			for n := range targets {
				t := targets[(n+round)%len(targets)] // nobody is always the first
				m, err := l.wrk(ctx, t, s, spec.Time)
				if err != nil {
					return nil, err
				}
				l.say("round %d/%d  %-20s %-8s %8.0f req/s, median %6.0f µs, p99 %6.0f µs, %4.0f µs CPU a request", round+1, spec.Rounds, s.Name, t.name, m.Rate, m.Median, m.P99, m.CPU)
				all[s.Name][t.name] = append(all[s.Name][t.name], m)
			}
		}
	}
	for shape, by := range all {
		for name, ms := range by {
			r.Medians[shape][name] = mediansOf(ms)
			for _, m := range ms {
				r.Rounds[shape][name] = append(r.Rounds[shape][name], m.Rate)
			}
		}
	}
	return r, nil
}

// mediansOf takes the median of every field by itself, and the sum of the errors.
func mediansOf(ms []measurement) measurement {
	of := func(field func(measurement) float64) float64 {
		var values []float64
		for _, m := range ms {
			values = append(values, field(m))
		}
		return median(values)
	}
	sum := measurement{
		Rate: of(func(m measurement) float64 { return m.Rate }), Median: of(func(m measurement) float64 { return m.Median }),
		P99: of(func(m measurement) float64 { return m.P99 }), CPU: of(func(m measurement) float64 { return m.CPU }), RSS: of(func(m measurement) float64 { return m.RSS }),
	}
	for _, m := range ms {
		sum.Errors += m.Errors
	}
	return sum
}

// startProxies starts the upstream, the gateway (a single zone, open), nginx and Caddy. The first target is the upstream itself.
func (l *lab) startProxies(ctx context.Context, workers int) ([]target, func(), error) {
	if err := l.build(ctx, "hack/tools/caddy/go.mod", "github.com/caddyserver/caddy/v2/cmd/caddy"); err != nil {
		return nil, nil, err
	}
	if err := errors.Join(free(nginxAddress), free(caddyAddress)); err != nil {
		return nil, nil, err
	}
	db, err := l.startDatabase(ctx, false)
	if err != nil {
		return nil, nil, err
	}
	upstream, err := l.startUpstream(ctx)
	if err != nil {
		return nil, nil, err
	}
	e, err := l.newEnvironment(ctx, db, proxyEnv, false, "--standing-intent")
	if err != nil {
		return nil, nil, err
	}
	// A single zone with one replica: what is compared is one process with one process.
	gateway := e.zones[0].replicas[0]
	e.zones[0].replicas[1] = gateway
	if err := e.startGateways(ctx, 0); err != nil {
		return nil, nil, err
	}
	nginx, err := l.startNginx("nginx", workers, l.nginxProxy())
	if err != nil {
		return nil, nil, err
	}
	if err := l.write("Caddyfile", []byte(l.caddyfile())); err != nil {
		return nil, nil, err
	}
	caddy, err := l.start("caddy", l.path("caddy"), "run", "--config", l.path("Caddyfile"), "--adapter", "caddyfile")
	if err != nil {
		return nil, nil, err
	}
	for address, p := range map[string]*process{nginxAddress: nginx, caddyAddress: caddy} {
		if err := awaitListener(ctx, address, p); err != nil {
			return nil, nil, err
		}
	}
	l.say("wait for the gateway's first lease")
	if err := await(ctx, time.Minute, func() bool { code, _ := gateway.client.get(ctx); return code == 200 }); err != nil {
		return nil, nil, fmt.Errorf("the gateway does not open: %w\n%s", err, gateway.tail())
	}
	gateway.client.close()
	end := func() {
		for _, p := range []*process{caddy, nginx, gateway.process, upstream} {
			p.stop()
		}
		db.end(ctx)
	}
	return []target{
		{name: "upstream", url: "http://" + upstreamAddress, proc: upstream},
		{name: "gateway", url: "https://" + gateway.client.address, proc: gateway.process},
		{name: "nginx", url: "https://" + nginxAddress, proc: nginx},
		{name: "caddy", url: "https://" + caddyAddress, proc: caddy},
	}, end, nil
}

// nginxProxy is nginx as its manual tunes a reverse proxy: connections to the upstream are kept, and no body goes to disk.
func (l *lab) nginxProxy() string {
	return fmt.Sprintf(`
    upstream service {
        server %s;
        keepalive 256;
        keepalive_requests 100000000;
    }
    server {
        listen %s ssl reuseport;
        server_name %s;
        ssl_certificate %[4]s;
        ssl_certificate_key %[4]s;
        ssl_protocols TLSv1.2 TLSv1.3;
        location / {
            proxy_pass http://service;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $host;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Forwarded-Host $host;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_max_temp_file_size 0;
        }
    }`, upstreamAddress, nginxAddress, hostName, l.path("public.pem"))
}

// caddyfile is Caddy as its manual has it: the certificate given, HTTP/3 and automatic certificates off.
func (l *lab) caddyfile() string {
	return fmt.Sprintf(`{
    admin %s
    auto_https off
    persist_config off
    servers {
        protocols h1 h2
    }
}
https://:8443 {
    bind %s
    tls %[3]s %[3]s
    reverse_proxy %[4]s {
        transport http {
            keepalive_idle_conns_per_host 256
        }
    }
}
`, caddyAdmin, strings.TrimSuffix(caddyAddress, ":8443"), l.path("public.pem"), upstreamAddress)
}

// wrkReport makes wrk print what it saw as JSON, in µs.
const wrkReport = `
wrk.headers["Host"] = "` + hostName + `"
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format('\nJSON {"requests":%d,"duration":%d,"median":%d,"p99":%d,"errors":%d}\n', summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99), e.connect + e.read + e.write + e.status + e.timeout))
end
`

// opensslConf pins the client's side: TLS 1.3 with one cipher, whatever a server would choose by itself.
const opensslConf = `openssl_conf = all
[all]
ssl_conf = ssl
[ssl]
system_default = tls
[tls]
MinProtocol = TLSv1.3
Ciphersuites = TLS_AES_128_GCM_SHA256
Groups = X25519
`

// wrk loads a target for a time.
func (l *lab) wrk(ctx context.Context, t target, s shape, d time.Duration) (measurement, error) {
	if err := l.write("report.lua", []byte(wrkReport)); err != nil {
		return measurement{}, err
	}
	before := t.proc.cpu()
	cmd := exec.CommandContext(ctx, "wrk", "-t1", "-c"+strconv.Itoa(s.Connections), fmt.Sprintf("-d%d", max(1, int(d.Seconds()))), "--timeout", "10s", //nolint:gosec // the bench's own program
		"-s", l.path("report.lua"), t.url+s.Path)
	cmd.Env = append(os.Environ(), "OPENSSL_CONF="+l.path("openssl.cnf"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		return measurement{}, fmt.Errorf("wrk %s: %w\n%s", t.name, err, out)
	}
	_, line, found := strings.Cut(string(out), "\nJSON ")
	var saw struct {
		Requests, Duration, Median, P99 float64
		Errors                          int64
	}
	if !found || json.Unmarshal([]byte(line), &saw) != nil || saw.Requests == 0 {
		return measurement{}, fmt.Errorf("wrk %s told nothing:\n%s", t.name, out)
	}
	rss, _ := t.proc.rss()
	return measurement{
		Rate: saw.Requests / saw.Duration * 1e6, Median: saw.Median, P99: saw.P99, Errors: saw.Errors, RSS: float64(rss),
		CPU: float64((t.proc.cpu() - before).Microseconds()) / saw.Requests,
	}, nil
}

// cipher returns what the load generator's OpenSSL and a target agree on, so that the table can say that all are alike.
func (l *lab) cipher(ctx context.Context, t target) (string, error) {
	if err := l.write("openssl.cnf", []byte(opensslConf)); err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, "openssl", "s_client", "-connect", strings.TrimPrefix(t.url, "https://"), "-servername", hostName, "-CAfile", l.path("mongo-ca.pem"), "-brief") //nolint:gosec // the bench's own program
	cmd.Env = append(os.Environ(), "OPENSSL_CONF="+l.path("openssl.cnf"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("openssl s_client %s: %w\n%s", t.name, err, out)
	}
	var parts []string
	for line := range strings.Lines(string(out)) {
		for _, key := range []string{"Protocol version: ", "Ciphersuite: ", "Server Temp Key: ", "Signature type: "} {
			if value, found := strings.CutPrefix(line, key); found {
				parts = append(parts, strings.TrimSpace(value))
			}
		}
	}
	return strings.Join(parts, ", "), nil
}

// version returns the first line that a program prints about itself.
func version(ctx context.Context, program string, args ...string) string {
	out, _ := exec.CommandContext(ctx, program, args...).CombinedOutput() //nolint:gosec // the programs compared; wrk ends with 1
	first, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	return strings.TrimPrefix(first, filepath.Base(program)+" ")
}

// caddyVersion is what the tool's go.mod pins.
func (l *lab) caddyVersion() (string, error) {
	data, err := os.ReadFile(filepath.Join(l.repo, "hack/tools/caddy/go.mod"))
	if err != nil {
		return "", err
	}
	_, rest, _ := strings.Cut(string(data), "github.com/caddyserver/caddy/v2 ")
	pinned, _, _ := strings.Cut(rest, " ")
	return strings.TrimSpace(pinned), nil
}
