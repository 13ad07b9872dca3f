package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// newReadyCommand waits until the API server of a kubeconfig answers /readyz and, with --node, until that node is Ready.
// One waiting process is far cheaper than a loop that starts kubectl again and again. It prints nothing.
func newReadyCommand() *cobra.Command {
	var kubeconfig, node string
	var timeout time.Duration
	c := &cobra.Command{
		Use:          "ready",
		Short:        "Wait for an API server, and for a node",
		Args:         cobra.NoArgs,
		SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
			defer cancel()
			return waitReady(ctx, kubeconfig, node)
		},
	}
	c.Flags().StringVar(&kubeconfig, "kubeconfig", "", "kubeconfig of the cluster")
	c.Flags().StringVar(&node, "node", "", "node to wait for, too")
	c.Flags().DurationVar(&timeout, "timeout", 3*time.Minute, "give up after this long")
	return c
}

// waitReady polls five times a second until the API server, and the node if one is named, are ready. On giving up it
// returns the last reason.
func waitReady(ctx context.Context, kubeconfig, node string) error {
	cfg, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return fmt.Errorf("read kubeconfig %q: %w", kubeconfig, err)
	}
	cfg.Timeout = 2 * time.Second
	cs, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return fmt.Errorf("make client for %q: %w", kubeconfig, err)
	}
	reason := errors.New("not asked yet")
	err = wait.PollUntilContextCancel(ctx, 200*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		_, apiErr := cs.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(ctx)
		switch {
		case apiErr != nil:
			reason = fmt.Errorf("API server: %w", apiErr)
		case node != "":
			reason = nodeReady(ctx, cs, node)
		default:
			reason = nil
		}
		return reason == nil, nil
	})
	if err != nil {
		return fmt.Errorf("wait for %s: %w; last seen: %w", cfg.Host, err, reason)
	}
	return nil
}

// nodeReady returns nil when the node's Ready condition is True, else the reason it is not.
func nodeReady(ctx context.Context, cs kubernetes.Interface, name string) error {
	n, err := cs.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("node %q: %w", name, err)
	}
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			if c.Status == corev1.ConditionTrue {
				return nil
			}
			return fmt.Errorf("node %q: %s", name, c.Message)
		}
	}
	return fmt.Errorf("node %q: no Ready condition yet", name)
}
