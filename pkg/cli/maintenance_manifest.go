package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/release"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/values"
)

func newMaintenanceCmd(f *Factory) *cobra.Command {
	return newGroup("maintenance", "Which zone serves, and the job in every zone that watches the global record", "",
		newMaintenanceStatusCmd(f), newMaintenancePinCmd(f), newMaintenanceUnpinCmd(f), newMaintenanceManifestCmd(f))
}

func newMaintenanceManifestCmd(f *Factory) *cobra.Command {
	var zones zoneFlags
	cmd := &cobra.Command{
		Use:   "manifest URL --zone NAME",
		Short: "Print the auto-maintenance job of one zone",
		Long: `Print the objects of one zone's auto-maintenance job, which watches the global record URL, for kubectl apply.

deploy installs the same objects as the release auto-maintenance; use one way or the other. The job mounts the Secret
aporeto-maintenance-mongodb, which is not printed: deploy makes it, or render --secrets.`,
		Example: `  kubectl aporeto maintenance manifest https://api.example.com --zone passive | kubectl --context bar apply -f -`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runMaintenanceManifest(cmd.Context(), f, &zones, args[0])
		},
	}
	zones.add(f, cmd)
	return cmd
}

func runMaintenanceManifest(ctx context.Context, f *Factory, zones *zoneFlags, address string) error {
	path := values.Path{values.AutoMaintenance, "endpoint"}
	if err := f.checkEndpoint(path, address); err != nil {
		return err
	}
	want, err := f.wishes(&valueFlags{sets: []string{path.String() + "=" + address}})
	if err != nil {
		return err
	}
	chosen, err := zones.need(want.env)
	if err != nil {
		return err
	}
	if len(chosen) > 1 {
		return usagef("one zone at a time: the objects of two would have the same names")
	}
	wanted, err := want.of(chosen)
	if err != nil {
		return err
	}
	charts, err := loadCharts()
	if err != nil {
		return err
	}
	_, spec := charts.Spec(wanted[0])
	manifest, err := release.Render(ctx, spec, release.Offline())
	if err != nil {
		return fmt.Errorf("zone %s: %w", chosen[0].Name, err)
	}
	_, err = fmt.Fprint(f.IO.Out, manifest.Text)
	return err
}
