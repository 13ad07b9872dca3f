package mongotest

import (
	"time"

	"go.mongodb.org/mongo-driver/bson"
)

// Command is one command that was carried out, as Config.Trace sees it.
type Command struct {
	Time       time.Time `json:"time"`   // right after it took effect, before its reply was sent
	Client     string    `json:"client"` // DN of the client's certificate, "" for none
	Name       string    `json:"command"`
	Collection string    `json:"collection,omitempty"`
	// Applied is true for a findAndModify that found its document.
	Applied bool `json:"applied,omitempty"`
	Failed  bool `json:"failed,omitempty"`
}

// trace tells the configured observer about a command that ran.
func (s *Standin) trace(r *request, reply bson.D, err error) {
	if s.cfg.Trace == nil {
		return
	}
	c := Command{Time: time.Now(), Client: r.conn.subject, Name: r.cmd.name, Failed: err != nil}
	c.Collection, _ = r.first().(string)
	if r.cmd.name == "findAndModify" && err == nil {
		value, _ := lookupField(reply, "value")
		c.Applied = value != nil
	}
	s.cfg.Trace(c)
}
