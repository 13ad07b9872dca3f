package mongotest

import (
	"go.mongodb.org/mongo-driver/bson"
)

// secondaryOK tells whether a read may go to a secondary.
func secondaryOK(r *request) bool {
	pref, _ := r.get("$readPreference").(bson.D)
	mode, ok := lookupField(pref, "mode")
	return ok && mode != "primary"
}

// writeConcern parses the concern. One that cannot be met is no failure of the
// command: it comes back to be reported beside its result.
func (s *Standin) writeConcern(r *request) (*CommandError, error) {
	v, ok := lookupField(r.body, "writeConcern")
	if !ok || !r.cmd.write {
		return nil, nil
	}
	wc, ok := v.(bson.D)
	if !ok {
		return nil, r.wrongType("writeConcern", v, "object")
	}
	const members = 3 // what a shard of the real cluster would have
	switch w, _ := lookupField(wc, "w"); x := w.(type) {
	case nil:
	case string:
		if x != "majority" {
			return errf(codeUnknownReplWriteConcern, "No write concern mode named '%s' found in replica set configuration", x), nil
		}
	default:
		if !isNumber(w) || asFloat(w) < 0 || asFloat(w) > 50 {
			return nil, errf(codeFailedToParse, "w has to be a number or a string")
		}
		if asFloat(w) > members {
			return errf(codeUnsatisfiableWriteConcern, "Not enough data-bearing nodes"), nil
		}
	}
	return nil, nil
}

func withWriteConcernError(doc bson.D, e *CommandError) bson.D {
	if e == nil {
		return doc
	}
	wce := bson.D{{Key: "code", Value: e.Code}, {Key: "codeName", Value: codeName(e.Code)}, {Key: "errmsg", Value: e.Message}}
	return append(doc, bson.E{Key: "writeConcernError", Value: append(wce, e.Extra...)})
}

// checkReadConcern takes the levels that exist, and linearizable only for the
// primary.
func checkReadConcern(r *request) error {
	rc, err := r.doc("readConcern")
	if err != nil {
		return err
	}
	switch level, _ := lookupField(rc, "level"); level {
	case nil, "local", "available", "majority":
	case "linearizable":
		if secondaryOK(r) {
			return errf(codeNotMaster, "cannot satisfy linearizable read concern on non-primary node")
		}
	case "snapshot":
		return notImplemented("read concern snapshot")
	default:
		return errf(codeFailedToParse, "Failed to parse read concern level")
	}
	return nil
}

// reads gives the store that a read sees: the frozen one under StaleReads
// unless it is linearizable.
func (s *Standin) reads(r *request) *store {
	stale := s.faults.staleStore()
	rc, _ := r.get("readConcern").(bson.D)
	if level, _ := lookupField(rc, "level"); stale == nil || level == "linearizable" {
		return s.store
	}
	return stale
}
