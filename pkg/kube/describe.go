package kube

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
)

// describe says in a few words how far a workload is and what its pods wait for: "0/1 (ImagePullBackOff: Back-off pulling image …)".
// message is kstatus's own, used when nothing better is known. It is pure.
func describe(object *unstructured.Unstructured, message string, pods []*unstructured.Unstructured) string {
	count := countOf(object)
	why := failureOf(object)
	if why == "" {
		why = podTrouble(object, pods)
	}
	switch {
	case count == "" && why == "":
		return "(" + message + ")"
	case count == "":
		return "(" + why + ")"
	case why == "":
		return count
	}
	return count + " (" + why + ")"
}

// countOf returns "ready/wanted" pods of a workload; a pod of an old template is not a ready one.
func countOf(object *unstructured.Unstructured) string {
	number := func(missing int64, fields ...string) int64 {
		if n, found, err := unstructured.NestedInt64(object.Object, fields...); found && err == nil {
			return n
		}
		return missing
	}
	switch object.GetKind() {
	case "Deployment":
		return fmt.Sprintf("%d/%d", min(number(0, "status", "updatedReplicas"), number(0, "status", "availableReplicas")), number(1, "spec", "replicas"))
	case "StatefulSet":
		return fmt.Sprintf("%d/%d", min(number(0, "status", "updatedReplicas"), number(0, "status", "readyReplicas")), number(1, "spec", "replicas"))
	case "ReplicaSet", "ReplicationController":
		return fmt.Sprintf("%d/%d", number(0, "status", "readyReplicas"), number(1, "spec", "replicas"))
	case "DaemonSet":
		return fmt.Sprintf("%d/%d", min(number(0, "status", "updatedNumberScheduled"), number(0, "status", "numberAvailable")), number(0, "status", "desiredNumberScheduled"))
	}
	return ""
}

// failureOf returns why the workload's controller cannot make pods at all (a quota, an admission policy), "" when it can.
func failureOf(object *unstructured.Unstructured) string {
	for _, condition := range list(object.Object, "status", "conditions") {
		if condition["type"] == "ReplicaFailure" && condition["status"] == "True" {
			return join(text(condition, "reason"), text(condition, "message"))
		}
	}
	return ""
}

// podTrouble returns the first trouble, in order of pod names, of the pods that the workload selects.
func podTrouble(object *unstructured.Unstructured, pods []*unstructured.Unstructured) string {
	for _, pod := range selected(object, pods) {
		if why := troubleOf(pod); why != "" {
			return why
		}
	}
	return ""
}

// selected returns those of pods that the workload selects and that are there to stay, by name.
func selected(workload *unstructured.Unstructured, pods []*unstructured.Unstructured) []*unstructured.Unstructured {
	match, found, err := unstructured.NestedStringMap(workload.Object, "spec", "selector", "matchLabels")
	if err != nil || !found || len(match) == 0 {
		return nil
	}
	selector := labels.SelectorFromSet(match)
	pods = slices.DeleteFunc(slices.Clone(pods), func(pod *unstructured.Unstructured) bool {
		return pod.GetDeletionTimestamp() != nil || !selector.Matches(labels.Set(pod.GetLabels()))
	})
	slices.SortFunc(pods, func(a, b *unstructured.Unstructured) int { return strings.Compare(a.GetName(), b.GetName()) })
	return pods
}

func troubleOf(pod *unstructured.Unstructured) string {
	for _, statuses := range []string{"initContainerStatuses", "containerStatuses"} {
		for _, container := range list(pod.Object, "status", statuses) {
			waiting, _, err := unstructured.NestedMap(container, "state", "waiting")
			if err != nil || waiting == nil {
				continue
			}
			switch reason := text(waiting, "reason"); reason {
			case "", "ContainerCreating", "PodInitializing":
			default:
				return join(reason, text(waiting, "message"))
			}
		}
	}
	for _, condition := range list(pod.Object, "status", "conditions") {
		if condition["type"] == "PodScheduled" && condition["status"] == "False" {
			return join(text(condition, "reason"), text(condition, "message"))
		}
	}
	return ""
}

func list(object map[string]any, fields ...string) []map[string]any {
	items, _, err := unstructured.NestedSlice(object, fields...)
	if err != nil {
		return nil
	}
	var maps []map[string]any
	for _, item := range items {
		if m, ok := item.(map[string]any); ok {
			maps = append(maps, m)
		}
	}
	return maps
}

func text(m map[string]any, field string) string {
	s, _, err := unstructured.NestedString(m, field)
	if err != nil {
		return ""
	}
	return s
}

func join(reason, message string) string {
	message = strings.Join(strings.Fields(message), " ")
	if reason == "" || message == "" {
		return reason + message
	}
	return reason + ": " + message
}
