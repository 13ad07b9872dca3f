package gateway

import (
	"crypto/x509"
	"fmt"
	"os"
	"sync"
	"time"
)

// CAFile is a file of PEM certificates, read anew when it changes. It is safe for concurrent use.
type CAFile struct {
	file string

	mu      sync.Mutex
	loaded  *x509.CertPool
	stamp   time.Time
	checked time.Time
}

// NewCAFile returns the certificates of file.
func NewCAFile(file string) *CAFile { return &CAFile{file: file} }

// Get returns the file's certificates, at most 5 s old. A file that cannot be used after a good load leaves that load in place.
func (c *CAFile) Get() (*x509.CertPool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if c.loaded != nil && now.Sub(c.checked) < keyPairCheck {
		return c.loaded, nil
	}
	pool, stamp, err := c.read()
	if err != nil && c.loaded == nil {
		return nil, err
	}
	if err == nil {
		c.loaded, c.stamp, c.checked = pool, stamp, now
	}
	return c.loaded, nil // in the middle of a renewal, the former ones
}

func (c *CAFile) read() (*x509.CertPool, time.Time, error) {
	info, err := os.Stat(c.file)
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("read CAs: %w", err)
	}
	if c.loaded != nil && info.ModTime().Equal(c.stamp) {
		return c.loaded, c.stamp, nil
	}
	pem, err := os.ReadFile(c.file)
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("read CAs: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, time.Time{}, fmt.Errorf("read CAs %q: no certificate in it", c.file)
	}
	return pool, info.ModTime(), nil
}
