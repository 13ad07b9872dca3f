// Package zone holds the unit everything else counts in: one place where the control plane runs, which is one namespace of one
// Kubernetes cluster, and the bounded fan-out over several of them.
//
// Invariant: one zone's failure never cancels another's work. The package knows no file, cluster or database.
package zone

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/hint"
)

// Zone is one entry of the environment's zones list.
type Zone struct {
	Name       string // as the user wrote it; compared without regard to case
	Context    string // kubeconfig context
	Namespace  string
	Kubeconfig string // path of a kubeconfig of its own; "" means kubectl's rules (--kubeconfig, KUBECONFIG, ~/.kube/config)
	ClusterUID string // UID of the cluster's kube-system namespace; "" until the cluster was reached once
}

// maxName leaves room for the longest certificate name made of a zone's, "maintenance-<zone>", within X.520's 64 characters.
const maxName = 50

var nameForm = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?$`)

// ValidateName returns nil when name can name a zone: letters, digits and inner dashes, at most 50 of them. It becomes a folder,
// a label value, a part of certificate subjects and a field of MongoDB documents.
func ValidateName(name string) error {
	if len(name) > maxName {
		return hint.New(fmt.Sprintf("zone name %q is %d characters long, at most %d are possible", name, len(name), maxName), "choose a short name such as eu-west")
	}
	if !nameForm.MatchString(name) {
		return hint.New(fmt.Sprintf("zone name %q is malformed", name), "use letters, digits and inner dashes, for example eu-west")
	}
	return nil
}

// Key returns the form in which names compare and in which certificates and database documents carry them: lower case.
func Key(name string) string { return strings.ToLower(name) }

// Dir returns the name of the zone's folder below conf.d: upper case, as the platform's earlier installer wrote it.
func Dir(name string) string { return strings.ToUpper(name) }

// Same tells whether two names mean the same zone.
func Same(a, b string) bool { return Key(a) == Key(b) }

// Find returns the zone of that name.
func Find(zones []Zone, name string) (Zone, bool) {
	for _, z := range zones {
		if Same(z.Name, name) {
			return z, true
		}
	}
	return Zone{}, false
}

// Names returns the zones' names in order.
func Names(zones []Zone) []string {
	names := make([]string, len(zones))
	for i, z := range zones {
		names[i] = z.Name
	}
	return names
}
