package kube

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/hint"
)

// Readiness is how far a set of objects has come.
type Readiness struct {
	Ready, Total int
	Waiting      []string // one text an object that is not ready: "Deployment/ledger 0/1 (ImagePullBackOff: …)"
}

// settle is how long Wait lets events gather before it looks: a rollout sends dozens at once.
const settle = 100 * time.Millisecond

// Wait watches those of objects that become ready in time (workloads, claims, custom resources; not what is ready by existing) until
// all of them are, in the sense of kstatus. report is called with every change, from one goroutine. After timeout the error says what
// was waited for.
func (c *Client) Wait(ctx context.Context, objects []map[string]any, timeout time.Duration, report func(Readiness)) error {
	targets, err := c.targets(ctx, objects)
	if err != nil {
		return c.Explain(err)
	}
	if len(targets) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(klog.NewContext(ctx, logr.Discard()), timeout, errWaited)
	defer cancel()
	w := c.watch(ctx, targets)
	defer w.running.Wait() // after cancel, by the order of defers: nothing watches on when Wait has returned
	defer cancel()

	var last Readiness
	for {
		if err := w.next(ctx); err != nil {
			if errors.Is(err, errWaited) {
				return c.notReady(context.WithoutCancel(ctx), w, targets, last, timeout)
			}
			return err
		}
		if !w.synced() {
			continue
		}
		now := w.readiness(targets)
		if !same(now, last) {
			report(now)
		}
		if last = now; now.Ready == now.Total {
			return nil
		}
	}
}

var errWaited = errors.New("waited long enough")

// notReady says what was waited for, and what the first container that ran and is not ready wrote last: why it is not, it knows best.
func (c *Client) notReady(ctx context.Context, w *watch, targets []target, last Readiness, timeout time.Duration) error {
	if err := w.lastError(); err != nil {
		return c.Explain(fmt.Errorf("not ready after %s, and the watch fails: %w", timeout, err))
	}
	err := fmt.Errorf("not ready after %s: %s", timeout, strings.Join(last.Waiting, "; "))
	next := "get pods,events"
	if s, is := w.speaker(targets); is {
		if words := c.lastWords(ctx, s); words != "" {
			err = fmt.Errorf("%w; pod %s wrote last: %s", err, s.pod, words)
		}
		next = "logs " + s.pod + " -c " + s.container
	}
	return hint.Wrap(err, "kubectl --context %s -n %s %s; a longer wait: --timeout 15m", c.Zone.Context, c.Zone.Namespace, next)
}

// speaker returns the first one of the targets that are not ready.
func (w *watch) speaker(targets []target) (speaker, bool) {
	pods := w.pods()
	for _, t := range targets {
		if w.waitingFor(t, pods) == "" {
			continue
		}
		if object := w.object(t); object != nil {
			if s, is := speakerOf(object, pods); is {
				return s, true
			}
		}
	}
	return speaker{}, false
}

// target is an object that is waited for.
type target struct {
	resource   schema.GroupVersionResource
	kind, name string
	generation int64 // what a consistent read showed; a cache that is behind it says nothing yet
}

// readyByExisting are kinds of which kstatus says Current as soon as they are there, or whose readiness is somebody else's affair (a
// load balancer, the pods a budget is about).
func readyByExisting(gk schema.GroupKind) bool {
	switch gk.Group {
	case "":
		return gk.Kind != "Pod" && gk.Kind != "PersistentVolumeClaim" && gk.Kind != "ReplicationController"
	case "batch":
		return gk.Kind == "CronJob"
	case "rbac.authorization.k8s.io", "networking.k8s.io", "policy", "scheduling.k8s.io", "coordination.k8s.io", "autoscaling", "storage.k8s.io",
		"monitoring.coreos.com", "admissionregistration.k8s.io":
		return true
	}
	return false
}

func (c *Client) targets(ctx context.Context, objects []map[string]any) ([]target, error) {
	var targets []target
	for _, object := range objects {
		u := &unstructured.Unstructured{Object: object}
		gvk := u.GroupVersionKind()
		if readyByExisting(gvk.GroupKind()) {
			continue
		}
		mapping, err := c.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
		if err != nil {
			return nil, fmt.Errorf("find the API of %s: %w", gvk, err)
		}
		if mapping.Scope.Name() == meta.RESTScopeNameRoot {
			continue
		}
		live, err := c.dynamic.Resource(mapping.Resource).Namespace(c.Zone.Namespace).Get(ctx, u.GetName(), metav1.GetOptions{})
		if err != nil {
			return nil, fmt.Errorf("read %s/%s: %w", gvk.Kind, u.GetName(), err)
		}
		targets = append(targets, target{resource: mapping.Resource, kind: gvk.Kind, name: u.GetName(), generation: live.GetGeneration()})
	}
	return targets, nil
}

// watch is a set of informers that say when something changed.
type watch struct {
	namespace string
	informers map[schema.GroupVersionResource]informers.GenericInformer
	dirty     chan struct{}
	running   sync.WaitGroup

	mu  sync.Mutex
	err error
}

func podResource() schema.GroupVersionResource {
	return schema.GroupVersionResource{Version: "v1", Resource: "pods"}
}

func (c *Client) watch(ctx context.Context, targets []target) *watch {
	w := &watch{namespace: c.Zone.Namespace, informers: map[schema.GroupVersionResource]informers.GenericInformer{}, dirty: make(chan struct{}, 1)}
	resources := []schema.GroupVersionResource{podResource()}
	for _, t := range targets {
		resources = append(resources, t.resource)
	}
	for _, resource := range resources {
		if w.informers[resource] != nil {
			continue
		}
		informer := dynamicinformer.NewFilteredDynamicInformer(c.watches, resource, w.namespace, 0, cache.Indexers{}, nil)
		w.informers[resource] = informer
		shared := informer.Informer()
		// Both can fail only on an informer that runs already.
		_ = shared.SetWatchErrorHandlerWithContext(func(_ context.Context, _ *cache.Reflector, err error) { w.failed(err) })
		_, _ = shared.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc:    func(any) { w.event() },
			UpdateFunc: func(any, any) { w.event() },
			DeleteFunc: func(any) { w.event() },
		})
		w.running.Go(func() { shared.RunWithContext(ctx) })
	}
	return w
}

// event notes that the watch works and that something changed.
func (w *watch) event() {
	w.failed(nil)
	w.touch()
}

func (w *watch) touch() {
	select {
	case w.dirty <- struct{}{}:
	default:
	}
}

func (w *watch) failed(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.err = err
}

func (w *watch) lastError() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// next waits for a change, then for a moment of quiet.
func (w *watch) next(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-w.dirty:
	}
	return pause(ctx, settle)
}

func (w *watch) synced() bool {
	for _, informer := range w.informers {
		if !informer.Informer().HasSynced() {
			w.touch() // the last event of the first list may have been seen before the flag was set
			return false
		}
	}
	return true
}

func (w *watch) readiness(targets []target) Readiness {
	r := Readiness{Total: len(targets)}
	pods := w.pods()
	for _, t := range targets {
		if why := w.waitingFor(t, pods); why != "" {
			r.Waiting = append(r.Waiting, t.kind+"/"+t.name+" "+why)
			continue
		}
		r.Ready++
	}
	return r
}

// waitingFor returns why t is not ready, "" when it is.
func (w *watch) waitingFor(t target, pods []*unstructured.Unstructured) string {
	object := w.object(t)
	switch {
	case object == nil:
		return "is not there"
	case object.GetGeneration() < t.generation:
		return "is being updated"
	}
	result, err := status.Compute(object)
	if err != nil {
		return err.Error()
	}
	if result.Status == status.CurrentStatus {
		return ""
	}
	return describe(object, result.Message, pods)
}

// object returns t as the watch knows it, nil when it is not there.
func (w *watch) object(t target) *unstructured.Unstructured {
	found, exists, err := w.informers[t.resource].Informer().GetStore().GetByKey(w.namespace + "/" + t.name)
	object, ok := found.(*unstructured.Unstructured)
	if err != nil || !exists || !ok {
		return nil
	}
	return object
}

func (w *watch) pods() []*unstructured.Unstructured {
	var pods []*unstructured.Unstructured
	for _, item := range w.informers[podResource()].Informer().GetStore().List() {
		if pod, ok := item.(*unstructured.Unstructured); ok {
			pods = append(pods, pod)
		}
	}
	return pods
}

func same(a, b Readiness) bool {
	return a.Ready == b.Ready && a.Total == b.Total && strings.Join(a.Waiting, "\n") == strings.Join(b.Waiting, "\n")
}
