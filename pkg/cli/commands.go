package cli

import "github.com/spf13/cobra"

// commands lists the top-level commands; each is built in a file of its own.
func commands(f *Factory) []*cobra.Command {
	return []*cobra.Command{
		newInitCmd(f),
		newZoneCmd(f),
		newValueCmd(f),
		newPKICmd(f),
		newMongoCmd(f),
		newRenderCmd(f),
		newDeployCmd(f),
		newMaintenanceCmd(f),
		newFailoverCmd(f),
		newDrillCmd(f),
		newVersionCmd(f),
	}
}
