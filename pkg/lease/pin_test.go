package lease

import (
	"testing"
	"time"
)

func TestPinKeepsTheHolderThoughTheRecordMoves(t *testing.T) {
	r := opened(t)
	r.doc.Pinned = true
	r.intend("b", "a", "b")
	r.wait(time.Minute)
	r.is(Active)
	if r.doc.Closing || r.doc.Epoch != 2 {
		t.Errorf("a pinned lease moved: %+v", r.doc)
	}
	r.doc.Pinned = false
	r.wait(5 * time.Second)
	if r.doc.Epoch == 2 && !r.doc.Closing {
		t.Error("unpinned, it does not follow the record")
	}
}

func TestPinLetsNobodyElseClaim(t *testing.T) {
	for name, doc := range map[string]Document{
		"dead holder":             {Epoch: 4, Holder: "b", Nonce: "x", Open: Open{{ID: "b-1~0", Nonce: "x"}}},
		"released":                {Epoch: 4, Holder: "b", Nonce: "x", Released: true, Closing: true},
		"ordered zone is another": {Epoch: 4, Holder: "b", Nonce: "x", Closing: true, Successor: "c"},
	} {
		t.Run(name, func(t *testing.T) {
			doc.Pinned = true
			r := newRig(t, "a", doc)
			r.intend("a", "a", "b", "c")
			r.wait(time.Minute)
			r.is(Pinned)
			if r.doc.Epoch != 4 {
				t.Fatalf("claimed: %+v", r.doc)
			}
			r.doc.Pinned = false
			r.wait(time.Minute)
			r.is(Active)
		})
	}
}

func TestPinHoldsNeitherItsOwnZoneNorAnOrderBack(t *testing.T) {
	for name, doc := range map[string]Document{
		"its own zone, closed for another": {Epoch: 4, Holder: "a", Nonce: "x", Closing: true, Released: true},
		"ordered successor":                {Epoch: 4, Holder: "b", Nonce: "x", Closing: true, Successor: "a"},
		"never held by anyone":             {Nonce: "x"},
	} {
		t.Run(name, func(t *testing.T) {
			doc.Pinned = true
			r := newRig(t, "a", doc)
			target := "b"
			if doc.Holder == "" {
				target = "a"
			}
			r.intend(target, "a", "b")
			r.wait(20 * time.Second)
			r.is(Active)
		})
	}
}

func TestWritesUnderWayDoNotPassAPin(t *testing.T) {
	doc := Document{Epoch: 4, Holder: "b", Nonce: "x", Pinned: true, Term: DefaultTerm()}
	unpinned := doc
	unpinned.Pinned = false
	for name, w := range map[string]Write{"claim": ClaimWrite(unpinned, "a", "n", doc.Term), "close by intent": CloseWrite(unpinned, "", nil, "n")} {
		if _, applied := w.Apply(doc); applied {
			t.Errorf("%s: applied to a pinned lease", name)
		}
		if _, applied := w.Apply(unpinned); !applied {
			t.Errorf("%s: not applied to a free lease", name)
		}
	}
	for name, w := range map[string]Write{"order": CloseWrite(unpinned, "a", nil, "n"), "own claim": ClaimWrite(unpinned, "b", "n", doc.Term)} {
		if _, applied := w.Apply(doc); !applied {
			t.Errorf("%s: not applied to a pinned lease", name)
		}
	}
}
