//go:build !linux

package cli

import "errors"

// memoryFile is Linux's alone.
func memoryFile([]byte) (string, error) { return "", errors.ErrUnsupported }
