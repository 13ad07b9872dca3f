package mongo

import "testing"

func TestMemberState(t *testing.T) {
	for _, tc := range []struct {
		seen monitored
		want string
	}{
		{monitored{}, Down},
		{monitored{IsMaster: true}, Down}, // it was, when it was last heard of
		{monitored{OK: true, IsMaster: true}, Primary},
		{monitored{OK: true, Secondary: true}, Secondary},
		{monitored{OK: true, Secondary: true, Hidden: true}, Hidden},
		{monitored{OK: true}, Other},
	} {
		if got := tc.seen.state(); got != tc.want {
			t.Errorf("%+v is %s, want %s", tc.seen, got, tc.want)
		}
	}
}
