// Package clock reads the two clocks that deadlines of the lease are held to: one that is never set and runs on while the machine
// sleeps, where there is one, and the wall clock. It compares nothing; pkg/lease does.
package clock
