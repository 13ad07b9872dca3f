package plan

// Action is what is done with one release.
type Action string

// The actions, in the words of reports.
const (
	Install Action = "installed"
	Upgrade Action = "upgraded"
	Recover Action = "recovered" // a pending revision is ended, then upgraded
	Keep    Action = "unchanged"
	Remove  Action = "removed"
	Absent  Action = "absent" // neither wanted nor there
)

// ReleaseState is what is known of one release before anything is done with it.
type ReleaseState struct {
	Wanted   bool // the zone shall have it
	Exists   bool // the cluster's store has a revision
	Pending  bool // its newest revision was begun and not ended
	Deployed bool // its newest revision was ended without an error
	Matches  bool // what is stored is what would be stored
	Drifted  bool // live objects are missing or were edited
}

// Release decides what to do with a release in state s. The caller holds the zone's deploy lock: a pending revision is nobody's work.
func Release(s ReleaseState) Action {
	switch {
	case !s.Wanted && !s.Exists:
		return Absent
	case !s.Wanted:
		return Remove
	case !s.Exists:
		return Install
	case s.Pending:
		return Recover
	case !s.Deployed || !s.Matches || s.Drifted:
		return Upgrade
	}
	return Keep
}
