package gateway

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"testing"
)

// writes is a connection that keeps what is written to it, by writes.
type writes struct {
	net.Conn
	all [][]byte
	err error
}

func (w *writes) Write(p []byte) (int, error) {
	w.all = append(w.all, bytes.Clone(p))
	return len(p), w.err
}

func TestTogether(t *testing.T) {
	under, from := &writes{}, newBundles()
	b := &bundled{Conn: under}
	put := func(text string) {
		if n, err := io.WriteString(b, text); n != len(text) || err != nil {
			t.Errorf("%q: %d %v", text, n, err)
		}
	}
	put("a")
	for range 2 {
		if err := b.together(from, func() error { put("b"); put("c"); return nil }); err != nil {
			t.Error(err)
		}
	}
	put("d")
	if err := b.together(from, func() error { return nil }); err != nil {
		t.Error(err)
	}
	if got := string(bytes.Join(under.all, []byte("|"))); got != "a|bc|bc|d" {
		t.Errorf("written %q", got)
	}
	// What failed is told, by whichever failed first, and what was held is not held on.
	mine, theirs := errors.New("mine"), errors.New("theirs")
	under.err = theirs
	if err := b.together(from, func() error { put("e"); return nil }); !errors.Is(err, theirs) {
		t.Error(err)
	}
	if err := b.together(from, func() error { put("f"); return mine }); !errors.Is(err, mine) {
		t.Error(err)
	}
	if n := len(under.all); n != 6 || b.held != nil {
		t.Errorf("%d writes, held %v", n, b.held)
	}
}

// TestTogetherBesideOthers: TLS answers its peer whenever it asks, and nothing is lost, torn or out of order.
func TestTogetherBesideOthers(t *testing.T) {
	under, from := &writes{}, newBundles()
	b := &bundled{Conn: under}
	var wg sync.WaitGroup
	for _, name := range []byte("xy") {
		wg.Go(func() {
			for n := range 1000 {
				_, _ = b.Write([]byte{name, byte(n), byte(n >> 8)})
			}
		})
	}
	for n := range 1000 {
		_ = b.together(from, func() error { _, err := b.Write([]byte{'z', byte(n), byte(n >> 8)}); return err })
	}
	wg.Wait()
	next := map[byte]int{}
	for record := range slices.Chunk(bytes.Join(under.all, nil), 3) {
		if n := int(record[1]) | int(record[2])<<8; n != next[record[0]] {
			t.Fatalf("%c%d came for %d", record[0], n, next[record[0]])
		}
		next[record[0]]++
	}
	if next['x'] != 1000 || next['y'] != 1000 || next['z'] != 1000 {
		t.Errorf("%v", next)
	}
}

// TestBundledBodies pass whole, in pieces of every size.
func TestBundledBodies(t *testing.T) {
	t.Parallel()
	data := bytes.Repeat([]byte("0123456789abcdef-"), 200_000)
	l := newLab(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("length") {
			w.Header().Set("Content-Length", strconv.Itoa(len(data)))
		}
		size, _ := strconv.Atoi(r.URL.Query().Get("piece"))
		for piece := range slices.Chunk(data, size) {
			_, _ = w.Write(piece)
		}
	}))
	l.store.doc.Released = true
	l.run(t)
	eventually(t, "gate open", l.isOpen)
	want := sha256.Sum256(data)
	for _, query := range []string{"length&piece=100", "piece=4096", "length&piece=5000", "piece=70000", "length&piece=4000000"} {
		response, err := protocolClient(t, 1).Get(l.url + "/?" + query)
		if err != nil {
			t.Fatal(err)
		}
		hash := sha256.New()
		n, err := io.Copy(hash, response.Body)
		response.Body.Close()
		if err != nil || [32]byte(hash.Sum(nil)) != want {
			t.Errorf("%s: %d bytes of %d, %v", query, n, len(data), err)
		}
	}
}
