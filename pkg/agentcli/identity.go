package agentcli

import (
	"errors"

	"github.com/spf13/pflag"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/hint"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/zone"
)

// identityFlags say which environment and zone a command works for.
type identityFlags struct {
	environment string
	zone        string
}

func (o *identityFlags) register(flags *pflag.FlagSet) {
	flags.StringVar(&o.environment, "environment", "", "`id` of the environment (required)")
	flags.StringVar(&o.zone, "zone", "", "`name` of this zone (required)")
}

// problems returns what is wrong with the flags.
func (o *identityFlags) problems() []error {
	var all []error
	if o.environment == "" {
		all = append(all, hint.New("--environment is missing", "it is the id in aporeto.yaml"))
	}
	if o.zone == "" {
		all = append(all, errors.New("--zone is missing"))
	} else if err := zone.ValidateName(o.zone); err != nil {
		all = append(all, err)
	}
	return all
}
