package cli

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"
)

// versionInfo is the output of version -o json.
type versionInfo struct {
	Version   string `json:"version"`
	GoVersion string `json:"goVersion"`
	Platform  string `json:"platform"`
}

func newVersionCmd(f *Factory) *cobra.Command {
	var out printFlags
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the plugin's version",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if err := out.check(); err != nil {
				return err
			}
			v := versionInfo{Version: f.Version, GoVersion: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
			if done, err := out.object(f.IO.Out, v); done {
				return err
			}
			_, err := fmt.Fprintf(f.IO.Out, "kubectl-aporeto %s (%s, %s)\n", v.Version, v.GoVersion, v.Platform)
			return err
		},
	}
	out.add(cmd, formatJSON, formatYAML)
	return cmd
}
