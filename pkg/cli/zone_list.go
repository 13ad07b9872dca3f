package cli

import (
	"context"
	"crypto/rand"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/envdir"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/environment"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/hint"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/kube"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/zone"
)

// zoneItem is one zone in `zone list -o json`.
type zoneItem struct {
	Name       string `json:"name"`
	Active     *bool  `json:"active"` // null: unknown
	State      string `json:"state,omitempty"`
	Context    string `json:"context"`
	Namespace  string `json:"namespace"`
	ClusterUID string `json:"clusterUID,omitempty"`
	Kubeconfig string `json:"kubeconfig,omitempty"`
	Values     string `json:"values"` // file, relative to the environment
}

func newZoneListCmd(f *Factory) *cobra.Command {
	var out printFlags
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List the zones, the active one marked",
		Long: `List the zones. Every replica of every zone's gateway is asked, through its cluster's API server, for at most two seconds: ACTIVE
shows * for the zone that serves, nothing for one that does not, and ? for one of which nothing is known.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := out.check(); err != nil {
				return err
			}
			return runZoneList(cmd.Context(), f, &out)
		},
	}
	out.add(cmd, formatWide, formatJSON, formatYAML, formatName)
	return cmd
}

func runZoneList(ctx context.Context, f *Factory, out *printFlags) error {
	_, env, err := f.Load()
	if err != nil {
		return err
	}
	if out.format == formatName {
		for _, z := range env.Zones {
			fmt.Fprintf(f.IO.Out, "zone/%s\n", z.Name)
		}
		return nil
	}
	items, active := f.zoneItems(ctx, env), 0
	for _, item := range items {
		if item.Active != nil && *item.Active {
			active++
		}
	}
	if active > 1 {
		fmt.Fprintf(f.IO.ErrOut, "warning: %d zones say they are active; they were asked one after the other, so look again\n", active)
	}
	if done, err := out.object(f.IO.Out, newList("ZoneList", items)); done {
		return err
	}
	if len(items) == 0 {
		fmt.Fprintln(f.IO.ErrOut, "The environment has no zones.")
		f.printHint(hint.Of(noZones()))
		return nil
	}
	return table(f.IO.Out, zoneHeader(out.format), zoneRows(items, out.format))
}

func zoneHeader(format string) []string {
	header := []string{"NAME", "ACTIVE", "CONTEXT", "NAMESPACE"}
	if format == formatWide {
		header = append(header, "CLUSTER-UID", "KUBECONFIG", "VALUES")
	}
	return header
}

func zoneRows(items []zoneItem, format string) [][]string {
	var rows [][]string
	for _, i := range items {
		row := []string{i.Name, mark(i.Active), i.Context, i.Namespace}
		if format == formatWide {
			row = append(row, orNone(i.ClusterUID), orNone(i.Kubeconfig), i.Values)
		}
		rows = append(rows, row)
	}
	return rows
}

// orNone is how kubectl shows that there is nothing.
func orNone(s string) string {
	if s == "" {
		return "<none>"
	}
	return s
}

func mark(active *bool) string {
	switch {
	case active == nil:
		return "?"
	case *active:
		return "*"
	}
	return ""
}

// zoneItems looks at every zone at once, for at most lookTime.
func (f *Factory) zoneItems(ctx context.Context, env *environment.Environment) []zoneItem {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	looks := make([]chan look, len(env.Zones))
	for i, z := range env.Zones {
		looks[i] = make(chan look, 1)
		// Not waited for: a credential plugin of the kubeconfig may ignore ctx, and two seconds are promised.
		go func() { looks[i] <- f.look(ctx, env.ID, z) }()
	}
	items := make([]zoneItem, len(env.Zones))
	for i, z := range env.Zones {
		items[i] = zoneItem{
			Name: z.Name, Context: z.Context, Namespace: z.Namespace, ClusterUID: z.ClusterUID, Kubeconfig: z.Kubeconfig,
			Values: envdir.ValuesName(&z),
		}
		l := inTime(ctx, looks[i], look{})
		items[i].Active, items[i].State = l.active, l.state
	}
	return items
}

// look is what one zone's gateway was found to be.
type look struct {
	active *bool // nil: unknown
	state  string
}

func (f *Factory) look(ctx context.Context, environment string, z zone.Zone) look {
	client, err := kube.Open(z, f.Kubeconfig())
	if err != nil {
		return look{}
	}
	nonce := rand.Text()
	replicas, err := client.GatewayReplicas(ctx, nonce)
	if err != nil {
		return look{}
	}
	return judgeAll(replicas, environment, z.Name, nonce)
}

// judgeAll decides what the replicas of a zone's gateway say about it together. One that serves is enough: the others follow within a
// poll of the lease. No replica at all means that the zone does not serve; none that can be believed says nothing.
func judgeAll(replicas []kube.GatewayReplica, environment, name, nonce string) look {
	if len(replicas) == 0 {
		no := false
		return look{active: &no, state: "NotDeployed"}
	}
	var found look
	for _, r := range replicas {
		l := judge(r.Answer, environment, name, nonce)
		if found.active == nil || l.active != nil && *l.active {
			found = l
		}
	}
	return found
}

// judge decides what one replica's answer says about the zone that was asked. No answer, or one of another environment or zone, or to
// another question, says nothing.
func judge(answer *kube.GatewayAnswer, environment, name, nonce string) look {
	no, yes := false, true
	switch {
	case answer == nil, answer.Environment != environment, !zone.Same(answer.Zone, name), answer.Nonce != nonce:
		return look{}
	case answer.State == "Active":
		return look{active: &yes, state: answer.State}
	}
	return look{active: &no, state: answer.State}
}
