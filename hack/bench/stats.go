package main

import (
	"math"
	"slices"
)

// spread is what is told of a sample.
type spread struct {
	N      int     `json:"n"`
	Min    float64 `json:"min"`
	Median float64 `json:"median"`
	P99    float64 `json:"p99"`
	Max    float64 `json:"max"`
}

// spreadOf returns the spread of values, zero for none. P99 is the smallest value that at least 99 % of the sample do not exceed; the
// median of an even number is the mean of the two in the middle.
func spreadOf(values []float64) spread {
	if len(values) == 0 {
		return spread{}
	}
	sorted := slices.Sorted(slices.Values(values))
	return spread{N: len(sorted), Min: sorted[0], Median: median(sorted), P99: nearestRank(sorted, 0.99), Max: sorted[len(sorted)-1]}
}

// nearestRank returns the value of sorted that the share q of it does not exceed.
func nearestRank(sorted []float64, q float64) float64 {
	rank := int(math.Ceil(q * float64(len(sorted))))
	return sorted[min(max(rank, 1), len(sorted))-1]
}

// median returns the middle of values, 0 for none.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}
