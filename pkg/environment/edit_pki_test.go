package environment

import (
	"slices"
	"strings"
	"testing"
)

func TestSetRecipientsAndGeneration(t *testing.T) {
	const head = "apiVersion: aporeto.io/v1alpha1\nkind: Environment\nid: 6b1c0f1e-7a52-4a55-9d0c-2f1a3f3f7b11 # never change\n"
	for name, in := range map[string]string{
		"new":   string(New("6b1c0f1e-7a52-4a55-9d0c-2f1a3f3f7b11")),
		"flow":  head + "recipients: [] # admins\ncertificates: {generation: 9} # counts\nzones: []\n",
		"block": head + "\n# admins\nrecipients:\n- age1old # me\n\ncertificates:\n    # counts\n    generation: 9\nzones: []\n",
	} {
		t.Run(name, func(t *testing.T) {
			out, err := SetRecipients([]byte(in), []string{"age1a", "age1b"})
			if err != nil {
				t.Fatal(err)
			}
			if out, err = SetCertificateGeneration(out, 12); err != nil {
				t.Fatal(err)
			}
			env, err := Parse(out)
			if err != nil || !slices.Equal(env.Recipients, []string{"age1a", "age1b"}) || env.CertificateGeneration != 12 {
				t.Errorf("read back %+v, %v from:\n%s", env, err, out)
			}
			for line := range strings.Lines(in) {
				if _, comment, ok := strings.Cut(line, "#"); ok && !strings.Contains(line, "age1old") && !strings.Contains(string(out), comment) {
					t.Errorf("the comment %q is gone from:\n%s", comment, out)
				}
			}
		})
	}
}
