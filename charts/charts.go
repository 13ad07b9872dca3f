// Package charts carries the two Helm charts inside the plugin's binary, so that
// a release of the plugin and the charts it installs can never be of two versions.
//
// It holds no logic: pkg/release loads a chart from [FS] by its folder's name.
package charts

import "embed"

// Folder names in [FS]; they are also the charts' names.
const (
	// ControlPlane is the chart of a zone's gateway and services.
	ControlPlane = "control-plane"
	// AutoMaintenance is the chart of the job that watches the global endpoint.
	AutoMaintenance = "auto-maintenance"
)

// FS holds each chart in the folder of its name. The prefix "all:" matters: without
// it go:embed leaves out files that begin with an underscore, and with them the
// charts' shared templates.
//
//go:embed all:control-plane all:auto-maintenance
var FS embed.FS
