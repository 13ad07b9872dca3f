package kube

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// identityNamespace exists once in every cluster and is never made anew, so its UID is the nearest thing to a cluster's own identity.
const identityNamespace = metav1.NamespaceSystem

// ClusterUID returns the UID of the cluster's kube-system namespace. The caller's ctx bounds the time it takes.
func ClusterUID(ctx context.Context, config *rest.Config) (string, error) {
	clients, err := kubernetes.NewForConfig(config)
	if err != nil {
		return "", fmt.Errorf("connect to %s: %w", config.Host, err)
	}
	ns, err := clients.CoreV1().Namespaces().Get(ctx, identityNamespace, metav1.GetOptions{})
	if err != nil {
		return "", fmt.Errorf("read namespace %q: %w", identityNamespace, err)
	}
	return string(ns.UID), nil
}
