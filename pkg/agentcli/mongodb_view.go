package agentcli

import (
	"encoding/json"
	"errors"

	"github.com/spf13/cobra"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongo"
)

func newMongoDBViewCmd(env *Env) *cobra.Command {
	var flags mongoFlags
	var environment string
	cmd := &cobra.Command{
		Use:   "mongodb-view",
		Short: "Print as JSON what this zone sees of its MongoDB routers",
		Long: `Asks every MongoDB router with this pod's certificate, side by side, and prints what was seen as JSON: name, TLS, login, round trip, clock, a
linearizable read of the lease, and an update that matches nothing, acknowledged by a majority. Nothing is changed. The exit code is 0 also
where routers are in trouble: the answer says so. kubectl aporeto mongo check --from-zones runs it.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			problems := flags.problems()
			if environment == "" {
				problems = append(problems, errors.New("--environment is missing"))
			}
			if err := errors.Join(problems...); err != nil {
				return usagef("%w", err)
			}
			options, err := flags.options("aporeto-agent-view")
			if err != nil {
				return err
			}
			view, err := mongo.Look(cmd.Context(), options, environment)
			if err != nil {
				return err
			}
			return json.NewEncoder(env.Out).Encode(view)
		},
	}
	flags.registerEnv(cmd.Flags(), env.Getenv)
	cmd.Flags().StringVar(&environment, "environment", "", "`id` of the environment, whose lease is read (required)")
	return cmd
}
