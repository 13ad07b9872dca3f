package agentcli

import (
	"context"
	"errors"
	"net"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongo"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongocheck"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/relay"
)

// relayDial bounds the search for a name and the connection.
const relayDial = 4 * time.Second

func newRelayCmd(env *Env) *cobra.Command {
	var uri string
	cmd := &cobra.Command{
		Use:   "relay HOST:PORT",
		Short: "Carry one connection to a MongoDB router over stdin and stdout",
		Long: `Connects to one of this zone's MongoDB routers, says on one line of stdout how that went, and carries bytes from then on, until either
side ends. kubectl aporeto mongo ... --via ZONE runs it. TLS passes through: no key is needed here and nothing is read. Hosts other than
the routers in $MONGODB_URI are refused.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if err := cobra.ExactArgs(1)(cmd, args); err != nil {
				return usagef("%w", err)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			routers, err := mongo.Routers(uri)
			if err != nil {
				return usagef("--mongodb-uri: %w", err)
			}
			err = relay.Serve(cmd.Context(), relayDialer(routers, args[0]), env.In, env.Out)
			if _, reported := errors.AsType[*relay.Failure](err); reported {
				return &exitError{code: ExitError} // the other side has been told
			}
			return err
		},
	}
	cmd.Flags().StringVar(&uri, "mongodb-uri", env.Getenv("MONGODB_URI"), "connection `string` whose hosts are allowed (default: $MONGODB_URI)")
	return cmd
}

// relayDialer dials address, if it is one of routers.
func relayDialer(routers []string, address string) func(context.Context) (net.Conn, *relay.Failure) {
	return func(ctx context.Context) (net.Conn, *relay.Failure) {
		allowed := false
		for _, router := range routers {
			allowed = allowed || strings.EqualFold(router, address)
		}
		if !allowed {
			t := mongocheck.NewTrouble(mongocheck.NotAllowed, "it is none of the zone's MongoDB routers, %s", strings.Join(routers, ", "))
			return nil, &relay.Failure{Kind: string(t.Kind), Text: t.Text}
		}
		ctx, cancel := context.WithTimeout(ctx, relayDial)
		defer cancel()
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		if err != nil {
			t := mongocheck.DialTrouble(err, relayDial)
			return nil, &relay.Failure{Kind: string(t.Kind), Text: t.Text}
		}
		return conn, nil
	}
}
