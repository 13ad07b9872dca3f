package lease

import (
	"encoding/binary"
	"hash/maphash"
	"slices"
	"time"
)

// key identifies a state up to the names of its nonces and ids, which are numbered by first appearance, and up to how long ago what no
// longer matters was.
func (x *explorer) key(s *exState) [2]uint64 {
	k := keyer{b: x.buf[:0], names: append(x.names[:0], "")}
	defer func() { x.buf, x.names = k.b, k.names }()
	k.int(int64(s.tick))
	k.bool(s.begun)
	k.int(int64(s.left))
	k.document(&s.doc)
	for n := range s.nodes {
		k.machine(s.nodes[n].m, x.now(s, n))
		k.int(int64(max(s.nodes[n].cutTill-s.tick, 0)))
		k.bool(s.nodes[n].deaf)
	}
	for i := range s.flight {
		r := &s.flight[i]
		m := s.nodes[r.node].m
		k.int(int64(r.node))
		k.int(int64(r.fate))
		k.bool(r.read)
		k.int(int64(r.sent))
		k.bool(r.seq == m.reading || m.writing != nil && m.writing.seq == r.seq)
		k.bool(r.seq > m.missed)
		if r.read {
			k.int(int64(len(r.docs)))
			for i := range r.docs {
				k.document(&r.docs[i])
			}
			continue
		}
		k.write(&r.write)
		if r.fate == delayed {
			k.int(int64(r.reply.Outcome))
			k.document(&r.reply.Doc)
		}
	}
	return [2]uint64{maphash.Bytes(keySeeds[0], k.b), maphash.Bytes(keySeeds[1], k.b)}
}

var keySeeds = [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}

type keyer struct {
	b     []byte
	names []string
}

func (k *keyer) int(v int64) { k.b = binary.AppendVarint(k.b, v) }

func (k *keyer) bool(v bool) {
	if v {
		k.b = append(k.b, 1)
	} else {
		k.b = append(k.b, 0)
	}
}

func (k *keyer) name(s string) {
	n := slices.Index(k.names, s)
	if n < 0 {
		n = len(k.names)
		k.names = append(k.names, s)
	}
	k.b = append(k.b, byte(n))
}

// text is a string whose value matters: a zone's key.
func (k *keyer) text(s string) { k.b = append(append(k.b, s...), 0) }

func (k *keyer) open(o Open) {
	k.int(int64(len(o)))
	for _, e := range o {
		k.name(e.ID)
		k.name(e.Nonce)
	}
}

func (k *keyer) document(d *Document) {
	k.int(d.Epoch)
	k.text(d.Holder)
	k.name(d.Nonce)
	k.open(d.Open)
	k.bool(d.Closing)
	k.bool(d.Released)
	k.bool(d.Override)
	k.bool(d.Pinned)
	k.text(d.Successor)
	k.int(int64(len(d.Basis)))
}

func (k *keyer) write(w *Write) {
	k.text(string(w.Kind))
	k.int(w.Match.Epoch)
	for _, s := range []*string{w.Match.Nonce, w.Change.Nonce} {
		if s != nil {
			k.name(*s)
		}
	}
	if w.Match.Open != nil {
		k.open(*w.Match.Open)
	}
	if w.Match.Entry != nil {
		k.name(w.Match.Entry.ID)
		k.name(w.Match.Entry.Nonce)
	}
	if w.Change.Put != nil {
		k.name(w.Change.Put.ID)
	}
	k.int(int64(len(w.Change.Drop)))
	for _, id := range w.Change.Drop {
		k.name(id)
	}
	k.bool(w.Change.Epoch != nil)
	k.bool(w.Change.Released != nil)
}

// ago is how long since t, at the most limit.
func (k *keyer) ago(now, t, limit time.Duration) { k.int(int64(min(now-t, limit))) }

// due is how long until t, nothing when it is over.
func (k *keyer) due(now, t time.Duration) { k.int(int64(max(t-now, 0))) }

func (k *keyer) machine(m *Machine, now Time) {
	k.int(int64(m.phase))
	k.bool(m.known)
	k.document(&m.doc)
	w := 3 * m.cfg.Term.Wait()
	k.ago(now.Mono, m.changedAt, w)
	for _, at := range m.entryAt {
		k.ago(now.Mono, at, w)
	}
	for _, i := range m.intents.known {
		k.bool(i.fresh)
		k.int(i.Confirmed)
		k.ago(now.Mono, i.since, m.cfg.Term.D+1)
		k.ago(now.Mono, i.confirmed, m.cfg.Term.D+1)
	}
	k.ago(now.Mono, m.intents.at, m.cfg.Term.D+1)
	k.name(m.id)
	if m.phase != closed {
		k.int(m.epoch)
		k.due(now.Mono, m.deadline.Mono+m.cfg.Term.J)
		k.due(now.Mono, m.drainAt.Mono)
		k.bool(m.drainAt == (Time{}))
		k.due(now.Mono, m.cutAt.Mono)
	}
	k.bool(m.reading != 0)
	k.ago(now.Mono, m.readAt, w)
	k.bool(m.lookAgain)
	for _, s := range []*sent{m.writing, m.unsure} {
		k.bool(s != nil)
		if s != nil {
			k.write(&s.write)
			k.name(s.id)
			k.ago(now.Mono, s.at.Mono, w)
		}
	}
	k.bool(m.missed != 0)
	k.int(int64(min(m.failures, 3)))
	k.due(now.Mono, m.nextRead)
	k.due(now.Mono, m.nextRenew)
	k.due(now.Mono, m.nextWrite)
}
