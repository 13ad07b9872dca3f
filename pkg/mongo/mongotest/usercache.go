package mongotest

import (
	"time"

	"go.mongodb.org/mongo-driver/bson"
)

// userCacheInterval is userCacheInvalidationIntervalSecs: how often a router
// asks whether users or roles were changed through another one.
const userCacheInterval = 30 * time.Second

// userCache is what one router believes of the users. A change made through this
// router shows at once, one made through another only when the interval is over
// or invalidateUserCache was run here. The server's mutex guards it.
type userCache struct {
	byKey      map[string]*cachedUser
	generation uint64
	asked      time.Time
}

type cachedUser struct {
	doc   bson.D
	privs []privilege
}

// invalidation is what a command makes the router it came through forget.
type invalidation int

const (
	nothingChanged invalidation = iota
	oneUserChanged              // the one that the command names
	allUsersChanged
)

// cachedUser gives what the router of a connection knows of a user, nil when
// there is none. A mongod sees every change at once.
func (s *Standin) cachedUser(c *conn, db, name string) *cachedUser {
	cache := &c.router.users
	if at := s.now(); !s.mongos() || at.Sub(cache.asked) >= s.cfg.UserCache {
		cache.asked = at
		if cache.generation != s.store.auth {
			cache.byKey, cache.generation = nil, s.store.auth
		}
	}
	key := userKey(db, name)
	if u := cache.byKey[key]; u != nil {
		return u
	}
	doc := s.store.find(usersNS).get(key)
	if doc == nil { // not remembered: a user made elsewhere can log in here at once
		return nil
	}
	roles, _ := lookupField(doc, "roles")
	list, _ := roles.(bson.A)
	u := &cachedUser{doc: doc, privs: s.rolePrivileges(list, map[string]bool{})}
	if cache.byKey == nil {
		cache.byKey = map[string]*cachedUser{}
	}
	cache.byKey[key] = u
	return u
}

// forgetUsers makes a router forget what a command may have changed.
func forgetUsers(r *request) {
	cache := &r.conn.router.users
	switch name, _ := r.first().(string); r.cmd.changes {
	case oneUserChanged:
		delete(cache.byKey, userKey(r.db, name))
	case allUsersChanged:
		cache.byKey = nil
	case nothingChanged:
	}
}
