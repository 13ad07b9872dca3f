package kube

import (
	"context"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// databaseVolumes selects the volume claims that the control-plane chart's StatefulSets make for an in-cluster MongoDB.
const databaseVolumes = "app.kubernetes.io/part-of=aporeto,app.kubernetes.io/component=database"

// DatabaseVolumes returns the names of the zone's volume claims of in-cluster MongoDB servers, and deletes them when remove is true. One that a pod
// still uses goes with the pod.
func (c *Client) DatabaseVolumes(ctx context.Context, remove bool) ([]string, error) {
	claims := c.clientset.CoreV1().PersistentVolumeClaims(c.Zone.Namespace)
	list, err := claims.List(ctx, metav1.ListOptions{LabelSelector: databaseVolumes})
	if apierrors.IsForbidden(err) && !remove {
		return nil, nil // who may not look at volumes has made none by this program
	}
	if err != nil {
		return nil, c.Explain(fmt.Errorf("list volume claims: %w", err))
	}
	var names []string
	for i := range list.Items {
		claim := &list.Items[i]
		if claim.DeletionTimestamp != nil || !strings.HasPrefix(claim.Name, "data-mongodb-shard-") {
			continue
		}
		if remove {
			if err := claims.Delete(ctx, claim.Name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
				return names, c.Explain(fmt.Errorf("delete volume claim %q: %w", claim.Name, err))
			}
		}
		names = append(names, claim.Name)
	}
	return names, nil
}
