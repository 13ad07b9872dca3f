package probe

import (
	"crypto/subtle"
	"encoding/json"
	"strings"
	"unicode/utf8"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/zone"
)

// answer is what a gateway says of itself.
type answer struct {
	Environment string `json:"environment"`
	Zone        string `json:"zone"`
	State       string `json:"state"`
	Epoch       int64  `json:"epoch"`
	Nonce       string `json:"nonce"`
}

// judge decides whether body is a gateway's answer to the question that carried nonce. The zone of what it returns is a zone key.
func judge(body []byte, environment, nonce string) (answer, error) {
	if len(body) > maxBody {
		return answer{}, failuref(Malformed, "the answer has more than %d bytes", maxBody)
	}
	var a answer
	if err := json.Unmarshal(body, &a); err != nil {
		return answer{}, failuref(Malformed, "the answer is not a zone's: %w", err)
	}
	switch {
	case a.Environment == "" || a.Zone == "":
		return answer{}, failuref(Malformed, "the answer names no environment or no zone")
	case a.Environment != environment:
		return answer{}, failuref(Environment, "environment %q answered, this is %q", clip(a.Environment, maxQuote), environment)
	case subtle.ConstantTimeCompare([]byte(a.Nonce), []byte(nonce)) != 1:
		return answer{}, failuref(Nonce, "the answer carries another nonce than the question")
	case len(a.State) > maxState || !utf8.ValidString(a.State):
		return answer{}, failuref(Malformed, "the answer's state is malformed")
	}
	if err := zone.ValidateName(a.Zone); err != nil {
		return answer{}, failuref(Malformed, "the answer's zone %q is malformed", clip(a.Zone, maxQuote))
	}
	a.Zone = zone.Key(a.Zone)
	return a, nil
}

// maxState is longer than any state's name; maxQuote is how much of a stranger's word an error quotes.
const (
	maxState = 32
	maxQuote = 64
)

// clip shortens s to at most limit bytes.
func clip(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "") + "…"
}
