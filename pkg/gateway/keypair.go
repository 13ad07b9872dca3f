package gateway

import (
	"crypto/tls"
	"fmt"
	"os"
	"sync"
	"time"
)

// KeyPair is a certificate and key in files, read anew when they change, so that a renewed Secret needs no restart. It is safe for
// concurrent use.
type KeyPair struct {
	certificate, key string

	mu      sync.Mutex
	loaded  *tls.Certificate
	stamp   [2]time.Time
	checked time.Time
}

// keyPairCheck is how old a look at the files may be.
const keyPairCheck = 5 * time.Second

// NewKeyPair returns the pair in the PEM files certificate (with its chain) and key, which may be one file. The key is not encrypted.
func NewKeyPair(certificate, key string) *KeyPair {
	return &KeyPair{certificate: certificate, key: key}
}

// Get returns the pair as the files have it, at most 5 s old. Files that cannot be used after a good load leave that load in place.
func (k *KeyPair) Get() (*tls.Certificate, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	if k.loaded != nil && now.Sub(k.checked) < keyPairCheck {
		return k.loaded, nil
	}
	pair, stamp, err := k.read()
	if err != nil {
		if k.loaded != nil {
			return k.loaded, nil // in the middle of a renewal
		}
		return nil, err
	}
	if pair != nil { // nil: the files are those that were loaded
		k.loaded, k.stamp = pair, stamp
	}
	k.checked = now
	return k.loaded, nil
}

// read returns nil without an error when the files are those that were loaded.
func (k *KeyPair) read() (*tls.Certificate, [2]time.Time, error) {
	var stamp [2]time.Time
	for i, file := range []string{k.certificate, k.key} {
		info, err := os.Stat(file)
		if err != nil {
			return nil, stamp, fmt.Errorf("read certificate: %w", err)
		}
		stamp[i] = info.ModTime()
	}
	if k.loaded != nil && stamp == k.stamp {
		return nil, stamp, nil
	}
	pair, err := tls.LoadX509KeyPair(k.certificate, k.key)
	if err != nil {
		return nil, stamp, fmt.Errorf("read certificate %q: %w", k.certificate, err)
	}
	return &pair, stamp, nil
}
