package values

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/hint"
)

// ControlPlane is the scope of the control-plane chart, whose values are the root of the tree.
const ControlPlane = "control-plane"

// Resolve returns the path of key within scope: a chart's name, a part of the control-plane chart, global, or a service's name of the
// tree. An empty scope is the root, and so is control-plane. With scope global a key that begins with global. already is taken as it is.
func (t *Tree) Resolve(key, scope string) (Path, error) {
	path, err := ParsePath(key)
	if err != nil {
		return nil, err
	}
	scopes, services := []string{AutoMaintenance, ControlPlane, "gateway", Global, "mongodb-shard"}, t.Services()
	switch {
	case scope == "" || scope == ControlPlane:
		return path, nil
	case scope == Global && path[0] == Global && len(path) > 1:
		return path, nil
	case slices.Contains(scopes, scope):
		return Path{scope}.with(path...), nil
	case slices.Contains(services, scope):
		return Path{"services", scope}.with(path...), nil
	}
	known := slices.Concat(scopes, services)
	return nil, hint.Wrap(fmt.Errorf("unknown scope %q", scope), "the nearest is %s, of: %s; a service is made by setting its image: kubectl aporeto value set services.NAME.image IMAGE",
		Nearest(scope, known), strings.Join(known, ", "))
}

// Services returns the names of the tree's services, sorted.
func (t *Tree) Services() []string {
	services, _ := t.Lookup(Path{"services"})
	m, _ := services.(map[string]any)
	return slices.Sorted(maps.Keys(m))
}

// CheckOwner refuses a path whose value the plugin sets by itself: setting it would do nothing.
func CheckOwner(path Path) error {
	key := path.String()
	for _, fact := range []string{"global.certificates", "global.environment", "global.zone", "global.zones"} { // as Facts.Layer has them
		if key == fact || strings.HasPrefix(key, fact+".") {
			return hint.New(fmt.Sprintf("key %s is a fact of the environment, which the plugin sets by itself", key), "the environment's facts are in aporeto.yaml; kubectl aporeto zone add NAME adds a zone")
		}
	}
	if strings.HasPrefix(key, "global.certs.") {
		return hint.New(fmt.Sprintf("key %s is a passphrase, and those are kept encrypted", key), "kubectl aporeto pki init makes passphrases; kubectl aporeto value get "+key+" shows one")
	}
	return nil
}
