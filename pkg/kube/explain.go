package kube

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/hint"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/zone"
)

// errUnreachable marks an error that means the API server gave no answer at all: nothing is known of the cluster's state.
var errUnreachable = errors.New("API server unreachable")

// IsUnreachable tells whether err means that the API server gave no answer, as against a refusal.
func IsUnreachable(err error) bool { return errors.Is(err, errUnreachable) }

func explain(z zone.Zone, err error) error {
	switch {
	case err == nil:
		return nil
	case noAnswer(err):
		if !errors.Is(err, errUnreachable) {
			err = fmt.Errorf("%w: %w", errUnreachable, err)
		}
		return hint.Wrap(err, "kubectl --context %s get nodes", z.Context)
	case apierrors.IsUnauthorized(err):
		return hint.Wrap(err, "the cluster does not accept the credentials of context %s: kubectl --context %s auth whoami", z.Context, z.Context)
	case apierrors.IsForbidden(err):
		return hint.Wrap(err, "ask the cluster's administrator for the right; look with: kubectl --context %s -n %s auth can-i --list", z.Context, z.Namespace)
	}
	return err
}

// noAnswer tells a transport's failure from an API server's reply. A deadline of ours counts, a cancellation by the user does not.
func noAnswer(err error) bool {
	if errors.Is(err, errUnreachable) || errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	if errors.Is(err, context.Canceled) {
		return false
	}
	var status apierrors.APIStatus
	if errors.As(err, &status) {
		return false
	}
	var network net.Error
	var address *url.Error
	return errors.As(err, &network) || errors.As(err, &address)
}
