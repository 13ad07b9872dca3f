package gateway

import (
	"log/slog"
	"net/http"
	"sync"
	"time"
)

// complaintPause is the least time between two lines of the log about one service. The metric of requests counts every 502.
const complaintPause = 10 * time.Second

// complaints tells the log about services that do not answer: of each at once, and then now and again, with the number of those left out. A
// service that is down fails every request, and a line for each would drown what else the log has to say.
type complaints struct {
	log *slog.Logger
	mu  sync.Mutex
	of  map[string]*complaint // by upstream, of which routes have a few
}

type complaint struct {
	at   time.Time // of the last line
	left int       // out of the log since then
}

// badGateway answers for the service of route, which did not.
func (c *complaints) badGateway(w http.ResponseWriter, r *http.Request, route *Route, err error) {
	if tell, left := c.due(route.Upstream, time.Now()); tell {
		c.log.WarnContext(r.Context(), "upstream does not answer", "upstream", route.Upstream, "host", r.Host, "path", r.URL.Path, "error", err, "unlogged", left)
	}
	problem(w, http.StatusBadGateway, "Bad Gateway", "The service behind the gateway does not answer.")
}

// due tells whether the log shall hear of upstream now, and how often it did not since the last time.
func (c *complaints) due(upstream string, now time.Time) (bool, int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of == nil {
		c.of = map[string]*complaint{}
	}
	before := c.of[upstream]
	if before == nil {
		c.of[upstream] = &complaint{at: now}
		return true, 0
	}
	if now.Sub(before.at) < complaintPause {
		before.left++
		return false, 0
	}
	left := before.left
	before.at, before.left = now, 0
	return true, left
}
