package cli

import (
	"bytes"
	"testing"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/zone"
)

func TestProgress(t *testing.T) {
	zones := []zone.Zone{{Name: "a"}, {Name: "passive"}}
	story := func(p *progress) {
		p.Status(zones[0], "lock", "taking it")
		p.Status(zones[0], "lock", "taking it")
		p.Note(zones[1], "look at this")
		p.Status(zones[1], "control-plane", "0/1 ready:\n Deployment/x")
		p.settle()
		p.say("shared")
	}
	for name, tc := range map[string]struct {
		width func() int
		want  string
	}{
		"no terminal": {nil, "a        lock             taking it\n" +
			"passive  look at this\n" +
			"passive  control-plane    0/1 ready: Deployment/x\n" +
			"shared\n"},
		"terminal": {func() int { return 30 }, "a        lock             ta…\n" + // cut, or it would wrap and count as two
			"\x1b[1A\x1b[Jpassive  look at this\na        lock             ta…\n" +
			"\x1b[1A\x1b[Ja        lock             ta…\npassive  control-plane    0/…\n" +
			"shared\n"},
	} {
		var out bytes.Buffer
		p := newProgress(&out, zones)
		p.width = tc.width
		story(p)
		if out.String() != tc.want {
			t.Errorf("%s:\ngot  %q\nwant %q", name, out.String(), tc.want)
		}
	}
}
