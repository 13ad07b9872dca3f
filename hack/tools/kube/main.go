// Command kube is a whole Kubernetes in one binary, for hack/sandbox:
//
//	kube etcd|kube-apiserver|kube-controller-manager|kube-scheduler|kubelet|kube-proxy|kubectl [FLAG...]
//	kube pki|ready [FLAG...]
//
// The component is chosen by the name the binary was called by (a symlink) or else by the first argument. All of them are
// the upstream components; only etcd's few flags, pki and ready are this program's own. Nothing here is for production.
package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	_ "time/tzdata" // the nodes have no time zone files, a CronJob may name a zone

	_ "k8s.io/client-go/plugin/pkg/client/auth"
	"k8s.io/component-base/cli"
	"k8s.io/component-base/logs"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	kubectlcmd "k8s.io/kubectl/pkg/cmd"
	kubectlutil "k8s.io/kubectl/pkg/cmd/util"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	kcm "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

func main() {
	table := components()
	name := filepath.Base(os.Args[0])
	if _, ok := table[name]; !ok && len(os.Args) > 1 {
		name = os.Args[1]
		os.Args = append([]string{name}, os.Args[2:]...) // the components parse os.Args themselves
	}
	run, ok := table[name]
	if !ok {
		fmt.Fprintf(os.Stderr, "usage: kube %s [FLAG...]\n", strings.Join(slices.Sorted(maps.Keys(table)), "|"))
		os.Exit(2)
	}
	os.Exit(run())
}

// components maps a component's name to the function that runs it. Each builds its cobra command only when it is the
// chosen one: several register global flags and feature gates, and two of them in one process clash.
func components() map[string]func() int {
	return map[string]func() int{
		"etcd":                    func() int { return cli.Run(newEtcdCommand()) },
		"kube-apiserver":          func() int { return cli.Run(apiserver.NewAPIServerCommand()) },
		"kube-controller-manager": func() int { return cli.Run(kcm.NewControllerManagerCommand()) },
		"kube-scheduler":          func() int { return cli.Run(scheduler.NewSchedulerCommand()) },
		"kubelet":                 func() int { return cli.Run(kubelet.NewKubeletCommand(context.Background())) },
		"kube-proxy":              func() int { return cli.Run(proxy.NewProxyCommand()) },
		"kubectl":                 runKubectl,
		"pki":                     func() int { return cli.Run(newPKICommand()) },
		"ready":                   func() int { return cli.Run(newReadyCommand()) },
	}
}

// runKubectl is upstream's cmd/kubectl: the log level must be set before the command is built.
func runKubectl() int {
	logs.GlogSetter(kubectlcmd.GetLogVerbosity(os.Args)) //nolint:errcheck // as upstream: a bad -v is reported by the flag parser
	if err := cli.RunNoErrOutput(kubectlcmd.NewDefaultKubectlCommand()); err != nil {
		kubectlutil.CheckErr(err)
	}
	return 0
}
