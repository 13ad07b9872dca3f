package cli

import "github.com/spf13/cobra"

func newZoneCmd(f *Factory) *cobra.Command {
	return newGroup("zone", "Add and list the zones: the clusters and namespaces the control plane runs in", "",
		newZoneAddCmd(f), newZoneListCmd(f), newZoneEnvCmd(f))
}
