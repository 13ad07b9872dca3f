package cli

import (
	"fmt"

	"github.com/spf13/cobra"
)

const ensureHelp = `Only what is missing, stale or broken is issued, and the reason is said: a name that was added to the routers, another issuer, the last
third of its life, a key that does not open. A run that was interrupted is finished by the next one. CAs are renewed with the key they
have, so that what they signed stays good.`

func newPKIInitCmd(f *Factory) *cobra.Command {
	return &cobra.Command{
		Use:   "init",
		Short: "Make the environment's certificates, or bring them up to date",
		Long: `Make the environment's certificates, or bring them up to date: root CA, System CA, Public CA, the MongoDB administrator, the MongoDB
routers (for every host of global.database.mongo.host and every zone's namespace), and each zone's gateway and auto-maintenance job.

` + ensureHelp,
		Example: `  kubectl aporeto value set global.database.mongo.host mongo1:27017,mongo2:27017
  kubectl aporeto pki init`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runPKIEnsure(cmd, f, nil) },
	}
}

func newPKIRegenCmd(f *Factory) *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:   "regen [NAME…]",
		Short: "Reissue the certificates that are stale, or those named",
		Long: `Reissue the certificates that are stale; a certificate that is named is reissued though it is good, and with --force all are but the CAs.
Former certificates stay valid until they end. When a zone's certificate is replaced, certificates.generation in aporeto.yaml is raised,
so that the next deploy starts the pods again with the new ones.

` + ensureHelp,
		Example: `  kubectl aporeto pki regen
  kubectl aporeto pki regen mongodb-router
  kubectl aporeto pki regen --force`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if force && len(args) > 0 {
				return usagef("--force means every certificate; give names or --force")
			}
			if force {
				args = []string{"*"}
			}
			return runPKIEnsure(cmd, f, args)
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "reissue every certificate but the CAs'")
	return cmd
}

func runPKIEnsure(cmd *cobra.Command, f *Factory, force []string) error {
	dir, err := f.Environment()
	if err != nil {
		return err
	}
	changes, certificates, err := f.ensureCertificates(cmd.Context(), dir, force)
	for _, change := range changes {
		fmt.Fprintln(f.IO.Out, change)
	}
	if err != nil {
		return err
	}
	if len(changes) == 0 {
		fmt.Fprintln(f.IO.Out, "nothing to do: every certificate is as it should be")
	}
	_, err = certificates.MongoTrust() // says aloud whose CA the routers have, and refuses a malformed one
	return err
}
