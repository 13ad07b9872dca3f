package values

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/hint"
)

// Path is a key of a values tree, one element a step: a string for a map's key, an int for a list's index (from 0).
type Path []any

// ParsePath reads the form in which keys are typed: steps parted by dots, `\.` for a dot within a step, `[0]` for a list's index.
//
//	gateway.service.annotations.example\.com/type
//	services.squall.routes[0].host
func ParsePath(key string) (Path, error) {
	bad := func(why string) error {
		return hint.Wrap(fmt.Errorf("key %q: %s", key, why), `keys look like gateway.replicas, services.NAME.routes[0].host, or global.public.a\.b for a dot within a name`)
	}
	var path Path
	var step strings.Builder
	open := false // whether a map's key is being read, so that an empty one can be told from none
	flush := func() error {
		if step.Len() == 0 {
			return bad("empty step")
		}
		path = append(path, step.String())
		step.Reset()
		return nil
	}
	open = true
	for i := 0; i < len(key); i++ {
		switch c := key[i]; c {
		case '\\':
			if i+1 == len(key) {
				return nil, bad("ends in a backslash")
			}
			i++
			step.WriteByte(key[i])
		case '.':
			if open {
				if err := flush(); err != nil {
					return nil, err
				}
			}
			open = true
		case '[':
			if open {
				if err := flush(); err != nil {
					return nil, err
				}
			}
			open = false
			end := strings.IndexByte(key[i:], ']')
			if end < 0 {
				return nil, bad("[ without ]")
			}
			n, err := strconv.ParseUint(key[i+1:i+end], 10, 16)
			if err != nil {
				return nil, bad("a list's index is a number from 0")
			}
			path = append(path, int(n))
			i += end
		default:
			if !open {
				return nil, bad("after ] comes a dot or another [")
			}
			step.WriteByte(c)
		}
	}
	if open {
		if err := flush(); err != nil {
			return nil, err
		}
	}
	return path, nil
}

// String is the inverse of ParsePath.
func (p Path) String() string {
	var b strings.Builder
	escapes := strings.NewReplacer(`\`, `\\`, `.`, `\.`, `[`, `\[`)
	for i, step := range p {
		switch s := step.(type) {
		case int:
			fmt.Fprintf(&b, "[%d]", s)
		case string:
			if i > 0 {
				b.WriteByte('.')
			}
			b.WriteString(escapes.Replace(s))
		}
	}
	return b.String()
}

// with returns p with more steps, never sharing memory with p.
func (p Path) with(steps ...any) Path {
	return append(append(make(Path, 0, len(p)+len(steps)), p...), steps...)
}
