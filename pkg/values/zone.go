package values

import "fmt"

// Keys of the tree that are not the control-plane chart's own.
const (
	// AutoMaintenance is the key below which the values of the auto-maintenance chart live.
	AutoMaintenance = "auto-maintenance"
	// Global is the key that both charts get.
	Global = "global"
)

// Facts are what the plugin knows of a zone and no file has to say.
type Facts struct {
	Environment string // the environment's id
	Zone        string // the zone's name as written; "" where no zone is meant
	Zones       int    // how many zones the environment has; 1 means standing intent
	Generation  int    // certificates.generation of aporeto.yaml
}

// Layer returns the facts as a layer, to be merged over the files.
func (f Facts) Layer() Layer {
	global := map[string]any{
		"environment":  f.Environment,
		"zones":        int64(f.Zones),
		"certificates": map[string]any{"generation": int64(f.Generation)},
	}
	if f.Zone != "" {
		global["zone"] = f.Zone
	}
	return Layer{Name: "facts", Values: map[string]any{Global: global}}
}

// ChartDefaults lays the values.yaml of the two charts out as the weakest layers of a zone's tree.
func ChartDefaults(controlPlane, autoMaintenance []byte) ([]Layer, error) {
	cp, err := ParseLayer("control-plane/values.yaml", controlPlane)
	if err != nil {
		return nil, fmt.Errorf("chart defaults: %w", err)
	}
	am, err := ParseLayer("auto-maintenance/values.yaml", autoMaintenance)
	if err != nil {
		return nil, fmt.Errorf("chart defaults: %w", err)
	}
	split := map[string]any{}
	if g, ok := am.Values[Global]; ok {
		split[Global] = g
		delete(am.Values, Global)
	}
	split[AutoMaintenance] = am.Values
	return []Layer{{Name: am.Name, Values: split}, cp}, nil
}

// Charts splits the tree into what each chart's release is given: the subtree auto-maintenance for that chart, all the rest for
// control-plane, global for both. The maps are the caller's own. They hold a null wherever a layer deleted a chart's default, so that
// Helm deletes it too.
func (t *Tree) Charts() (controlPlane, autoMaintenance map[string]any) {
	controlPlane = normalize(t.values).(map[string]any)
	autoMaintenance, _ = controlPlane[AutoMaintenance].(map[string]any)
	if autoMaintenance == nil {
		autoMaintenance = map[string]any{}
	}
	delete(controlPlane, AutoMaintenance)
	if g, ok := controlPlane[Global]; ok {
		autoMaintenance[Global] = normalize(g)
	}
	return controlPlane, autoMaintenance
}
