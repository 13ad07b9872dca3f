package kube

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	kubefake "k8s.io/client-go/kubernetes/fake"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/hint"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/zone"
)

func deployments() schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
}

func watched(objects ...runtime.Object) *Client {
	set := dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(),
		map[schema.GroupVersionResource]string{deployments(): "DeploymentList", podResource(): "PodList"}, objects...)
	mapper := meta.NewDefaultRESTMapper(nil)
	mapper.Add(schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "Deployment"}, meta.RESTScopeNamespace)
	return &Client{Zone: zone.Zone{Context: "ctx", Namespace: "ns"}, dynamic: set, watches: set, mapper: mapper}
}

func TestWaitSeesTheRolloutByWatch(t *testing.T) {
	live := parse(t, ledger)
	live.SetNamespace("ns")
	live.SetGeneration(1)
	broken := parse(t, pod("ledger-1", "app: ledger", `{containerStatuses: [{state: {waiting: {reason: ErrImagePull}}}]}`))
	broken.SetNamespace("ns")
	client := watched(live, broken)
	objects := []map[string]any{
		{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "c"}}, // ready by existing
		parse(t, ledger).Object,
	}
	var seen []Readiness
	err := client.Wait(t.Context(), objects, time.Minute, func(now Readiness) {
		seen = append(seen, now)
		if len(seen) > 1 {
			return
		}
		ready := live.DeepCopy()
		ready.Object["status"] = map[string]any{"observedGeneration": int64(1), "replicas": int64(2), "updatedReplicas": int64(2), "readyReplicas": int64(2), "availableReplicas": int64(2),
			"conditions": []any{map[string]any{"type": "Available", "status": "True"}, map[string]any{"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}}}
		if _, err := client.dynamic.Resource(deployments()).Namespace("ns").Update(context.Background(), ready, metav1.UpdateOptions{}); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(seen) != 2 || seen[0].Ready != 0 || seen[0].Waiting[0] != "Deployment/ledger 0/2 (ErrImagePull)" || seen[1].Ready != 1 || seen[1].Total != 1 {
		t.Errorf("reported %+v", seen)
	}
}

// TestWaitTellsLastWords has two pods of a rollout: one that serves, and a new one that runs and is not ready.
func TestWaitTellsLastWords(t *testing.T) {
	live := parse(t, ledger)
	old := parse(t, pod("ledger-a", "app: ledger", `{containerStatuses: [{name: main, ready: true, state: {running: {}}}]}`))
	fresh := parse(t, pod("ledger-b", "app: ledger", `{containerStatuses: [{name: main, ready: false, state: {running: {}}}]}`))
	for _, o := range []*unstructured.Unstructured{live, old, fresh} {
		o.SetNamespace("ns")
	}
	client := watched(live, old, fresh)
	client.clientset = kubefake.NewClientset()
	err := client.Wait(t.Context(), []map[string]any{parse(t, ledger).Object}, time.Second, func(Readiness) {})
	if err == nil || !strings.HasSuffix(err.Error(), "Deployment/ledger 0/2; pod ledger-b wrote last: fake logs") || !strings.Contains(hint.Of(err), "-n ns logs ledger-b -c main") {
		t.Errorf("%v, hint %q", err, hint.Of(err))
	}
}

func TestWaitEnds(t *testing.T) {
	live := parse(t, ledger)
	live.SetNamespace("ns")
	objects := []map[string]any{parse(t, ledger).Object}
	err := watched(live).Wait(t.Context(), objects, time.Second, func(Readiness) {})
	if err == nil || !strings.Contains(err.Error(), "Deployment/ledger 0/2") || !strings.Contains(hint.Of(err), "-n ns get pods") {
		t.Errorf("after the timeout: %v, hint %q", err, hint.Of(err))
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	err = watched(live).Wait(ctx, objects, time.Minute, func(Readiness) { cancel(ErrLockLost) })
	if !errors.Is(err, ErrLockLost) {
		t.Errorf("after a cancellation: %v", err)
	}
}
