package kube

import (
	"cmp"
	"context"
	"encoding/json"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

const (
	// lastWordsTime is for all of them: an error is on its way, and may be about the API server itself.
	lastWordsTime = 3 * time.Second
	lastWordsMost = 400 // characters of a line, at most
)

// speaker is a container that ran and is not ready.
type speaker struct{ pod, container string }

// speakerOf returns the first one, in order of pod names, of a workload's pods.
func speakerOf(workload *unstructured.Unstructured, pods []*unstructured.Unstructured) (speaker, bool) {
	for _, pod := range selected(workload, pods) {
		for _, statuses := range []string{"initContainerStatuses", "containerStatuses"} {
			for _, container := range list(pod.Object, "status", statuses) {
				ready, _, _ := unstructured.NestedBool(container, "ready")
				running, _, _ := unstructured.NestedMap(container, "state", "running")
				ended, _, _ := unstructured.NestedMap(container, "state", "terminated")
				before, _, _ := unstructured.NestedMap(container, "lastState", "terminated")
				if !ready && (running != nil || before != nil || ended["reason"] != nil && ended["reason"] != "Completed") {
					return speaker{pod: pod.GetName(), container: text(container, "name")}, true
				}
			}
		}
	}
	return speaker{}, false
}

// lastWords returns the last line that s wrote, "" when that cannot be known.
func (c *Client) lastWords(ctx context.Context, s speaker) string {
	ctx, cancel := context.WithTimeout(ctx, lastWordsTime)
	defer cancel()
	out, err := c.clientset.CoreV1().Pods(c.Zone.Namespace).GetLogs(s.pod, &corev1.PodLogOptions{Container: s.container, TailLines: new(int64(1))}).DoRaw(ctx)
	if err != nil {
		return ""
	}
	return inShort(string(out))
}

// inShort returns a line of a log as people read it: of a JSON object message and error, as most loggers name them.
func inShort(line string) string {
	var fields map[string]any
	if json.Unmarshal([]byte(line), &fields) == nil {
		field := func(names ...string) string {
			for _, name := range names {
				if s, is := fields[name].(string); is {
					return s
				}
			}
			return ""
		}
		line = cmp.Or(join(field("msg", "message"), field("error", "err")), line)
	}
	line = strings.Join(strings.Fields(line), " ")
	if all := []rune(line); len(all) > lastWordsMost {
		return string(all[:lastWordsMost]) + "…"
	}
	return line
}
