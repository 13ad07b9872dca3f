package kube

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// EnsureNamespace makes the zone's namespace with labels when it is not there; an existing one is left as it is. It tells whether it
// made one. Somebody with rights in the one namespace only may not look at namespaces: then it is taken to exist.
func (c *Client) EnsureNamespace(ctx context.Context, labels map[string]string) (created bool, err error) {
	namespaces := c.clientset.CoreV1().Namespaces()
	_, err = namespaces.Get(ctx, c.Zone.Namespace, metav1.GetOptions{})
	switch {
	case err == nil, apierrors.IsForbidden(err):
		return false, nil
	case !apierrors.IsNotFound(err):
		return false, c.Explain(fmt.Errorf("read namespace %q: %w", c.Zone.Namespace, err))
	}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: c.Zone.Namespace, Labels: labels}}
	_, err = namespaces.Create(ctx, namespace, metav1.CreateOptions{FieldManager: FieldManager})
	if apierrors.IsAlreadyExists(err) {
		return false, nil
	}
	if err != nil {
		return false, c.Explain(fmt.Errorf("create namespace %q: %w", c.Zone.Namespace, err))
	}
	return true, nil
}
