package mongo

import (
	"context"

	"go.mongodb.org/mongo-driver/bson"
)

// monitored is one member of a replica set as a router's monitor sees it.
type monitored struct {
	Addr                    string
	OK, IsMaster, Secondary bool
	Hidden                  bool // from 4.4 on arbiters are shown so; before, they are not shown
	Tags                    map[string]string
}

// monitors returns what the router's monitors see, by replica set.
func (c *Client) monitors(ctx context.Context) (map[string][]monitored, error) {
	var reply struct {
		ReplicaSets map[string]struct{ Hosts []monitored } `bson:"replicaSets"`
	}
	if err := c.run(ctx, "admin", bson.D{{Key: "connPoolStats", Value: 1}}, &reply); err != nil {
		return nil, err
	}
	sets := make(map[string][]monitored, len(reply.ReplicaSets))
	for set, stats := range reply.ReplicaSets {
		sets[set] = stats.Hosts
	}
	return sets, nil
}
