package kube

import (
	"context"
	"errors"
	"fmt"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	coordination "k8s.io/client-go/kubernetes/typed/coordination/v1"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/hint"
)

// LockName is the Lease in a zone's namespace that one workstation holds while it deploys there.
const LockName = "aporeto-deploy"

const (
	lockDuration = 20 * time.Second // after that long without a renewal a lock is nobody's
	lockRenewal  = 5 * time.Second
	lockCall     = 4 * time.Second
	lockLook     = time.Second // how often somebody else's lock is looked at
)

// ErrLockLost is the cause of a cancelled context whose lock could not be renewed in time, or was taken by somebody else.
var ErrLockLost = errors.New("the deploy lock of the zone was lost")

// Lock is a held LockName Lease.
type Lock struct {
	// TakenFrom names the former holder whose lock had run out; "" when nobody held it.
	TakenFrom string
	// Release stops renewing and deletes the Lease when it still is this lock's. It works after ctx was cancelled, and takes at most the
	// time of one call.
	Release func(ctx context.Context) error
}

// lock is a Lock while it is held.
type lock struct {
	leases    coordination.LeaseInterface
	holder    string
	client    *Client
	report    func(string)
	takenFrom string
	cancel    context.CancelCauseFunc
	ended     chan struct{}
}

// Acquire takes the zone's deploy lock for holder (a name that people recognise and that no two processes share) and keeps renewing it
// until Release. The returned context ends, with a cause that is ErrLockLost, when the lock was lost. A lock whose holder renews it is an
// error that names the holder; one whose holder does not is waited for, and report told so.
func (c *Client) Acquire(ctx context.Context, holder string, report func(string)) (*Lock, context.Context, error) {
	l := &lock{leases: c.clientset.CoordinationV1().Leases(c.Zone.Namespace), holder: holder, client: c, report: report, ended: make(chan struct{})}
	if err := l.take(ctx); err != nil {
		return nil, nil, c.Explain(err)
	}
	held, cancel := context.WithCancelCause(ctx)
	l.cancel = cancel
	go l.renew(held)
	return &Lock{TakenFrom: l.takenFrom, Release: l.release}, held, nil
}

func (l *lock) take(ctx context.Context) error {
	now := metav1.NowMicro()
	spec := l.spec(now)
	spec.AcquireTime = &now
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: LockName}, Spec: spec}
	_, err := l.leases.Create(ctx, lease, metav1.CreateOptions{FieldManager: FieldManager})
	if err == nil {
		return nil
	}
	if !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("take deploy lock: %w", err)
	}
	found, err := l.leases.Get(ctx, LockName, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("read deploy lock: %w", err)
	}
	if former := holderOf(found); former != "" {
		switch err := l.outlive(ctx, found); {
		case apierrors.IsNotFound(err):
			return l.take(ctx)
		case err != nil:
			return err
		}
		l.takenFrom = former
	}
	found.Spec = spec // found's resourceVersion goes along: had anybody renewed meanwhile, this is a conflict
	_, err = l.leases.Update(ctx, found, metav1.UpdateOptions{FieldManager: FieldManager})
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return l.held("somebody who took it at this moment")
	}
	if err != nil {
		return fmt.Errorf("take deploy lock: %w", err)
	}
	return nil
}

// outlive watches a lock until it has run out; that its holder renews it is an error, and that it was given back NotFound. The clocks of two
// workstations differ: one that looks run out is watched for longer than a renewal takes to come, and no lock for longer than it lives.
func (l *lock) outlive(ctx context.Context, found *coordinationv1.Lease) error {
	former := holderOf(found)
	left := min(max(remaining(found, time.Now()), lockRenewal+time.Second), lockDuration)
	l.report(fmt.Sprintf("held by %s: watching for %d s whether it is renewed", former, int(left.Seconds()+0.5)))
	for end := time.Now().Add(left); time.Now().Before(end); {
		if err := pause(ctx, min(lockLook, time.Until(end))); err != nil {
			return err
		}
		now, err := l.leases.Get(ctx, LockName, metav1.GetOptions{})
		switch {
		case err != nil:
			return fmt.Errorf("read deploy lock: %w", err)
		case holderOf(now) != former || !now.Spec.RenewTime.Equal(found.Spec.RenewTime):
			return l.held(holderOf(now))
		}
	}
	return nil
}

func (l *lock) held(by string) error {
	z := l.client.Zone
	return hint.Wrap(fmt.Errorf("another deploy is at work in namespace %q: the lock is held by %s", z.Namespace, by),
		"wait for it to end, then run this again; look with: kubectl --context %s -n %s get lease %s -o yaml", z.Context, z.Namespace, LockName)
}

func (l *lock) spec(now metav1.MicroTime) coordinationv1.LeaseSpec {
	seconds := int32(lockDuration / time.Second)
	return coordinationv1.LeaseSpec{HolderIdentity: &l.holder, LeaseDurationSeconds: &seconds, RenewTime: &now}
}

func (l *lock) renew(ctx context.Context) {
	defer close(l.ended)
	last := time.Now()
	ticker := time.NewTicker(lockRenewal)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		before := time.Now()
		err := l.renewOnce(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			last = before
		case errors.Is(err, ErrLockLost):
			l.cancel(err)
			return
		case time.Since(last) > lockDuration-lockRenewal:
			l.cancel(l.client.Explain(fmt.Errorf("%w: not renewed for %d s: %w", ErrLockLost, int(time.Since(last).Seconds()), err)))
			return
		}
	}
}

func (l *lock) renewOnce(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, lockCall)
	defer cancel()
	found, err := l.leases.Get(ctx, LockName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return fmt.Errorf("%w: Lease %q was deleted", ErrLockLost, LockName)
	}
	if err != nil {
		return err
	}
	if holder := holderOf(found); holder != l.holder {
		return fmt.Errorf("%w: %s has it now", ErrLockLost, holder)
	}
	now := metav1.NowMicro()
	acquired := found.Spec.AcquireTime
	found.Spec = l.spec(now)
	found.Spec.AcquireTime = acquired
	_, err = l.leases.Update(ctx, found, metav1.UpdateOptions{FieldManager: FieldManager})
	return err
}

func (l *lock) release(ctx context.Context) error {
	l.cancel(context.Canceled)
	<-l.ended
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lockCall)
	defer cancel()
	found, err := l.leases.Get(ctx, LockName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err == nil && holderOf(found) != l.holder {
		return nil
	}
	if err == nil {
		err = l.leases.Delete(ctx, LockName, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &found.UID, ResourceVersion: &found.ResourceVersion}})
	}
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		return l.client.Explain(fmt.Errorf("release deploy lock: %w", err))
	}
	return nil
}

func holderOf(lease *coordinationv1.Lease) string {
	if lease.Spec.HolderIdentity == nil {
		return ""
	}
	return *lease.Spec.HolderIdentity
}

// remaining returns how long the lease still holds at now; zero or less when it has run out.
func remaining(lease *coordinationv1.Lease, now time.Time) time.Duration {
	if lease.Spec.RenewTime == nil || lease.Spec.LeaseDurationSeconds == nil {
		return 0
	}
	return lease.Spec.RenewTime.Add(time.Duration(*lease.Spec.LeaseDurationSeconds) * time.Second).Sub(now)
}

// pause waits d or until ctx ends, whose cause it then returns.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
