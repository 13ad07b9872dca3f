package lease

import "maps"

// RenewWrite keeps the gate of replica id open for another term, and drops that process's ended ids.
func RenewWrite(epoch int64, holder, id, nonce string, ended []string) Write {
	return Write{
		Kind:   Renew,
		Match:  Match{Epoch: epoch, Holder: &holder, Closing: new(false), Released: new(false)},
		Change: Change{Nonce: &nonce, Put: &Entry{ID: id, Nonce: nonce}, Drop: ended},
	}
}

// ClaimWrite makes zone the holder of the epoch after doc's. It opens nobody. The successor of a close that nobody finished claims under
// the order that made it the successor, as a handover would have; every other claim ends an order.
func ClaimWrite(doc Document, zone, nonce string, term Term) Write {
	change := newEpoch(doc.Epoch+1, zone, nonce)
	change.Term = &term
	if doc.Closing && doc.Successor == zone {
		change.Override = new(true)
	} else {
		change.Override, change.Basis = new(false), &map[string]int64{}
	}
	w := Write{Kind: Claim, Match: Match{Epoch: doc.Epoch, Nonce: &doc.Nonce}, Change: change}
	if doc.Holder != "" && doc.Holder != zone && (!doc.Closing || doc.Successor != zone) {
		w.Match.Pinned = new(false) // a pin that came meanwhile holds
	}
	return w
}

// Unheld tells whether doc belongs to nobody: it was released, or no zone ever held it. There is nobody whom an order could close.
func (d *Document) Unheld() bool { return d.Released || d.Holder == "" }

// AppointWrite makes zone the holder of the epoch after doc's by an operator's order, as the handover of a planned switch would, where
// there is nobody who could hand over. It is a claim, and its author owes what every claim owes: doc was released, or its epoch and nonce
// stayed unchanged for W. It opens nobody.
func AppointWrite(doc Document, zone string, basis map[string]int64, nonce string) Write {
	change := newEpoch(doc.Epoch+1, zone, nonce)
	change.Override, change.Basis = new(true), new(maps.Clone(basis))
	return Write{Kind: Appoint, Match: Match{Epoch: doc.Epoch, Nonce: &doc.Nonce}, Change: change}
}

// CloseWrite asks doc's holder to stop serving: for successor when that is a zone (a planned switch, with the zones' intent counters in
// basis), else for whoever is intended. Where nobody is open it also ends the epoch.
func CloseWrite(doc Document, successor string, basis map[string]int64, nonce string) Write {
	if basis == nil {
		basis = map[string]int64{}
	}
	w := Write{
		Kind:   Close,
		Match:  Match{Epoch: doc.Epoch, Holder: &doc.Holder, Closing: new(false), Released: new(false)},
		Change: Change{Closing: new(true), Successor: &successor, Override: new(false), Basis: new(maps.Clone(basis))},
	}
	if successor == "" {
		w.Match.Pinned = new(false) // by intent; an order moves a pinned lease too
	}
	if len(doc.Open) == 0 {
		w.Match.Open = &Open{}
		w.Change = endEpoch(w.Change, doc.Epoch, successor, nonce)
	}
	return w
}

// TakeOutWrite removes ids from a closing document; the last one out ends the epoch in the same write.
func TakeOutWrite(doc Document, ids []string, nonce string) Write {
	w := Write{
		Kind:   TakeOut,
		Match:  Match{Epoch: doc.Epoch, Holder: &doc.Holder, Closing: new(true), Released: new(false), Open: &doc.Open},
		Change: Change{Drop: ids},
	}
	if len(doc.Open.Without(ids...)) == 0 {
		w.Change = endEpoch(w.Change, doc.Epoch, doc.Successor, nonce)
	}
	return w
}

// ReapWrite removes the name of a replica that died. While closing, last-one-out applies, so the whole of Open must match; else the one
// entry is enough, and renewals of others do not get in its way.
func ReapWrite(doc Document, dead Entry, nonce string) Write {
	if doc.Closing {
		w := TakeOutWrite(doc, []string{dead.ID}, nonce)
		w.Kind = Reap
		return w
	}
	return Write{
		Kind:   Reap,
		Match:  Match{Epoch: doc.Epoch, Holder: &doc.Holder, Closing: new(false), Released: new(false), Entry: &dead},
		Change: Change{Drop: []string{dead.ID}},
	}
}

// endEpoch adds to c what the last one out does: hand over to the successor, or release.
func endEpoch(c Change, epoch int64, successor, nonce string) Change {
	if successor == "" {
		c.Open, c.Drop = &Open{}, nil
		c.Released, c.Nonce = new(true), &nonce
		return c
	}
	next := newEpoch(epoch+1, successor, nonce)
	next.Override, next.Basis = new(true), c.Basis // a take-out keeps the basis that the close wrote
	return next
}

func newEpoch(epoch int64, holder, nonce string) Change {
	return Change{
		Epoch: &epoch, Holder: &holder, Nonce: &nonce, Open: &Open{},
		Closing: new(false), Successor: new(""), Released: new(false),
	}
}
