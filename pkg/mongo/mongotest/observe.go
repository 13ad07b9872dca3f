package mongotest

import (
	"slices"
	"sync"
)

// observers are told of every command, in the order of arrival.
type observers struct {
	mu   sync.Mutex
	list []*func(string)
}

// Observe calls f with the name of every command that arrives, handshakes
// included, until stop is called. f must not wait.
func (s *Standin) Observe(f func(command string)) (stop func()) {
	s.observers.mu.Lock()
	defer s.observers.mu.Unlock()
	s.observers.list = append(s.observers.list, &f)
	return func() {
		s.observers.mu.Lock()
		defer s.observers.mu.Unlock()
		s.observers.list = slices.DeleteFunc(s.observers.list, func(x *func(string)) bool { return x == &f })
	}
}

func (o *observers) tell(command string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, f := range o.list {
		(*f)(command)
	}
}
