// Package kubetest is the part of an API server and a kubelet that tests of pods/exec need: a list of pods, and commands that run as Go
// functions over a real WebSocket stream (v5.channel.k8s.io), as kubectl speaks it. It does not check who asks.
package kubetest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/streaming/pkg/httpstream/wsstream"
)

// Command is what runs in a pod; it returns the exit code. ctx ends with the connection.
type Command func(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int

// Pods answers the list of a namespace's pods with one ready pod of each name.
func Pods(names ...string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		list := corev1.PodList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "PodList"}}
		for _, name := range names {
			list.Items = append(list.Items, corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: corev1.PodStatus{
				Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
			}})
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(list) // the client sees a short answer
	})
}

// Channels of the protocol.
const (
	stdin = iota
	stdout
	stderr
	status
	resize
	channels
)

// Exec answers pods/exec by running command.
func Exec(command Command) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		types := make([]wsstream.ChannelType, channels)
		types[stdin], types[resize] = wsstream.ReadChannel, wsstream.ReadChannel
		types[stdout], types[stderr], types[status] = wsstream.WriteChannel, wsstream.WriteChannel, wsstream.WriteChannel
		conn := wsstream.NewConn(map[string]wsstream.ChannelProtocolConfig{"v5.channel.k8s.io": {Binary: true, Channels: types}})
		_, streams, err := conn.Open(w, r)
		if err != nil {
			return // the client has its answer
		}
		defer func() { _ = conn.Close() }() // the command is over
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		code := command(ctx, r.URL.Query()["command"], streams[stdin], streams[stdout], streams[stderr])
		_ = json.NewEncoder(streams[status]).Encode(result(code)) // nobody is left to tell
	})
}

func result(code int) metav1.Status {
	if code == 0 {
		return metav1.Status{Status: metav1.StatusSuccess}
	}
	return metav1.Status{Status: metav1.StatusFailure, Reason: "NonZeroExitCode", Message: fmt.Sprintf("command terminated with exit code %d", code),
		Details: &metav1.StatusDetails{Causes: []metav1.StatusCause{{Type: "ExitCode", Message: strconv.Itoa(code)}}}}
}
