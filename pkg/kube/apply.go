package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/hint"
)

// checkManager is the field manager of dry runs on objects that Helm owns. It never persists anything, so it owns no field, and a dry
// run under it shows what differs without showing as removed what somebody else added.
const checkManager = FieldManager + "-check"

// parallelCalls bounds the requests in flight for one zone.
const parallelCalls = 8

// Change is one object that is not as it should be.
type Change struct {
	Object string // Kind/name
	What   string // "missing", or "differs at" and the first differing field
}

// String returns "Kind/name what".
func (c Change) String() string { return c.Object + " " + c.What }

// Drift asks the API server, by server-side-apply dry runs, which of the objects are missing or hold other values than given. Fields
// that objects do not name are nobody's business here. An object without a namespace means one in the zone's namespace. Nothing is
// changed. Changes come in the order of objects.
func (c *Client) Drift(ctx context.Context, objects []map[string]any) ([]Change, error) {
	return c.drift(ctx, objects, checkManager)
}

func (c *Client) drift(ctx context.Context, objects []map[string]any, manager string) ([]Change, error) {
	found := make([]*Change, len(objects))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallelCalls)
	for i, object := range objects {
		group.Go(func() error {
			change, err := c.driftOf(ctx, &unstructured.Unstructured{Object: object}, manager)
			found[i] = change
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, c.Explain(err)
	}
	var changes []Change
	for _, change := range found {
		if change != nil {
			changes = append(changes, *change)
		}
	}
	return changes, nil
}

func (c *Client) driftOf(ctx context.Context, object *unstructured.Unstructured, manager string) (*Change, error) {
	name := object.GetKind() + "/" + object.GetName()
	resource, err := c.resource(object)
	if err != nil {
		return nil, err
	}
	live, err := resource.Get(ctx, object.GetName(), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return &Change{Object: name, What: "missing"}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	after, err := apply(ctx, resource, object, manager, true)
	if apierrors.IsInvalid(err) {
		// An immutable field differs; what can be done about it is for the upgrade to say.
		return &Change{Object: name, What: "differs: " + err.Error()}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("compare %s: %w", name, err)
	}
	if path := firstDifference(stable(live), stable(after), ""); path != "" {
		return &Change{Object: name, What: "differs at " + path}, nil
	}
	return nil, nil
}

// Apply creates or updates object by server-side apply as FieldManager, taking over fields that others manage.
func (c *Client) Apply(ctx context.Context, object map[string]any) error {
	u := &unstructured.Unstructured{Object: object}
	resource, err := c.resource(u)
	if err != nil {
		return c.Explain(err)
	}
	if _, err := apply(ctx, resource, u, FieldManager, false); err != nil {
		err = fmt.Errorf("apply %s/%s: %w", u.GetKind(), u.GetName(), err)
		if apierrors.IsInvalid(err) {
			err = hint.Wrap(err, "an immutable field differs; look, then delete it and deploy again: kubectl --context %s -n %s get %s %s -o yaml",
				c.Zone.Context, c.Zone.Namespace, strings.ToLower(u.GetKind()), u.GetName())
		}
		return c.Explain(err)
	}
	return nil
}

func apply(ctx context.Context, resource dynamic.ResourceInterface, object *unstructured.Unstructured, manager string, dryRun bool) (*unstructured.Unstructured, error) {
	body, err := json.Marshal(object.Object)
	if err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	force := true
	options := metav1.PatchOptions{FieldManager: manager, Force: &force}
	if dryRun {
		options.DryRun = []string{metav1.DryRunAll}
	}
	return resource.Patch(ctx, object.GetName(), types.ApplyPatchType, body, options)
}

// resource returns the endpoint of object, giving it the zone's namespace where it needs one and has none.
func (c *Client) resource(object *unstructured.Unstructured) (dynamic.ResourceInterface, error) {
	gvk := object.GroupVersionKind()
	mapping, err := c.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if meta.IsNoMatchError(err) {
		return nil, hint.Wrap(fmt.Errorf("the cluster has no API for %s %q: %w", gvk, object.GetName(), err), "kubectl --context %s api-resources", c.Zone.Context)
	}
	if err != nil {
		return nil, fmt.Errorf("find the API of %s: %w", gvk, err)
	}
	if mapping.Scope.Name() == meta.RESTScopeNameRoot {
		return c.dynamic.Resource(mapping.Resource), nil
	}
	namespace := object.GetNamespace()
	if namespace == "" {
		namespace = c.Zone.Namespace
	}
	return c.dynamic.Resource(mapping.Resource).Namespace(namespace), nil
}

// stable drops what every write changes and what only controllers write.
func stable(u *unstructured.Unstructured) map[string]any {
	out := maps.Clone(u.Object)
	delete(out, "status")
	if metadata, ok := out["metadata"].(map[string]any); ok {
		metadata = maps.Clone(metadata)
		for _, field := range []string{"managedFields", "resourceVersion", "generation"} {
			delete(metadata, field)
		}
		out["metadata"] = metadata
	}
	return out
}

// firstDifference returns the path of the first field, in order of names, at which a and b differ; "" when they are equal.
func firstDifference(a, b any, at string) string {
	switch a := a.(type) {
	case map[string]any:
		b, ok := b.(map[string]any)
		if !ok {
			break
		}
		keys := slices.AppendSeq(slices.Collect(maps.Keys(a)), maps.Keys(b))
		slices.Sort(keys)
		for _, key := range slices.Compact(keys) {
			path := strings.TrimPrefix(at+"."+key, ".")
			left, inLeft := a[key]
			right, inRight := b[key]
			if inLeft != inRight {
				return path
			}
			if found := firstDifference(left, right, path); found != "" {
				return found
			}
		}
		return ""
	case []any:
		b, ok := b.([]any)
		if !ok || len(a) != len(b) {
			break
		}
		for i := range a {
			if found := firstDifference(a[i], b[i], fmt.Sprintf("%s[%d]", at, i)); found != "" {
				return found
			}
		}
		return ""
	}
	if reflect.DeepEqual(a, b) {
		return ""
	}
	if at == "" {
		return "."
	}
	return at
}
