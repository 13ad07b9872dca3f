package mongotest

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	"github.com/google/renameio/v2"
	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/bson/primitive"
)

// saveDelay is how long changes gather before the file is written.
const saveDelay = 300 * time.Millisecond

// saver writes the data file a moment after a change. The zero interval between
// poke and write is what a crash can lose: this is a test double.
type saver struct {
	poked chan struct{}
	saved atomic.Uint64
}

// poke says that something may have changed. A nil saver saves nothing.
func (v *saver) poke() {
	if v == nil {
		return
	}
	select {
	case v.poked <- struct{}{}:
	default: // one is waiting already
	}
}

// openData reads the data file and starts the saver.
func (s *Standin) openData() error {
	if s.cfg.DataFile == "" {
		return nil
	}
	f, err := os.Open(s.cfg.DataFile)
	switch {
	case errors.Is(err, os.ErrNotExist):
	case err != nil:
		return fmt.Errorf("open data: %w", err)
	default:
		err = s.store.load(f)
		_ = f.Close()
		if err != nil {
			return fmt.Errorf("load data %q: %w", s.cfg.DataFile, err)
		}
		s.replay.restore(s.store)
	}
	s.saver = &saver{poked: make(chan struct{}, 1)}
	s.saver.saved.Store(s.store.changes)
	s.wg.Go(s.saveLoop)
	return nil
}

func (s *Standin) saveLoop() {
	for {
		select {
		case <-s.saver.poked:
		case <-s.ctx.Done():
			return
		}
		if wait(s.ctx, saveDelay) != nil {
			return
		}
		if err := s.save(); err != nil {
			s.log.Error("save", "error", err)
		}
	}
}

func (s *Standin) closeData() error {
	if s.saver == nil {
		return nil
	}
	return s.save()
}

// save writes the whole state beside the file and renames it into place; it
// does nothing when nothing changed.
func (s *Standin) save() error {
	s.mu.Lock()
	frozen, at := s.store.snapshot(), s.store.changes
	s.replay.keep(frozen)
	s.mu.Unlock()
	if at == s.saver.saved.Load() {
		return nil
	}
	f, err := renameio.NewPendingFile(s.cfg.DataFile, renameio.WithPermissions(0o600))
	if err != nil {
		return fmt.Errorf("save data: %w", err)
	}
	defer func() { _ = f.Cleanup() }()
	w := bufio.NewWriter(f)
	if err := frozen.dump(w); err != nil {
		return fmt.Errorf("save data %q: %w", s.cfg.DataFile, err)
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("save data %q: %w", s.cfg.DataFile, err)
	}
	if err := f.CloseAtomicallyReplace(); err != nil {
		return fmt.Errorf("save data %q: %w", s.cfg.DataFile, err)
	}
	s.saver.saved.Store(at)
	return nil
}

// snapshot gives a copy that later changes do not touch. Documents are shared:
// they are never changed in place.
func (s *store) snapshot() *store {
	out := newStore()
	for db, colls := range s.dbs {
		out.dbs[db] = map[string]*collection{}
		for name, c := range colls {
			cp := &collection{store: out, ns: c.ns, uuid: c.uuid, byID: make(map[string]*entry, len(c.byID)), indexes: c.indexes}
			for _, d := range c.docs() {
				e := &entry{doc: d}
				cp.entries = append(cp.entries, e)
				cp.byID[indexKey(d[0].Value)] = e
			}
			out.dbs[db][name] = cp
		}
	}
	return out
}

// dump writes a stream of BSON documents: for each collection a head (ns, uuid,
// indexes, count) and its documents.
func (s *store) dump(w io.Writer) error {
	put := func(d bson.D) error {
		raw, err := bson.Marshal(d)
		if err == nil {
			_, err = w.Write(raw)
		}
		return err
	}
	for db := range s.dbs {
		for _, name := range s.names(db) {
			c := s.dbs[db][name]
			indexes := bson.A{}
			for _, ix := range c.indexes {
				indexes = append(indexes, ix.Raw)
			}
			docs := c.docs()
			head := bson.D{{Key: "db", Value: db}, {Key: "collection", Value: name}, {Key: "uuid", Value: c.uuid},
				{Key: "indexes", Value: indexes}, {Key: "count", Value: int64(len(docs))}}
			if err := put(head); err != nil {
				return err
			}
			for _, d := range docs {
				if err := put(d); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// load reads what dump wrote.
func (s *store) load(r io.Reader) error {
	br := bufio.NewReader(r)
	for {
		head, err := readDocument(br)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		field := func(key string) any { v, _ := lookupField(head, key); return v }
		ns := namespace{text(field("db")), text(field("collection"))}
		c := s.ensure(ns)
		if id, ok := field("uuid").(primitive.Binary); ok {
			c.uuid = id
		}
		n, _ := asInt(field("count"))
		for range n {
			d, err := readDocument(br)
			if err != nil {
				return fmt.Errorf("%s: %w", ns, err)
			}
			c.put(d)
		}
		indexes, _ := field("indexes").(bson.A)
		for _, v := range indexes {
			if spec, ok := v.(bson.D); ok {
				if err := c.addIndex(spec); err != nil {
					return err
				}
			}
		}
	}
}

func readDocument(r *bufio.Reader) (bson.D, error) {
	size, err := r.Peek(4)
	if err != nil {
		if len(size) > 0 {
			return nil, io.ErrUnexpectedEOF
		}
		return nil, err
	}
	n := int(int32(binary.LittleEndian.Uint32(size))) //nolint:gosec // signed by format
	if n < 5 || n > maxDocument+docSlack {
		return nil, malformed("document of %d bytes", n)
	}
	raw, err := readBounded(r, n)
	if err != nil {
		return nil, err
	}
	budget := maxElements
	d, _, err := takeDocument(raw, &budget)
	return d, err
}
