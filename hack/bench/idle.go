package main

import (
	"context"
	"time"
)

// idleSpec is how long is looked.
type idleSpec struct {
	Settle time.Duration `json:"-"`
	Time   time.Duration `json:"-"`
}

// idleReplica is one gateway without traffic.
type idleReplica struct {
	Role      string             `json:"role"` // active or passive
	RSS       int64              `json:"rss"`  // bytes, the most that was seen
	Anonymous int64              `json:"anonymous"`
	CPU       float64            `json:"cpu"`        // ms a second
	PerSecond map[string]float64 `json:"operations"` // MongoDB commands a second, by name
	All       float64            `json:"all"`        // all of them
}

// idleResult is the subject's.
type idleResult struct {
	Seconds  float64       `json:"seconds"`
	Replicas []idleReplica `json:"replicas"`
}

const idleIndex = 101

// measureIdle looks at two zones of two gateways that nobody asks anything.
func (l *lab) measureIdle(ctx context.Context, spec idleSpec) (*idleResult, error) {
	result := &idleResult{}
	err := l.withZones(ctx, idleIndex, false, func(ctx context.Context, db *database, e *environment) error {
		l.say("idle: settle for %s, look for %s", spec.Settle, spec.Time)
		if err := sleep(ctx, spec.Settle); err != nil {
			return err
		}
		began := time.Now()
		var all []*replica
		cpu := map[*replica]time.Duration{}
		for z, role := range []string{"active", "passive"} {
			for _, r := range e.zones[z].replicas {
				all, cpu[r] = append(all, r), r.cpu()
				result.Replicas = append(result.Replicas, idleReplica{Role: role, PerSecond: map[string]float64{}})
			}
		}
		for time.Since(began) < spec.Time {
			for i, r := range all {
				rss, anonymous := r.rss()
				result.Replicas[i].RSS, result.Replicas[i].Anonymous = max(result.Replicas[i].RSS, rss), max(result.Replicas[i].Anonymous, anonymous)
			}
			if err := sleep(ctx, time.Second); err != nil {
				return err
			}
		}
		elapsed := time.Since(began).Seconds()
		result.Seconds = elapsed
		seen, err := readTrace(db.trace, began)
		if err != nil {
			return err
		}
		for i, r := range all {
			result.Replicas[i].CPU = millis(r.cpu()-cpu[r]) / elapsed
			for _, c := range seen {
				if c.Client == r.dn {
					result.Replicas[i].PerSecond[operation(c.Name, c.Collection)] += 1 / elapsed
					result.Replicas[i].All += 1 / elapsed
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return result, nil
}

// operation names a command with its collection, where it has one.
func operation(name, collection string) string {
	if collection == "" {
		return name
	}
	return name + " " + collection
}
