// Package lease is the protocol that lets one zone at a time serve: a state machine, pure. Observations and replies with their times go
// in, reads and conditional writes come out; pkg/gateway drives it and pkg/mongo stores the document.
//
// Invariant: a gate is open only while this replica's own renewal, counted from before it was sent, is younger than the term; and a
// zone claims only when every such renewal of the former holder must have run out, whatever the clocks' rates within ρ.
// The source of the protocol is docs/failover.md.
package lease

import "time"

// Term holds the constants that one epoch runs under. They are written at a claim and hold until the next one, so that everyone who
// waits for an epoch to end waits by the constants its holder runs by.
type Term struct {
	T   time.Duration `bson:"t" json:"t"`     // how long one renewal keeps a gate open
	R   time.Duration `bson:"r" json:"r"`     // between two renewals of a replica
	P   time.Duration `bson:"p" json:"p"`     // between two looks at the document
	C   time.Duration `bson:"c" json:"c"`     // time limit of one operation
	J   time.Duration `bson:"j" json:"j"`     // time to cut what is under way once a gate is fenced
	D   time.Duration `bson:"d" json:"d"`     // how recently an intent must have been confirmed to count
	Rho float64       `bson:"rho" json:"rho"` // bound on the error of a clock's rate
}

// DefaultTerm is for zones some ten milliseconds from their database.
func DefaultTerm() Term {
	return Term{T: 8 * time.Second, R: 2 * time.Second, P: time.Second, C: 1500 * time.Millisecond, J: 500 * time.Millisecond, D: 15 * time.Second, Rho: 0.01}
}

// CalmTerm is for slow or lossy links: fewer false alarms, slower takeovers.
func CalmTerm() Term {
	return Term{T: 20 * time.Second, R: 3 * time.Second, P: 2 * time.Second, C: 2 * time.Second, J: 500 * time.Millisecond, D: 30 * time.Second, Rho: 0.01}
}

// Wait returns W, how long a document must have stayed unchanged on the observer's clock before its holder is surely fenced:
// (T+J)(1+ρ)/(1−ρ), for a holder whose clock is slow by ρ and an observer whose clock is fast by ρ.
func (t Term) Wait() time.Duration {
	return time.Duration(float64(t.T+t.J) * (1 + t.Rho) / (1 - t.Rho))
}

// usable tells whether an epoch can run under t. A document that somebody edited may hold anything; W, above all, must never be too short.
func (t Term) usable() bool {
	return t.T > 0 && t.R > 0 && t.P > 0 && t.C > 0 && t.J >= 0 && t.D > 0 && t.Rho >= 0 && t.Rho < 1
}

// grace is how long a replica goes on serving after it first sees a close, so that the successor notices it and polls fast.
func (t Term) grace() time.Duration { return t.P + t.P/4 }

// Time is one reading of a machine's two clocks, each counted from an origin of its own. Clocks of two machines never meet.
type Time struct {
	Mono time.Duration // CLOCK_BOOTTIME where there is one: never set, runs on while the machine sleeps
	Wall time.Duration // the wall clock, which can be stepped
}

// Add returns both readings d later.
func (t Time) Add(d time.Duration) Time { return Time{Mono: t.Mono + d, Wall: t.Wall + d} }

// Passed tells whether deadline is over at t by either clock: whichever ran further wins, so that a pause or a step can only close.
func (t Time) Passed(deadline Time) bool { return t.Mono >= deadline.Mono || t.Wall >= deadline.Wall }
