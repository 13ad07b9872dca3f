package kube

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	k8stesting "k8s.io/client-go/testing"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/hint"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/zone"
)

func fakeClient(objects ...runtime.Object) (*Client, *fake.Clientset) {
	set := fake.NewClientset(objects...)
	return &Client{Zone: zone.Zone{Name: "east", Context: "ctx", Namespace: "ns"}, clientset: set}, set
}

func lease(holder string, renewed time.Time) *coordinationv1.Lease {
	seconds, at := int32(20), metav1.NewMicroTime(renewed)
	return &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: LockName, Namespace: "ns"},
		Spec: coordinationv1.LeaseSpec{HolderIdentity: &holder, LeaseDurationSeconds: &seconds, RenewTime: &at}}
}

func present(t *testing.T, set *fake.Clientset) *coordinationv1.Lease {
	t.Helper()
	found, err := set.CoordinationV1().Leases("ns").Get(context.Background(), LockName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestLockIsTakenRenewedReleased(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, set := fakeClient()
		lock, held, err := client.Acquire(t.Context(), "me", func(string) {})
		if err != nil {
			t.Fatal(err)
		}
		first := present(t, set)
		if holderOf(first) != "me" || lock.TakenFrom != "" {
			t.Fatalf("lease %+v, taken from %q", first.Spec, lock.TakenFrom)
		}
		time.Sleep(3 * lockDuration)
		if held.Err() != nil {
			t.Fatalf("lost while nobody took it: %v", context.Cause(held))
		}
		if remaining(present(t, set), time.Now()) < lockDuration-2*lockRenewal {
			t.Error("it was not renewed")
		}
		if !first.Spec.AcquireTime.Equal(present(t, set).Spec.AcquireTime) {
			t.Error("renewing changed the time of acquisition")
		}
		if err := lock.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		if found := present(t, set); found != nil {
			t.Errorf("still there: %+v", found.Spec)
		}
	})
}

func TestLockOfOthers(t *testing.T) {
	for name, tc := range map[string]struct {
		renewedAgo time.Duration    // by our clock
		renews     time.Duration    // after how long its holder does, 0 for never
		ends       bool             // it gives the lock back instead
		meanwhile  bool             // somebody updates the lock right before we do
		takes      [2]time.Duration // how long, when it is taken
		refused    bool
	}{
		"held":                               {renewedAgo: time.Second, renews: 4 * time.Second, refused: true},
		"held, and given back":               {renewedAgo: time.Second, renews: 4 * time.Second, ends: true, takes: [2]time.Duration{4 * time.Second, 5 * time.Second}},
		"its holder is dead":                 {renewedAgo: 3 * time.Second, takes: [2]time.Duration{17 * time.Second, 18 * time.Second}},
		"run out":                            {renewedAgo: time.Minute, takes: [2]time.Duration{lockRenewal, lockRenewal + 2*time.Second}},
		"looks run out, is alive":            {renewedAgo: time.Minute, renews: 5 * time.Second, refused: true},
		"taken by a third right before us":   {renewedAgo: time.Minute, meanwhile: true, refused: true},
		"a clock ahead of ours":              {renewedAgo: -time.Hour, renews: 4 * time.Second, refused: true},
		"a clock ahead of ours, holder dead": {renewedAgo: -time.Hour, takes: [2]time.Duration{lockDuration, lockDuration + time.Second}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, set := fakeClient(lease("bob@laptop", time.Now().Add(-tc.renewedAgo)))
				if tc.meanwhile {
					// What the API server answers to an update that names an older resourceVersion; the fake keeps none.
					set.PrependReactor("update", "leases", func(k8stesting.Action) (bool, runtime.Object, error) {
						return true, nil, apierrors.NewConflict(coordinationv1.Resource("leases"), LockName, errors.New("modified"))
					})
				}
				if tc.renews > 0 {
					go func() {
						time.Sleep(tc.renews)
						leases, err := set.CoordinationV1().Leases("ns"), error(nil)
						if tc.ends {
							err = leases.Delete(context.Background(), LockName, metav1.DeleteOptions{})
						} else {
							_, err = leases.Update(context.Background(), lease("bob@laptop", time.Now().Add(-tc.renewedAgo)), metav1.UpdateOptions{})
						}
						if err != nil {
							t.Error(err)
						}
					}()
				}
				began, reports := time.Now(), []string(nil)
				lock, _, err := client.Acquire(t.Context(), "me", func(text string) { reports = append(reports, text) })
				if len(reports) != 1 || !strings.Contains(reports[0], "held by bob@laptop") {
					t.Errorf("reported %q", reports)
				}
				if tc.refused {
					if err == nil || hint.Of(err) == "" {
						t.Fatalf("got %v, hint %q", err, hint.Of(err))
					}
					if !tc.meanwhile && !strings.Contains(err.Error(), "bob@laptop") {
						t.Errorf("the holder is not named: %v", err)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if took := time.Since(began); took < tc.takes[0] || took > tc.takes[1] {
					t.Errorf("it took %v", took)
				}
				if (lock.TakenFrom == "bob@laptop") == tc.ends || holderOf(present(t, set)) != "me" {
					t.Errorf("taken from %q, held by %q", lock.TakenFrom, holderOf(present(t, set)))
				}
				if err := lock.Release(t.Context()); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestLockIsLost(t *testing.T) {
	var gone atomic.Bool
	for name, hurt := range map[string]func(*testing.T, *fake.Clientset){
		"taken by somebody": func(t *testing.T, set *fake.Clientset) {
			if _, err := set.CoordinationV1().Leases("ns").Update(context.Background(), lease("bob", time.Now()), metav1.UpdateOptions{}); err != nil {
				t.Fatal(err)
			}
		},
		"deleted": func(t *testing.T, set *fake.Clientset) {
			if err := set.CoordinationV1().Leases("ns").Delete(context.Background(), LockName, metav1.DeleteOptions{}); err != nil {
				t.Fatal(err)
			}
		},
		"API server gone": func(*testing.T, *fake.Clientset) { gone.Store(true) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, set := fakeClient()
				gone.Store(false)
				// Before anything runs: the fake's list of reactors is not guarded.
				set.PrependReactor("get", "leases", func(k8stesting.Action) (bool, runtime.Object, error) {
					return gone.Load(), nil, context.DeadlineExceeded
				})
				lock, held, err := client.Acquire(t.Context(), "me", func(string) {})
				if err != nil {
					t.Fatal(err)
				}
				hurt(t, set)
				time.Sleep(lockDuration + lockRenewal)
				if !errors.Is(context.Cause(held), ErrLockLost) {
					t.Errorf("cause %v", context.Cause(held))
				}
				_ = lock.Release(t.Context())
				if name == "taken by somebody" && holderOf(present(t, set)) != "bob" {
					t.Error("released somebody else's lock")
				}
			})
		})
	}
}
