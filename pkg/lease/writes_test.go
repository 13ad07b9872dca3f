package lease

import (
	"reflect"
	"testing"
)

// base is a document with two replicas of zone a open in epoch 5, after an operator's order.
func base() Document {
	return Document{
		Epoch: 5, Holder: "a", Nonce: "n2", Open: Open{{"a1", "n1"}, {"a2", "n2"}}, Override: true,
		Basis: map[string]int64{"a": 3, "b": 4}, Term: DefaultTerm(),
	}
}

func with(change func(*Document)) Document {
	doc := base()
	change(&doc)
	return doc
}

func closing(d *Document)  { d.Closing, d.Override, d.Basis = true, false, map[string]int64{} }
func released(d *Document) { d.Closing, d.Released, d.Open = true, true, Open{} }

func TestWritesChange(t *testing.T) {
	order := map[string]int64{"a": 7, "b": 8}
	calm := CalmTerm()
	for _, c := range []struct {
		name  string
		doc   Document
		write Write
		want  func(*Document)
	}{
		{"renew", base(), RenewWrite(5, "a", "a1", "n3", nil), func(d *Document) { d.Nonce, d.Open = "n3", Open{{"a1", "n3"}, {"a2", "n2"}} }},
		{"renew a new name, dropping an ended one", base(), RenewWrite(5, "a", "a3", "n3", []string{"a1"}), func(d *Document) { d.Nonce, d.Open = "n3", Open{{"a2", "n2"}, {"a3", "n3"}} }},
		{"claim", base(), ClaimWrite(base(), "b", "n3", calm), func(d *Document) {
			*d = Document{Epoch: 6, Holder: "b", Nonce: "n3", Open: Open{}, Basis: map[string]int64{}, Term: calm}
		}},
		{"claim of a closing document", with(closing), ClaimWrite(with(closing), "b", "n3", calm), func(d *Document) {
			*d = Document{Epoch: 6, Holder: "b", Nonce: "n3", Open: Open{}, Basis: map[string]int64{}, Term: calm}
		}},
		{"claim of a released document", with(released), ClaimWrite(with(released), "a", "n3", calm), func(d *Document) {
			*d = Document{Epoch: 6, Holder: "a", Nonce: "n3", Open: Open{}, Basis: map[string]int64{}, Term: calm}
		}},
		{"claim by the successor keeps its order", with(func(d *Document) { d.Closing, d.Successor, d.Basis = true, "b", order }),
			ClaimWrite(with(func(d *Document) { d.Closing, d.Successor, d.Basis = true, "b", order }), "b", "n3", calm), func(d *Document) {
				*d = Document{Epoch: 6, Holder: "b", Nonce: "n3", Open: Open{}, Override: true, Basis: order, Term: calm}
			}},
		{"claim by another than the successor ends the order", with(func(d *Document) { d.Closing, d.Successor, d.Basis = true, "b", order }),
			ClaimWrite(with(func(d *Document) { d.Closing, d.Successor, d.Basis = true, "b", order }), "c", "n3", calm), func(d *Document) {
				*d = Document{Epoch: 6, Holder: "c", Nonce: "n3", Open: Open{}, Basis: map[string]int64{}, Term: calm}
			}},
		{"appointment", with(released), AppointWrite(with(released), "b", order, "n3"), func(d *Document) {
			*d = Document{Epoch: 6, Holder: "b", Nonce: "n3", Open: Open{}, Override: true, Basis: order, Term: d.Term}
		}},
		{"automatic close", base(), CloseWrite(base(), "", nil, "n3"), closing},
		{"planned close", base(), CloseWrite(base(), "b", order, "n3"), func(d *Document) { d.Closing, d.Successor, d.Override, d.Basis = true, "b", false, order }},
		{"automatic close where nobody is open", with(func(d *Document) { d.Open = Open{} }), CloseWrite(with(func(d *Document) { d.Open = Open{} }), "", nil, "n3"),
			func(d *Document) { closing(d); released(d); d.Nonce = "n3" }},
		{"planned close where nobody is open", with(func(d *Document) { d.Open = Open{} }), CloseWrite(with(func(d *Document) { d.Open = Open{} }), "b", order, "n3"),
			func(d *Document) {
				*d = Document{Epoch: 6, Holder: "b", Nonce: "n3", Open: Open{}, Override: true, Basis: order, Term: d.Term}
			}},
		{"first one out", with(closing), TakeOutWrite(with(closing), []string{"a1"}, "n3"), func(d *Document) { closing(d); d.Open = Open{{"a2", "n2"}} }},
		{"last one out releases", with(closing), TakeOutWrite(with(closing), []string{"a1", "a2"}, "n3"), func(d *Document) { closing(d); released(d); d.Nonce = "n3" }},
		{"last one out hands over", with(func(d *Document) { closing(d); d.Successor, d.Basis = "b", order }),
			TakeOutWrite(with(func(d *Document) { closing(d); d.Successor, d.Basis = "b", order }), []string{"a1", "a2"}, "n3"), func(d *Document) {
				*d = Document{Epoch: 6, Holder: "b", Nonce: "n3", Open: Open{}, Override: true, Basis: order, Term: d.Term}
			}},
		{"nobody left to take out", with(func(d *Document) { closing(d); d.Open = Open{} }), TakeOutWrite(with(func(d *Document) { closing(d); d.Open = Open{} }), nil, "n3"),
			func(d *Document) { closing(d); released(d); d.Nonce = "n3" }},
		{"reap", base(), ReapWrite(base(), Entry{"a1", "n1"}, "n3"), func(d *Document) { d.Open = Open{{"a2", "n2"}} }},
		{"reap the last name while nobody closes", with(func(d *Document) { d.Open = d.Open[:1] }), ReapWrite(base(), Entry{"a1", "n1"}, "n3"), func(d *Document) { d.Open = Open{} }},
		{"reap the last name of a closing document", with(func(d *Document) { closing(d); d.Open = d.Open[:1] }),
			ReapWrite(with(func(d *Document) { closing(d); d.Open = d.Open[:1] }), Entry{"a1", "n1"}, "n3"), func(d *Document) { closing(d); released(d); d.Nonce = "n3" }},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, applied := c.write.Apply(c.doc)
			want := base()
			c.want(&want)
			if !applied {
				t.Fatalf("does not match")
			}
			if len(want.Open) == 0 && len(got.Open) == 0 {
				want.Open, got.Open = nil, nil
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
		})
	}
}

// Every write, and what must keep it from applying when it arrives late.
func TestWritesMatchNothingLate(t *testing.T) {
	nextEpoch := func(d *Document) { d.Epoch++ }
	renewed := func(d *Document) { d.Nonce, d.Open = "n9", Open{{"a1", "n9"}, {"a2", "n2"}} }
	noOpen := func(d *Document) { d.Open = Open{} }
	same := func(*Document) {}
	closingDoc, empty := with(closing), with(noOpen)
	for _, c := range []struct {
		name  string
		write Write
		fits  map[string]bool // by what happened in between
	}{
		{"renew", RenewWrite(5, "a", "a1", "n3", nil), map[string]bool{"same": true, "renewed": true, "noOpen": true}},
		{"claim", ClaimWrite(base(), "b", "n3", DefaultTerm()), map[string]bool{"same": true, "noOpen": true, "closing": true}},
		{"close", CloseWrite(base(), "b", nil, "n3"), map[string]bool{"same": true, "renewed": true, "noOpen": true}},
		{"close where nobody is open", CloseWrite(empty, "b", nil, "n3"), map[string]bool{"noOpen": true}},
		{"take out", TakeOutWrite(closingDoc, []string{"a1"}, "n3"), map[string]bool{"closing": true}},
		{"reap", ReapWrite(base(), Entry{"a1", "n1"}, "n3"), map[string]bool{"same": true}},
		{"reap while closing", ReapWrite(closingDoc, Entry{"a1", "n1"}, "n3"), map[string]bool{"closing": true}},
	} {
		for name, change := range map[string]func(*Document){
			"same": same, "nextEpoch": nextEpoch, "renewed": renewed, "noOpen": noOpen, "closing": closing,
			"released": func(d *Document) { released(d); d.Nonce = "n9" }, "closing and renewed": func(d *Document) { closing(d); renewed(d) },
		} {
			doc := with(change)
			if _, applied := c.write.Apply(doc); applied != c.fits[name] {
				t.Errorf("%s, %s meanwhile: applied %v, want %v", c.name, name, applied, c.fits[name])
			}
		}
	}
}

func TestWritesLeaveTheirInputAlone(t *testing.T) {
	doc := base()
	for _, w := range []Write{RenewWrite(5, "a", "a1", "n3", []string{"a2"}), ReapWrite(doc, Entry{"a1", "n1"}, "n3"), CloseWrite(doc, "b", map[string]int64{"a": 9}, "n3")} {
		w.Apply(doc)
		if !reflect.DeepEqual(doc, base()) {
			t.Fatalf("%s changed its input to %+v", w.Kind, doc)
		}
	}
}

func TestWaitIsTheBoundOfBothClocks(t *testing.T) {
	term := DefaultTerm()
	// A holder slow by ρ cuts what it fenced after (T+J)/(1−ρ) of true time; an observer fast by ρ has then counted W.
	fenced := float64(term.T+term.J) / (1 - term.Rho)
	if got, want := float64(term.Wait()), fenced*(1+term.Rho); got < want-1 || got > want+1 {
		t.Errorf("W is %v, want %v", got, want)
	}
}
