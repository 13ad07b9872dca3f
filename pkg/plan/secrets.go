package plan

// SecretKind says what a Secret holds.
type SecretKind int

// The kinds of Secrets that the plugin makes.
const (
	ServiceSecret     SecretKind = iota // a service's client certificate
	GatewaySecret                       // the gateway's client certificate, and the System CA that verifies https services
	MaintenanceSecret                   // the auto-maintenance job's client certificate
	PublicSecret                        // the certificate that the gateway shows to clients
	MemberSecret                        // the certificate of a part of an in-cluster MongoDB
)

// Secret is one Secret that a zone needs and the plugin makes.
type Secret struct {
	Name    string
	Kind    SecretKind
	Service string   // the service, of a ServiceSecret; the servers' Service, of a MemberSecret
	Names   []string // what the certificate is good for as a server's: hosts of a PublicSecret, in-cluster names of the others
}

// Secrets returns the Secrets that the plugin makes for a zone, with or without its auto-maintenance job: those the charts mount, less
// those for which the values name one of the user's own.
func Secrets(w Wanted, job bool) []Secret {
	var secrets []Secret
	add := func(own string, s Secret) {
		if own == "" {
			secrets = append(secrets, s)
		}
	}
	gateway := child(w.ControlPlane, "gateway")
	add(str(child(gateway, "tls"), "existingSecret"), Secret{Name: "aporeto-gateway-tls", Kind: PublicSecret, Names: PublicHosts(w)})
	add(str(child(gateway, "mongo"), "existingSecret"), Secret{Name: "aporeto-gateway-mongodb", Kind: GatewaySecret})
	for _, s := range Services(w.ControlPlane) {
		if !s.Mongo {
			continue
		}
		secret := Secret{Name: "aporeto-mongodb-" + s.Name, Kind: ServiceSecret, Service: s.Name}
		if s.HTTPS {
			inNamespace := s.Name + "." + w.Zone.Namespace
			secret.Names = []string{s.Name, inNamespace, inNamespace + ".svc"}
		}
		add(s.Secret, secret)
	}
	for _, s := range w.ShardDatabase() {
		add("", Secret{Name: s.Secret, Kind: MemberSecret, Service: s.Service, Names: s.Names()})
	}
	if job {
		add(str(child(w.AutoMaintenance, "mongo"), "existingSecret"), Secret{Name: "aporeto-maintenance-mongodb", Kind: MaintenanceSecret})
	}
	return secrets
}
