package charts_test

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"sigs.k8s.io/yaml"

	"github.com/aporeto-inc/kubectl-aporeto/charts"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/bootstrap"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/environment"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/pki"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/plan"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/zone"
)

// database is what a render has of an in-cluster MongoDB, by name.
type database struct {
	sets     map[string]appsv1.StatefulSet
	services map[string]corev1.Service
	budgets  map[string]policyv1.PodDisruptionBudget
	policies map[string]networkingv1.NetworkPolicy
}

func parseDatabase(t *testing.T, rendered string) database {
	t.Helper()
	d := database{map[string]appsv1.StatefulSet{}, map[string]corev1.Service{}, map[string]policyv1.PodDisruptionBudget{}, map[string]networkingv1.NetworkPolicy{}}
	for text := range strings.SplitSeq(rendered, "\n---\n") {
		var kind struct {
			Kind     string
			Metadata struct{ Name string }
		}
		unmarshal(t, []byte(text), &kind)
		if !strings.HasPrefix(kind.Metadata.Name, "mongodb-shard-") {
			continue
		}
		var err error
		switch kind.Kind {
		case "StatefulSet":
			var o appsv1.StatefulSet
			err = yaml.UnmarshalStrict([]byte(text), &o)
			d.sets[o.Name] = o
		case "Service":
			var o corev1.Service
			err = yaml.UnmarshalStrict([]byte(text), &o)
			d.services[o.Name] = o
		case "PodDisruptionBudget":
			var o policyv1.PodDisruptionBudget
			err = yaml.UnmarshalStrict([]byte(text), &o)
			d.budgets[o.Name] = o
		case "NetworkPolicy":
			var o networkingv1.NetworkPolicy
			err = yaml.UnmarshalStrict([]byte(text), &o)
			d.policies[o.Name] = o
		}
		if err != nil {
			t.Fatalf("%s %s: %v", kind.Kind, kind.Metadata.Name, err)
		}
	}
	return d
}

// memory is an environment directory and its secrets.
type memory struct{ files, secrets map[string]string }

func (m memory) ReadOptional(name string) ([]byte, error) {
	if text, ok := m.files[name]; ok {
		return []byte(text), nil
	}
	return nil, nil
}

func (m memory) Write(name string, data []byte, _ fs.FileMode) error {
	m.files[name] = string(data)
	return nil
}

func (m memory) Get(key string) (string, bool, error) {
	value, ok := m.secrets[key]
	return value, ok, nil
}

func (m memory) Put(add map[string]string) error { maps.Copy(m.secrets, add); return nil }

func certificates(t *testing.T) *bootstrap.Certificates {
	t.Helper()
	const id = "0b3c6f0e-8f0a-4c55-9c1d-2f4f6f1f7a10"
	m := memory{files: map[string]string{environment.File: string(environment.New(id))}, secrets: map[string]string{}}
	env := &environment.Environment{ID: id, Zones: []zone.Zone{{Name: "default", Namespace: "aporeto"}}}
	c := &bootstrap.Certificates{Files: m, Passphrases: m, Environment: env, Now: time.Now, Rand: rand.Reader, Lives: pki.DefaultLives(), Notify: func(s string) { t.Log(s) }}
	if _, err := c.Ensure(t.Context(), bootstrap.Desired{}); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestDatabaseMeetsMongoDBsRequirements holds the rendered in-cluster MongoDB, and the certificates that a deploy gives it, to what
// docs/mongodb.md says of real servers. No server can be installed where these tests run, so this is the validation that there is.
func TestDatabaseMeetsMongoDBsRequirements(t *testing.T) {
	issued := certificates(t)
	for name, version := range map[string]string{"control-plane-database": "4.0", "control-plane-database-tls": "7.0"} {
		t.Run(version, func(t *testing.T) {
			values := readValues(t, "testdata/"+name+".values.yaml")
			rendered, err := render(t, charts.ControlPlane, values)
			if err != nil {
				t.Fatal(err)
			}
			d := parseDatabase(t, rendered)
			wanted := plan.Wanted{Zone: zone.Zone{Name: "default", Namespace: "aporeto"}, ControlPlane: values}
			servers := wanted.ShardDatabase()
			if len(servers) != 4 || len(d.sets) != 4 || len(d.services) != 4 || len(d.policies) != 4 {
				t.Fatalf("%d parts planned; rendered are %d StatefulSets, %d Services, %d policies", len(servers), len(d.sets), len(d.services), len(d.policies))
			}
			for _, s := range servers {
				set, ok := d.sets[s.Service]
				if !ok {
					t.Fatalf("no StatefulSet %s", s.Service)
				}
				if int(*set.Spec.Replicas) != s.Replicas {
					t.Errorf("%s: %d replicas, planned %d", s.Service, *set.Spec.Replicas, s.Replicas)
				}
				checkServer(t, version, s, set, servers[0])
				checkNetwork(t, d, s, set)
				checkVolumes(t, s, set, values["mongodb-shard"].(map[string]any)["keepVolumes"] != false)
			}
			checkCertificates(t, issued, servers)
			if hosts := servers[3].ClientHosts(); fmt.Sprint(values["global"]) == "" || !strings.Contains(rendered, "mongodb://"+hosts+"/") {
				t.Errorf("services do not get %s", hosts)
			}
		})
	}
}

// The flags of a mongod and mongos as each knows them, less those of TLS. What a server does not know ends it at its start.
var mongodFlags = []string{"configsvr", "shardsvr", "replSet", "dbpath", "auth", "wiredTigerCacheSizeGB", "port", "bind_ip_all", "nounixsocket", "clusterAuthMode", "setParameter"}
var mongosFlags = []string{"configdb", "port", "bind_ip_all", "nounixsocket", "clusterAuthMode", "setParameter"}
var tlsFlags = map[string][]string{
	"4.0": {"sslMode", "sslPEMKeyFile", "sslCAFile"}, // tls… from 4.2 on
	"7.0": {"tlsMode", "tlsCertificateKeyFile", "tlsCAFile"},
}

func checkServer(t *testing.T, version string, s plan.ShardServers, set appsv1.StatefulSet, config plan.ShardServers) {
	t.Helper()
	container := set.Spec.Template.Spec.Containers[0]
	flags := map[string]string{}
	for _, arg := range container.Args {
		key, value, _ := strings.Cut(strings.TrimPrefix(arg, "--"), "=")
		if _, twice := flags[key]; twice || !strings.HasPrefix(arg, "--") {
			t.Errorf("%s: argument %q", s.Service, arg)
		}
		flags[key] = value
	}
	program, known := "mongod", mongodFlags
	want := map[string]string{"port": "27017", "bind_ip_all": "", "clusterAuthMode": "x509", "setParameter": "enableLocalhostAuthBypass=false"}
	if s.Set == "" {
		program, known = "mongos", mongosFlags
		want["configdb"] = "config/" + strings.Join(config.Addresses(), ",")
	} else {
		want["replSet"], want["auth"], want["dbpath"] = s.Set, "", "/data/db"
		want[map[bool]string{true: "configsvr", false: "shardsvr"}[s.Component == "config"]] = ""
	}
	secure := tlsFlags[version]
	want[secure[0]] = map[string]string{"4.0": "requireSSL", "7.0": "requireTLS"}[version]
	want[secure[1]], want[secure[2]] = "/etc/aporeto/member/full.pem", "/etc/aporeto/member/ca.crt"
	for key, value := range want {
		if got, ok := flags[key]; !ok || got != value {
			t.Errorf("%s: --%s=%s, want %s", s.Service, key, got, value)
		}
	}
	for key := range flags {
		if !slices.Contains(slices.Concat(known, secure), key) {
			t.Errorf("%s: %s %s does not know --%s, or it must not be there", s.Service, program, version, key)
		}
	}
	if !slices.Equal(container.Command, []string{program}) {
		t.Errorf("%s runs %q", s.Service, container.Command)
	}
	if container.Ports[0].ContainerPort != plan.MongoDBPort {
		t.Errorf("%s listens on %d", s.Service, container.Ports[0].ContainerPort)
	}
	pod := set.Spec.Template.Spec
	mounted := slices.ContainsFunc(pod.Volumes, func(v corev1.Volume) bool {
		return v.Name == "member" && v.Secret != nil && v.Secret.SecretName == s.Secret && *v.Secret.DefaultMode == 0o440
	})
	at := slices.ContainsFunc(container.VolumeMounts, func(m corev1.VolumeMount) bool {
		return m.Name == "member" && m.MountPath == "/etc/aporeto/member" && m.ReadOnly
	})
	if !mounted || !at || pod.SecurityContext.FSGroup == nil {
		t.Errorf("%s: the Secret %s is not where the flags say, or not readable", s.Service, s.Secret)
	}
	for _, probe := range []*corev1.Probe{container.StartupProbe, container.ReadinessProbe, container.LivenessProbe} {
		if probe == nil || probe.TCPSocket == nil {
			t.Errorf("%s: a probe is missing, or would have to log in", s.Service)
		}
	}
}

func checkNetwork(t *testing.T, d database, s plan.ShardServers, set appsv1.StatefulSet) {
	t.Helper()
	service := d.services[s.Service]
	if service.Spec.ClusterIP != corev1.ClusterIPNone || !service.Spec.PublishNotReadyAddresses || set.Spec.ServiceName != service.Name || service.Spec.Ports[0].Port != plan.MongoDBPort {
		t.Errorf("%s: pods have no names before they are ready: %+v", s.Service, service.Spec)
	}
	labels := set.Spec.Template.Labels
	for key, value := range service.Spec.Selector {
		if labels[key] != value {
			t.Errorf("%s: the Service selects %s=%s", s.Service, key, value)
		}
	}
	from := d.policies[s.Service].Spec.Ingress[0].From[0].PodSelector.MatchLabels
	gateway := map[string]string{"app.kubernetes.io/part-of": "aporeto", "app.kubernetes.io/instance": "auto-maintenance", "app.kubernetes.io/component": "maintenance"}
	for who, reaches := range map[string]bool{"members": true, "clients": s.Set == ""} {
		pod := map[string]map[string]string{"members": labels, "clients": gateway}[who]
		matches := true
		for key, value := range from {
			matches = matches && pod[key] == value
		}
		if matches != reaches {
			t.Errorf("%s reach %s: %t", who, s.Service, matches)
		}
	}
	if budget, ok := d.budgets[s.Service]; ok != (s.Replicas > 1) || ok && budget.Spec.MaxUnavailable.IntValue() != 1 {
		t.Errorf("%s: PodDisruptionBudget %t", s.Service, ok)
	}
	if set.Spec.PodManagementPolicy != appsv1.ParallelPodManagement {
		t.Errorf("%s: a member would wait for one that waits for it", s.Service)
	}
}

func checkVolumes(t *testing.T, s plan.ShardServers, set appsv1.StatefulSet, keep bool) {
	t.Helper()
	claims := set.Spec.VolumeClaimTemplates
	if s.Set == "" {
		if len(claims) > 0 {
			t.Errorf("%s has volumes", s.Service)
		}
		return
	}
	if len(claims) != 1 || claims[0].Name != "data" || claims[0].Spec.Resources.Requests.Storage().IsZero() ||
		!slices.ContainsFunc(set.Spec.Template.Spec.Containers[0].VolumeMounts, func(m corev1.VolumeMount) bool { return m.Name == "data" && m.MountPath == "/data/db" }) {
		t.Errorf("%s: no volume for its data: %+v", s.Service, claims)
	}
	when := map[bool]appsv1.PersistentVolumeClaimRetentionPolicyType{true: appsv1.RetainPersistentVolumeClaimRetentionPolicyType, false: appsv1.DeletePersistentVolumeClaimRetentionPolicyType}[keep]
	if policy := set.Spec.PersistentVolumeClaimRetentionPolicy; policy == nil || policy.WhenDeleted != when || policy.WhenScaled != appsv1.RetainPersistentVolumeClaimRetentionPolicyType {
		t.Errorf("%s: volumes, to be kept %t: %+v", s.Service, keep, policy)
	}
}

// checkCertificates shakes hands as the servers and their clients do: every server as a client of every other one, by every name.
func checkCertificates(t *testing.T, issued *bootstrap.Certificates, servers []plan.ShardServers) {
	t.Helper()
	type side struct {
		pair  tls.Certificate
		trust *x509.CertPool
	}
	sides := map[string]side{}
	for _, s := range servers {
		data, _, err := issued.MemberSecret(s.Service, s.Names(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if again, why, err := issued.MemberSecret(s.Service, s.Names(), data); err != nil || why != "" || string(again["full.pem"]) != string(data["full.pem"]) {
			t.Errorf("%s: issued again (%s, %v)", s.Service, why, err)
		}
		pair, err := tls.X509KeyPair(data["full.pem"], data["full.pem"])
		if err != nil {
			t.Fatal(err)
		}
		leaf := pair.Leaf
		if !slices.Equal(leaf.Subject.Organization, []string{"mongodb"}) || !slices.Equal(leaf.Subject.OrganizationalUnit, []string{"servers"}) {
			t.Errorf("%s is no member: %s", s.Service, leaf.Subject)
		}
		if !slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageServerAuth) || !slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageClientAuth) {
			t.Errorf("%s: uses %v", s.Service, leaf.ExtKeyUsage)
		}
		if len(pair.Certificate) < 2 {
			t.Errorf("%s does not send its intermediate", s.Service)
		}
		cas, err := pki.ParseCertificates(data["ca.crt"])
		if err != nil || !slices.ContainsFunc(cas, func(c *x509.Certificate) bool { return c.CheckSignatureFrom(c) == nil }) {
			t.Errorf("%s: no root in its CA file, which rejects every client (%v)", s.Service, err)
		}
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(data["ca.crt"])
		sides[s.Service] = side{pair, pool}
	}
	client, _, err := issued.ServiceSecret("ledger", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(client["full.pem"], client["full.pem"])
	if err != nil {
		t.Fatal(err)
	}
	if slices.Equal(pair.Leaf.Subject.Organization, []string{"mongodb"}) && slices.Equal(pair.Leaf.Subject.OrganizationalUnit, []string{"servers"}) {
		t.Error("a service would be taken for a member")
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(client["ca.crt"])
	sides["ledger"] = side{pair, pool}
	for _, s := range servers {
		for who, c := range sides {
			for _, address := range append(s.Addresses(), strings.Split(s.ClientHosts(), ",")...) {
				host, _, err := net.SplitHostPort(address)
				if err != nil {
					t.Fatal(err)
				}
				if err := handshake(sides[s.Service].pair, sides[s.Service].trust, c.pair, c.trust, host); err != nil {
					t.Errorf("%s to %s: %v", who, host, err)
				}
			}
		}
	}
}

func handshake(server tls.Certificate, clients *x509.CertPool, client tls.Certificate, servers *x509.CertPool, host string) error {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	done := make(chan error, 1)
	go func() {
		done <- tls.Server(a, &tls.Config{Certificates: []tls.Certificate{server}, ClientCAs: clients, ClientAuth: tls.RequireAndVerifyClientCert, MaxVersion: tls.VersionTLS12}).Handshake()
	}()
	err := tls.Client(b, &tls.Config{Certificates: []tls.Certificate{client}, RootCAs: servers, ServerName: host, MaxVersion: tls.VersionTLS12}).Handshake()
	if err != nil {
		return err
	}
	return <-done
}

// TestDatabaseDefaults: what the plugin takes for a default is the chart's.
func TestDatabaseDefaults(t *testing.T) {
	values := map[string]any{}
	unmarshal(t, []byte("global: {environment: e, zone: z, database: {mongo: {host: m}}}\nmongodb-shard: {enabled: true, image: {repository: m}}"), &values)
	rendered, err := render(t, charts.ControlPlane, values)
	if err != nil {
		t.Fatal(err)
	}
	d := parseDatabase(t, rendered)
	for _, s := range (plan.Wanted{Zone: zone.Zone{Name: "z", Namespace: "aporeto"}, ControlPlane: values}).ShardDatabase() {
		if set := d.sets[s.Service]; set.Spec.Replicas == nil || int(*set.Spec.Replicas) != s.Replicas {
			t.Errorf("%s: planned are %d replicas", s.Service, s.Replicas)
		}
	}
}
