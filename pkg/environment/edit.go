package environment

import (
	"fmt"
	"strings"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/hint"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/yamledit"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/zone"
)

// New returns the aporeto.yaml of a new environment with the given id, a UUID in lower case.
func New(id string) []byte {
	return []byte(strings.ReplaceAll(template, "{id}", id))
}

const template = `# An environment of kubectl aporeto: one control plane in one or more zones, one of them active.
# Keep this directory in git; private keys in it are encrypted.
apiVersion: aporeto.io/v1alpha1
kind: Environment

# The identity of this environment. The lease in the database, the labels in the clusters and the gateways' answers carry it:
# never change it, and give a copy of this directory that is to be another environment a new one.
id: {id}

# The zones: kubectl aporeto zone add NAME --context CONTEXT --namespace NAMESPACE
#   name           compared without regard to case; its values are in conf.d/<NAME>/values.yaml
#   k8s_context    context of the kubeconfig
#   k8s_namespace  namespace of the control plane, made by deploy when missing
#   kubeconfig     (optional) a kubeconfig of the zone's own
#   cluster_uid    (recorded by the plugin) UID of the cluster's kube-system namespace, so that a context of the same name
#                  on another workstation cannot mean another cluster
zones: []
`

// NewValues returns the values file of a new environment (name "") or of a new zone.
func NewValues(name string) []byte {
	if name == "" {
		return []byte(valuesTemplate)
	}
	return []byte(fmt.Sprintf(zoneValuesTemplate, name))
}

const valuesTemplate = `# Values of every zone, over the charts' defaults; conf.d/<ZONE>/values.yaml is stronger.
# kubectl aporeto value set KEY VALUE [SCOPE] writes here, kubectl aporeto value list shows what holds and why.
`

const zoneValuesTemplate = `# Values of zone %[1]s only, over conf.d/values.yaml.
# kubectl aporeto value set KEY VALUE [SCOPE] --zone %[1]s writes here.
`

// AddZone returns aporeto.yaml with z as its last zone. It refuses what Parse would refuse in the result, and a z that clashes with a
// zone that is there.
func AddZone(data []byte, z zone.Zone) ([]byte, error) {
	env, err := Parse(data)
	if err != nil {
		return nil, err
	}
	if err := zone.ValidateName(z.Name); err != nil {
		return nil, err
	}
	if err := ValidateNamespace(z.Namespace); err != nil {
		return nil, err
	}
	for _, other := range env.Zones {
		if err := clash(other, z); err != nil {
			return nil, hint.Wrap(err, "kubectl aporeto zone list shows the zones; a zone is one namespace of one cluster, and its name is used once")
		}
	}
	at := len(env.Zones)
	return setAll(data, []setting{
		{[]any{"zones", at, "name"}, z.Name},
		{[]any{"zones", at, "k8s_context"}, z.Context},
		{[]any{"zones", at, "k8s_namespace"}, z.Namespace},
		{[]any{"zones", at, "kubeconfig"}, optional(z.Kubeconfig)},
		{[]any{"zones", at, "cluster_uid"}, optional(z.ClusterUID)},
	})
}

// SetClusterUID returns aporeto.yaml with the UID of the cluster that the named zone was found to be. A zone that has another UID
// already, and two zones that turn out to be one place, are errors.
func SetClusterUID(data []byte, name, uid string) ([]byte, error) {
	env, err := Parse(data)
	if err != nil {
		return nil, err
	}
	for i, z := range env.Zones {
		if !zone.Same(z.Name, name) {
			continue
		}
		if z.ClusterUID != "" && z.ClusterUID != uid {
			return nil, hint.Wrap(fmt.Errorf("zone %s is the cluster with UID %s, and context %q now reaches the one with UID %s", z.Name, z.ClusterUID, z.Context, uid),
				"choose the right kubeconfig with --kubeconfig; if the cluster was rebuilt on purpose, remove the zone's cluster_uid from %s", File)
		}
		return setAll(data, []setting{{[]any{"zones", i, "cluster_uid"}, uid}})
	}
	return nil, fmt.Errorf("no zone named %q", name)
}

type setting struct {
	path  []any
	value any
}

// optional returns nil, which setAll leaves out, for an empty text.
func optional(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func setAll(data []byte, settings []setting) ([]byte, error) {
	for _, s := range settings {
		if s.value == nil {
			continue
		}
		var err error
		if data, err = yamledit.Set(data, s.path, s.value); err != nil {
			return nil, fmt.Errorf("%s: %w", File, err)
		}
	}
	if _, err := Parse(data); err != nil {
		return nil, err
	}
	return data, nil
}
