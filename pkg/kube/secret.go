package kube

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

// Secret is one Secret of the zone's namespace.
type Secret struct {
	Name   string
	Type   string // "" means Opaque
	Labels map[string]string
	Data   map[string][]byte
}

// Object returns the Secret's manifest for namespace.
func (s Secret) Object(namespace string) map[string]any {
	kind := s.Type
	if kind == "" {
		kind = string(corev1.SecretTypeOpaque)
	}
	data := make(map[string]any, len(s.Data))
	for key, value := range s.Data {
		data[key] = base64.StdEncoding.EncodeToString(value)
	}
	metadata := map[string]any{"name": s.Name, "namespace": namespace}
	if len(s.Labels) > 0 {
		labels := make(map[string]any, len(s.Labels))
		for key, value := range s.Labels {
			labels[key] = value
		}
		metadata["labels"] = labels
	}
	return map[string]any{"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": kind, "data": data}
}

// Secrets returns the content of those of the named Secrets that exist in the zone's namespace.
func (c *Client) Secrets(ctx context.Context, names []string) (map[string]map[string][]byte, error) {
	found := map[string]map[string][]byte{}
	for _, name := range names {
		secret, err := c.clientset.CoreV1().Secrets(c.Zone.Namespace).Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return nil, c.Explain(fmt.Errorf("read Secret %q: %w", name, err))
		}
		found[name] = secret.Data
	}
	return found, nil
}

// ApplySecrets puts the Secrets into the zone's namespace that are missing there or differ, and returns the names of these.
func (c *Client) ApplySecrets(ctx context.Context, secrets []Secret) (changed []string, err error) {
	for _, secret := range secrets {
		object := secret.Object(c.Zone.Namespace)
		drift, err := c.drift(ctx, []map[string]any{object}, FieldManager)
		if err != nil {
			return changed, err
		}
		if len(drift) == 0 {
			continue
		}
		if err := c.Apply(ctx, object); err != nil {
			return changed, err
		}
		changed = append(changed, secret.Name)
	}
	return changed, nil
}

// DeleteSecrets removes the Secrets of the zone's namespace that carry all of labels, and returns their names.
func (c *Client) DeleteSecrets(ctx context.Context, labels map[string]string) (deleted []string, err error) {
	secrets := c.clientset.CoreV1().Secrets(c.Zone.Namespace)
	selector := metav1.FormatLabelSelector(&metav1.LabelSelector{MatchLabels: labels})
	list, err := secrets.List(ctx, metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		return nil, c.Explain(fmt.Errorf("list Secrets: %w", err))
	}
	for _, secret := range list.Items {
		if err := secrets.Delete(ctx, secret.Name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			return deleted, c.Explain(fmt.Errorf("delete Secret %q: %w", secret.Name, err))
		}
		deleted = append(deleted, secret.Name)
	}
	return deleted, nil
}

// ParseSecrets reads a stream of YAML documents that are Secrets, as Object made them, and returns their content by name.
func ParseSecrets(data []byte) (map[string]map[string][]byte, error) {
	secrets := map[string]map[string][]byte{}
	documents := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(data)))
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return secrets, nil
		}
		if err != nil {
			return nil, fmt.Errorf("parse Secrets: %w", err)
		}
		var secret corev1.Secret
		if err := yaml.UnmarshalStrict(document, &secret); err != nil {
			return nil, fmt.Errorf("parse Secrets: %w", err)
		}
		if secret.Name != "" {
			secrets[secret.Name] = secret.Data
		}
	}
}
