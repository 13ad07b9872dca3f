package gateway

import (
	"net"
	"sync"
)

// bundling is a listener whose connections can bundle.
type bundling struct{ net.Listener }

// Accept is net.Listener's.
func (l bundling) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &bundled{Conn: conn}, nil
}

// bundled is a client's connection below TLS, on which what is written together goes out together: TLS writes every record by itself, of
// 16 KiB at most and of one packet's size at first, and each of them costs a system call here and wakes the client there.
type bundled struct {
	net.Conn
	mu   sync.Mutex // TLS may answer its peer while an answer is written
	held *[]byte    // nil: nothing is held back
}

// bundles keeps what is held back. A body comes in pieces of bufferSize; the rest is for TLS's own bytes, and grows when need be.
type bundles struct{ pool sync.Pool }

func newBundles() *bundles {
	return &bundles{sync.Pool{New: func() any { held := make([]byte, 0, bufferSize+4<<10); return &held }}}
}

// together has what write writes go out at once. Only one goroutine may ask for it.
func (b *bundled) together(from *bundles, write func() error) error {
	held, _ := from.pool.Get().(*[]byte)
	b.mu.Lock()
	b.held = held
	b.mu.Unlock()
	err := write()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.held = nil
	if len(*held) > 0 {
		if _, sent := b.Conn.Write(*held); err == nil {
			err = sent
		}
	}
	*held = (*held)[:0]
	from.pool.Put(held)
	return err
}

// Write is net.Conn's.
func (b *bundled) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.held == nil {
		return b.Conn.Write(p)
	}
	*b.held = append(*b.held, p...)
	return len(p), nil
}
