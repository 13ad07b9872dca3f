// Package plan decides: from the environment's zones, their merged values and what was seen of the live state it says what must hold
// before anything is touched, which Secrets and database users a zone needs, and what is to be done with each release.
//
// It is pure: values in, decisions out. It reads no file, cluster or clock, and it does nothing itself (pkg/rollout does).
package plan
