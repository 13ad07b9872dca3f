package kube

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/util/exec"
	"k8s.io/streaming/pkg/httpstream"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/hint"
)

// The gateway's container, in which the agent's commands run.
const (
	gatewayContainer = "gateway"
	agentProgram     = "/aporeto-agent"
	maxAgentOutput   = 4 << 20
)

// AgentPod returns the name of a pod of the zone's gateway that runs, a ready one if there is one.
func (c *Client) AgentPod(ctx context.Context) (string, error) {
	list, err := c.clientset.CoreV1().Pods(c.Zone.Namespace).List(ctx, metav1.ListOptions{LabelSelector: gatewaySelector})
	if err != nil {
		return "", c.Explain(fmt.Errorf("list the gateway's pods of zone %s: %w", c.Zone.Name, err))
	}
	name := ""
	for i := range list.Items {
		pod := &list.Items[i]
		if pod.Status.Phase != corev1.PodRunning || pod.DeletionTimestamp != nil {
			continue
		}
		if name = pod.Name; podReady(pod) {
			break
		}
	}
	if name == "" {
		return "", hint.New(fmt.Sprintf("no pod of the gateway runs in zone %s", c.Zone.Name), "kubectl aporeto deploy --zone "+c.Zone.Name)
	}
	return name, nil
}

func podReady(pod *corev1.Pod) bool {
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodReady {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}

// RunAgent runs a command of the agent in pod and returns what it prints.
func (c *Client) RunAgent(ctx context.Context, pod string, args ...string) ([]byte, error) {
	out := &limited{left: maxAgentOutput}
	if err := c.execAgent(ctx, pod, args, nil, out); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// execAgent runs a command of the agent in pod until it ends or ctx does. What it prints on stderr is in the error.
func (c *Client) execAgent(ctx context.Context, pod string, args []string, stdin io.Reader, stdout io.Writer) error {
	request := c.clientset.CoreV1().RESTClient().Post().Namespace(c.Zone.Namespace).Resource("pods").Name(pod).SubResource("exec").
		VersionedParams(&corev1.PodExecOptions{
			Container: gatewayContainer, Command: append([]string{agentProgram}, args...), Stdin: stdin != nil, Stdout: true, Stderr: true,
		}, scheme.ParameterCodec)
	// Without the requests' deadline: a stream ends with its command.
	spdy, err := remotecommand.NewSPDYExecutor(c.stream, "POST", request.URL())
	if err != nil {
		return err
	}
	socket, err := remotecommand.NewWebSocketExecutor(c.stream, "GET", request.URL().String())
	if err != nil {
		return err
	}
	// API servers before 1.30, and some proxies, speak SPDY only.
	executor, err := remotecommand.NewFallbackExecutor(socket, spdy, func(err error) bool {
		return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)
	})
	if err != nil {
		return err
	}
	stderr := &limited{left: 4096}
	err = executor.StreamWithContext(ctx, remotecommand.StreamOptions{Stdin: stdin, Stdout: stdout, Stderr: stderr})
	var code exec.CodeExitError
	if errors.As(err, &code) {
		text := strings.TrimSpace(stderr.String())
		if strings.Contains(text, "unknown command") {
			return hint.New(fmt.Sprintf("the agent in zone %s is older than this plugin: it does not know the command %q", c.Zone.Name, args[0]), "kubectl aporeto deploy --zone "+c.Zone.Name)
		}
		return fmt.Errorf("%s %s in pod %s of zone %s: exit code %d: %s", agentProgram, args[0], pod, c.Zone.Name, code.Code, text)
	}
	if err != nil {
		return c.Explain(fmt.Errorf("run %s %s in pod %s of zone %s: %w", agentProgram, args[0], pod, c.Zone.Name, err))
	}
	return nil
}

// limited keeps the first left bytes and takes the rest without a word.
type limited struct {
	bytes.Buffer
	left int
}

func (l *limited) Write(p []byte) (int, error) {
	n := min(len(p), l.left)
	l.left -= n
	_, _ = l.Buffer.Write(p[:n]) // never fails
	return len(p), nil
}
