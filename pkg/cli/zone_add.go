package cli

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/client-go/rest"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/envdir"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/environment"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/hint"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/kube"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/values"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/zone"
)

// lookTime is how long commands that only want to know something wait for a cluster.
const lookTime = 2 * time.Second

// defaultZone is the zone that the first `zone add` makes of the current context.
const defaultZone = "default"

type zoneAddOptions struct {
	f         *Factory
	name      string
	noDefault bool
}

func newZoneAddCmd(f *Factory) *cobra.Command {
	o := &zoneAddOptions{f: f}
	cmd := &cobra.Command{
		Use:   "add NAME --context CONTEXT --namespace NAMESPACE",
		Short: "Add a zone",
		Long: `Add a zone: a namespace of the cluster that a kubeconfig context names.

The first zone that is added makes a second one, default, of the kubeconfig's current context and the same namespace; --no-default
skips that, and so does a NAME that is default or a CONTEXT that is the current one.

The zone is remembered by its context's name and by the UID of the cluster, which is asked for two seconds; a cluster that does not
answer is recorded by the first deploy. With --kubeconfig the zone keeps that file as its own.`,
		Example: `  kubectl aporeto zone add passive --context bar --namespace aporeto-svcs`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.name = args[0]
			return o.run(cmd.Context())
		},
	}
	cmd.Flags().BoolVar(&o.noDefault, "no-default", false, "do not make the zone default of the current context")
	o.connectionFlags(cmd)
	return cmd
}

// connectionFlags adds kubectl's flags that say how a cluster is reached: here, as nowhere else, one cluster is meant. All but those
// that matter stay out of the help, as `kubectl options` keeps them.
func (o *zoneAddOptions) connectionFlags(cmd *cobra.Command) {
	file := o.f.kube.KubeConfig
	o.f.kube.KubeConfig = nil // the root has that one
	o.f.kube.AddFlags(cmd.Flags())
	o.f.kube.KubeConfig = file
	for _, name := range []string{
		"as", "as-group", "as-uid", "as-user-extra", "cache-dir", "certificate-authority", "client-certificate", "client-key", "cluster",
		"disable-compression", "insecure-skip-tls-verify", "password", "request-timeout", "server", "tls-server-name", "token", "user", "username", "proxy-url",
	} {
		if flag := cmd.Flags().Lookup(name); flag != nil {
			flag.Hidden = true
		}
	}
	cmd.Flags().Lookup("context").Usage = "the zone's kubeconfig `context` (required)"
	cmd.Flags().Lookup("namespace").Usage = "the zone's `namespace`, made by deploy when missing (required)"
}

func (o *zoneAddOptions) run(ctx context.Context) error {
	z := zone.Zone{Name: o.name, Context: *o.f.kube.Context, Namespace: *o.f.kube.Namespace}
	if z.Context == "" || z.Namespace == "" {
		return hint.Wrap(usagef("zone add needs --context and --namespace"), "kubectl aporeto zone add %s --context CONTEXT --namespace NAMESPACE", o.name)
	}
	dir, env, err := o.f.Load()
	if err != nil {
		return err
	}
	data, err := dir.Read(environment.File)
	if err != nil {
		return err
	}
	if _, err := environment.AddZone(data, z); err != nil {
		return err // before any cluster is asked
	}
	config, err := o.f.kube.ToRawKubeConfigLoader().RawConfig()
	if err != nil {
		return fmt.Errorf("load kubeconfig: %w", err)
	}
	if err := knownContext(&config, z.Context); err != nil {
		return err
	}
	z.Kubeconfig = o.ownKubeconfig(dir)
	zones, note := firstZones(env, z, &config, o.noDefault)
	unknown := o.recordUIDs(ctx, zones)
	if len(zones) == 2 && zones[0].ClusterUID != "" && zones[0].ClusterUID == zones[1].ClusterUID {
		note = fmt.Sprintf("no zone default was made: the current context %q is the same cluster as %q", zones[0].Context, z.Context)
		zones = zones[1:]
	}
	return o.write(ctx, dir, zones, unknown, note)
}

func (o *zoneAddOptions) write(ctx context.Context, dir *envdir.Dir, zones []zone.Zone, unknown map[string]error, note string) error {
	_, err := dir.Update(ctx, environment.File, 0o644, func(data []byte) ([]byte, error) {
		for _, z := range zones {
			var err error
			if data, err = environment.AddZone(data, z); err != nil {
				return nil, err
			}
		}
		return data, nil
	})
	if err != nil {
		return err
	}
	for _, z := range zones {
		file, err := dir.CreateZoneValues(z.Name)
		if err != nil {
			return err
		}
		fmt.Fprintf(o.f.IO.Out, "zone %s added: context %s, namespace %s, values %s\n", z.Name, z.Context, z.Namespace, file)
		if z.ClusterUID == "" {
			fmt.Fprintf(o.f.IO.ErrOut, "zone %s: the cluster's identity is not known yet, the first deploy records it: %v\n", z.Name, unknown[z.Name])
		}
	}
	if note != "" {
		fmt.Fprintln(o.f.IO.ErrOut, note)
	}
	return nil
}

// firstZones returns the zones to add for z: where z is the environment's first, the zone default comes before it.
func firstZones(env *environment.Environment, z zone.Zone, config *clientcmdapi.Config, noDefault bool) (zones []zone.Zone, note string) {
	current := config.CurrentContext
	switch {
	case len(env.Zones) > 0 || noDefault || zone.Same(z.Name, defaultZone):
		return []zone.Zone{z}, ""
	case current == z.Context:
		return []zone.Zone{z}, fmt.Sprintf("no zone default was made: context %q is the current one", current)
	case current == "":
		return []zone.Zone{z}, "no zone default was made: the kubeconfig has no current context"
	case config.Contexts[current] == nil:
		return []zone.Zone{z}, fmt.Sprintf("no zone default was made: the current context %q does not exist", current)
	}
	return []zone.Zone{{Name: defaultZone, Context: current, Namespace: z.Namespace, Kubeconfig: z.Kubeconfig}, z}, ""
}

// recordUIDs asks the zones' clusters who they are, all at once, and returns why one stays without: unknown is not an error.
func (o *zoneAddOptions) recordUIDs(ctx context.Context, zones []zone.Zone) map[string]error {
	ctx, cancel := context.WithTimeoutCause(ctx, lookTime, fmt.Errorf("no answer within %s", lookTime))
	defer cancel()
	type answer struct {
		uid string
		err error
	}
	answers := make([]chan answer, len(zones))
	for i, z := range zones {
		answers[i] = make(chan answer, 1)
		// Not waited for: a credential plugin of the kubeconfig may ignore ctx, and two seconds are promised.
		go func() {
			uid, err := o.clusterUID(ctx, z)
			answers[i] <- answer{uid, err}
		}()
	}
	unknown := map[string]error{}
	for i := range zones {
		select {
		case a := <-answers[i]:
			zones[i].ClusterUID, unknown[zones[i].Name] = a.uid, a.err
		case <-ctx.Done():
			unknown[zones[i].Name] = context.Cause(ctx)
		}
	}
	return unknown
}

func (o *zoneAddOptions) clusterUID(ctx context.Context, z zone.Zone) (string, error) {
	config, err := o.restConfig(z)
	if err != nil {
		return "", err
	}
	return kube.ClusterUID(ctx, config)
}

// restConfig reaches the context of the flags as all of them say, and any other by the kubeconfig alone.
func (o *zoneAddOptions) restConfig(z zone.Zone) (*rest.Config, error) {
	if z.Context == *o.f.kube.Context {
		return o.f.kube.ToRESTConfig()
	}
	z.Kubeconfig = "" // it is --kubeconfig's, as the zone will keep it
	client, err := kube.Open(z, o.f.Kubeconfig())
	if err != nil {
		return nil, err
	}
	return client.ToRESTConfig()
}

// ownKubeconfig returns the file of --kubeconfig as the zone keeps it: relative to the environment where it lies inside.
func (o *zoneAddOptions) ownKubeconfig(dir *envdir.Dir) string {
	path := o.f.Kubeconfig()
	if path == "" {
		return ""
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(o.f.WorkDir, path)
	}
	if inside, err := filepath.Rel(dir.Path, path); err == nil && filepath.IsLocal(inside) {
		return filepath.ToSlash(inside)
	}
	return filepath.Clean(path)
}

// knownContext refuses a context that the kubeconfig has not, and names those it has, the nearest first.
func knownContext(config *clientcmdapi.Config, name string) error {
	if config.Contexts[name] != nil {
		return nil
	}
	known := slices.Sorted(maps.Keys(config.Contexts))
	err := fmt.Errorf("the kubeconfig has no context %q", name)
	if len(known) == 0 {
		return hint.Wrap(err, "it has none at all: set KUBECONFIG or --kubeconfig, then look with: kubectl config get-contexts")
	}
	near := values.Nearest(name, known)
	known = append([]string{near}, slices.DeleteFunc(known, func(k string) bool { return k == near })...)
	return hint.Wrap(err, "known contexts, the nearest first: %s", strings.Join(known, ", "))
}
