// Command podsecurity tells whether every pod of rendered manifests would be let into a namespace that enforces the
// "restricted" Pod Security Standard. It asks the evaluator that Kubernetes' own admission uses, at its latest version.
//
//	podsecurity FILE...
//
// It fails when a pod would be refused, and when it finds no pod at all.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
	"sigs.k8s.io/yaml"
)

func main() {
	pods, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Printf("podsecurity: %d pod templates, all restricted\n", pods)
}

func run(files []string) (pods int, err error) {
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		return 0, fmt.Errorf("set up Pod Security checks: %w", err)
	}
	level := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
	var problems []error
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return 0, fmt.Errorf("read manifest: %w", err)
		}
		templates, err := podTemplates(data)
		if err != nil {
			return 0, fmt.Errorf("parse manifest %q: %w", file, err)
		}
		for _, t := range templates {
			pods++
			result := policy.AggregateCheckResults(evaluator.EvaluatePod(level, &t.Template.ObjectMeta, &t.Template.Spec))
			if !result.Allowed {
				problems = append(problems, fmt.Errorf("%s: %s %q: %s", file, t.Kind, t.Name, result.ForbiddenDetail()))
			}
		}
	}
	if pods == 0 {
		problems = append(problems, errors.New("no pod templates found: nothing was checked"))
	}
	return pods, errors.Join(problems...)
}

// podTemplate is what an object makes pods from.
type podTemplate struct {
	Kind, Name string
	Template   corev1.PodTemplateSpec
}

// podTemplates finds the pod templates of Deployments, CronJobs and whatever else has one in the same place, and pods.
func podTemplates(manifest []byte) ([]podTemplate, error) {
	var templates []podTemplate
	for document := range bytes.SplitSeq(manifest, []byte("\n---")) {
		var object struct {
			metav1.TypeMeta   `json:",inline"`
			metav1.ObjectMeta `json:"metadata"`
			Spec              struct {
				Template    *corev1.PodTemplateSpec `json:"template"`
				JobTemplate struct {
					Spec struct {
						Template *corev1.PodTemplateSpec `json:"template"`
					} `json:"spec"`
				} `json:"jobTemplate"`
			} `json:"spec"`
		}
		if err := yaml.Unmarshal(document, &object); err != nil {
			return nil, err
		}
		template := object.Spec.Template
		if template == nil {
			template = object.Spec.JobTemplate.Spec.Template
		}
		if object.Kind == "Pod" {
			var pod corev1.Pod
			if err := yaml.Unmarshal(document, &pod); err != nil {
				return nil, err
			}
			template = &corev1.PodTemplateSpec{ObjectMeta: pod.ObjectMeta, Spec: pod.Spec}
		}
		if template != nil {
			templates = append(templates, podTemplate{Kind: object.Kind, Name: object.Name, Template: *template})
		}
	}
	return templates, nil
}
