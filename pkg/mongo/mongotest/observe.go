package mongotest

import (
	"context"
	"slices"
	"sync"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/mongo"
	"go.mongodb.org/mongo-driver/mongo/options"
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

// CreatePasswordUser makes a user of the database admin through the localhost
// exception: the first one, which also ends it.
func (s *Server) CreatePasswordUser(name, password string, roles ...bson.D) {
	s.tb.Helper()
	ctx := context.WithoutCancel(s.tb.Context())
	client := must(mongo.Connect(ctx, options.Client().ApplyURI("mongodb://"+s.hosts[0]).SetTLSConfig(s.TLSConfig(s.adminDN))))(s.tb)
	defer func() { _ = client.Disconnect(ctx) }()
	list := bson.A{}
	for _, r := range roles {
		list = append(list, r)
	}
	if err := client.Database(adminDB).RunCommand(ctx, bson.D{{Key: "createUser", Value: name}, {Key: "pwd", Value: password}, {Key: "roles", Value: list}}).Err(); err != nil {
		s.tb.Fatalf("create user %q: %v", name, err)
	}
}
