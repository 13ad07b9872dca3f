package failover

import "time"

// Sample is one answer of a zone to the question whether it is open, asked from here.
type Sample struct {
	Sent, Received time.Duration // since the watch began, on this machine's monotonic clock
	Open, Closed   bool          // neither: no answer that tells
	Err            string
}

// Proof is what samples show of the order in which one zone closed and the other opened.
type Proof string

// Proven: between the last sign of the old zone open and the first of the new one, the old one was seen to refuse. Consistent: nothing
// contradicts that order, but the refusal fell between two samples. Violated: the old zone answered a request that was sent after the
// new zone had answered one. Unseen: one of the zones never told.
const (
	Proven     Proof = "proven"
	Consistent Proof = "consistent"
	Violated   Proof = "violated"
	Unseen     Proof = "unseen"
)

// Measure is what a client sees of a switch.
type Measure struct {
	Proof   Proof         `json:"proof"`
	Gap     time.Duration `json:"-"` // from the last 2xx of the old zone to the first of the new one; only where both were seen
	GapSecs *float64      `json:"gapSeconds"`
	Samples int           `json:"samples"`
	Silent  int           `json:"unanswered"` // samples that told nothing
}

// Compare judges the samples of the old and the new zone that were sent since.
func Compare(before, after []Sample, since time.Duration) Measure {
	var m Measure
	var lastOpen, firstNew *Sample
	for i := range before {
		s := &before[i]
		if s.Sent < since {
			continue
		}
		m.count(s)
		if s.Open && (lastOpen == nil || s.Received > lastOpen.Received) {
			lastOpen = s
		}
	}
	for i := range after {
		s := &after[i]
		if s.Sent < since {
			continue
		}
		m.count(s)
		if s.Open && (firstNew == nil || s.Received < firstNew.Received) {
			firstNew = s
		}
	}
	if m.Proof = Unseen; firstNew == nil {
		return m
	}
	refused := false
	for i := range before {
		s := &before[i]
		if s.Sent < since {
			continue
		}
		if s.Open && s.Sent > firstNew.Received {
			m.Proof = Violated
			return m
		}
		refused = refused || s.Closed && s.Received <= firstNew.Sent && (lastOpen == nil || s.Sent >= lastOpen.Received)
		if m.Proof == Unseen && (s.Open || s.Closed) {
			m.Proof = Consistent
		}
	}
	if refused {
		m.Proof = Proven
	}
	if lastOpen != nil {
		m.Gap = max(0, firstNew.Received-lastOpen.Received)
		m.GapSecs = new(m.Gap.Seconds())
	}
	return m
}

func (m *Measure) count(s *Sample) {
	m.Samples++
	if !s.Open && !s.Closed {
		m.Silent++
	}
}
