package values

import (
	"fmt"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/hint"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/yamledit"
)

// Set returns the values file doc with value at path, and what the file had there before (nil for nothing). Comments, order and every
// line that need not change stay; when the value is there already, doc comes back as it was. Errors begin with name, the file's.
func Set(name string, doc []byte, path Path, value any) (out []byte, old any, err error) {
	old, err = peek(name, doc, path)
	if err != nil {
		return nil, nil, err
	}
	out, err = yamledit.Set(doc, path, value)
	if err != nil {
		return nil, nil, hint.Wrap(fmt.Errorf("%s: key %s: %w", name, path, err), "edit %s by hand; kubectl aporeto value list shows what then holds", name)
	}
	return out, old, nil
}

// Unset returns doc without path, and what was there; found is false, and doc as it was, when nothing was. Maps that this empties go
// too, for an empty map would not mean the same as none.
func Unset(name string, doc []byte, path Path) (out []byte, old any, found bool, err error) {
	old, err = peek(name, doc, path)
	if err != nil {
		return nil, nil, false, err
	}
	out, found, err = yamledit.Unset(doc, path)
	if err != nil {
		return nil, nil, false, hint.Wrap(fmt.Errorf("%s: key %s: %w", name, path, err), "edit %s by hand; kubectl aporeto value list shows what then holds", name)
	}
	return out, old, found, nil
}

func peek(name string, doc []byte, path Path) (any, error) {
	layer, err := ParseLayer(name, doc)
	if err != nil {
		return nil, hint.Wrap(err, "mend the file at that line, or take the last good one from git")
	}
	old, _ := Merge(layer).Lookup(path)
	return old, nil
}
