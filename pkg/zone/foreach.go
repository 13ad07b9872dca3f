package zone

import (
	"context"
	"fmt"
	"strings"
	"sync"
)

// Failure is one zone's error.
type Failure struct {
	Zone Zone
	Err  error
}

// Failures are the errors of a fan-out in the order in which the zones were given.
type Failures []Failure

// Error lists every zone's error, one a line.
func (f Failures) Error() string {
	lines := make([]string, len(f))
	for i, e := range f {
		lines[i] = fmt.Sprintf("zone %s: %v", e.Zone.Name, e.Err)
	}
	return strings.Join(lines, "\n")
}

// Unwrap gives errors.Is and errors.As every zone's error.
func (f Failures) Unwrap() []error {
	errs := make([]error, len(f))
	for i, e := range f {
		errs[i] = e.Err
	}
	return errs
}

// ForEach runs do for every zone, at most limit at a time (all at once when limit < 1), and waits for all of them. An error never
// cancels the other zones; only ctx does. The result is nil or a Failures in the order of zones. A panic in do is the zone's error.
func ForEach(ctx context.Context, zones []Zone, limit int, do func(context.Context, Zone) error) error {
	if limit < 1 {
		limit = len(zones)
	}
	errs := make([]error, len(zones))
	slots := make(chan struct{}, max(limit, 1))
	var wg sync.WaitGroup
	for i, z := range zones {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			defer func() {
				if p := recover(); p != nil {
					errs[i] = fmt.Errorf("internal error: %v", p)
				}
			}()
			if errs[i] = ctx.Err(); errs[i] == nil {
				errs[i] = do(ctx, z)
			}
		})
	}
	wg.Wait()
	var failed Failures
	for i, err := range errs {
		if err != nil {
			failed = append(failed, Failure{Zone: zones[i], Err: err})
		}
	}
	if failed == nil {
		return nil
	}
	return failed
}
