package mongo

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/x/bsonx/bsoncore"
	"go.mongodb.org/mongo-driver/x/mongo/driver/wiremessage"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongocheck"
)

// node is one connection to one server, without the driver: the driver names a trouble with TLS only after its whole selection timeout,
// if at all, and does not speak to what is too old or no router. The wire protocol is MongoDB's: OP_QUERY for the first command, as every
// version understands it, and OP_MSG from then on.
type node struct {
	conn  net.Conn
	chain []*x509.Certificate // as verified
	tls   uint16              // version
	wire  int                 // maxWireVersion
}

const (
	wireMsg  = 6       // the first wire version with OP_MSG (3.6)
	maxReply = 1 << 20 // of one document; replies here are small, and this bounds how deep one can nest
)

// commandError is a server's refusal of a command.
type commandError struct {
	Code    int
	Message string
}

func (e *commandError) Error() string { return e.Message }

// dialNode connects to host within limit and says hello. The troubles are all that could be seen; there is a node only without any.
func dialNode(ctx context.Context, dial Dial, config *tls.Config, host string, limit time.Duration) (*node, greeting, []*x509.Certificate, []mongocheck.Trouble) {
	one := func(t mongocheck.Trouble) []mongocheck.Trouble { return []mongocheck.Trouble{t} }
	addr, name, err := address(host)
	if err != nil {
		return nil, greeting{}, nil, one(mongocheck.NewTrouble(mongocheck.BadAddress, "%q is not an address: %v", host, err))
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	raw, err := dial(ctx, "tcp", addr)
	if err != nil {
		return nil, greeting{}, nil, one(mongocheck.DialTrouble(err, limit))
	}
	n := &node{}
	config = config.Clone()
	config.ServerName = name
	config.VerifyConnection = func(state tls.ConnectionState) error {
		if len(state.VerifiedChains) > 0 {
			n.chain, n.tls = mongocheck.Longest(state.VerifiedChains), state.Version
		}
		return nil
	}
	conn := tls.Client(raw, config)
	n.conn = conn
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = raw.Close() // the handshake's error is the one that counts
		chain, troubles := mongocheck.HandshakeTrouble(err, n.chain != nil, config.RootCAs, name, time.Now(), limit)
		for i := range troubles {
			troubles[i] = mongocheck.Explain(troubles[i], ownCertificate(config), time.Now())
		}
		if chain == nil {
			chain = n.chain
		}
		return nil, greeting{}, chain, troubles
	}
	hello, err := n.greet(ctx)
	if err != nil {
		n.close()
		return nil, greeting{}, n.chain, one(mongocheck.Explain(mongocheck.GreetingTrouble(err, limit), ownCertificate(config), time.Now()))
	}
	n.wire = hello.MaxWireVersion
	return n, hello, n.chain, nil
}

// ownCertificate is what config shows of the client, nil for nothing.
func ownCertificate(config *tls.Config) *x509.Certificate {
	if config.GetClientCertificate == nil {
		return nil
	}
	pair, err := config.GetClientCertificate(&tls.CertificateRequestInfo{})
	if err != nil || len(pair.Certificate) == 0 {
		return nil
	}
	own, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		return nil
	}
	return own
}

// address returns host with its port, and its name alone.
func address(host string) (addr, name string, err error) {
	addr = host
	if _, _, err := net.SplitHostPort(host); err != nil {
		addr = net.JoinHostPort(strings.Trim(host, "[]"), "27017")
	}
	name, _, err = net.SplitHostPort(addr)
	return addr, name, err
}

func (n *node) close() { _ = n.conn.Close() } // nothing is under way

// greeting is what isMaster tells everybody.
type greeting struct {
	Msg            string
	SetName        string
	Hosts          []string
	Passives       []string
	Arbiters       []string
	Tags           map[string]string
	LocalTime      time.Time
	MaxWireVersion int
	sent, received time.Time
}

func (n *node) greet(ctx context.Context) (greeting, error) {
	var hello greeting
	hello.sent = time.Now()
	err := n.run(ctx, "admin", bson.D{{Key: "isMaster", Value: 1}}, &hello)
	hello.received = time.Now()
	return hello, err
}

// run carries out one command and decodes the reply into out, when out is not nil. A refusal is a *commandError.
func (n *node) run(ctx context.Context, db string, command bson.D, out any) error {
	deadline, _ := ctx.Deadline() // none is the zero time, which is no deadline to a connection either
	if err := n.conn.SetDeadline(deadline); err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = n.conn.SetDeadline(time.Unix(1, 0)) })()
	request, err := n.encode(db, command)
	if err != nil {
		return err
	}
	if _, err := n.conn.Write(request); err != nil {
		return err
	}
	reply, err := readReply(n.conn)
	if err != nil {
		return err
	}
	var status struct {
		OK                any
		Code              int
		Errmsg            string
		WriteErrors       []struct{ Errmsg string }
		WriteConcernError *struct {
			Code   int
			Errmsg string
		}
	}
	if err := bson.Unmarshal(reply, &status); err != nil {
		return fmt.Errorf("read reply: %w", err)
	}
	switch {
	case fmt.Sprint(status.OK) != "1" && status.OK != true:
		return &commandError{Code: status.Code, Message: status.Errmsg}
	case len(status.WriteErrors) > 0:
		return &commandError{Message: status.WriteErrors[0].Errmsg}
	case status.WriteConcernError != nil:
		return &commandError{Code: status.WriteConcernError.Code, Message: status.WriteConcernError.Errmsg}
	}
	if out == nil {
		return nil
	}
	return bson.Unmarshal(reply, out)
}

func (n *node) encode(db string, command bson.D) ([]byte, error) {
	if n.wire >= wireMsg {
		command = append(command[:len(command):len(command)], bson.E{Key: "$db", Value: db})
	}
	doc, err := bson.Marshal(command)
	if err != nil {
		return nil, err
	}
	id := wiremessage.NextRequestID()
	if n.wire >= wireMsg {
		start, m := wiremessage.AppendHeaderStart(nil, id, 0, wiremessage.OpMsg)
		m = wiremessage.AppendMsgFlags(m, 0)
		m = append(wiremessage.AppendMsgSectionType(m, wiremessage.SingleDocument), doc...)
		return bsoncore.UpdateLength(m, start, int32(len(m))), nil //nolint:gosec // commands are small
	}
	start, m := wiremessage.AppendHeaderStart(nil, id, 0, wiremessage.OpQuery) //nolint:staticcheck // deprecated, and what every version takes as the first word
	m = wiremessage.AppendQueryFlags(m, wiremessage.SecondaryOK)
	m = wiremessage.AppendQueryFullCollectionName(m, db+".$cmd")
	m = wiremessage.AppendQueryNumberToSkip(m, 0)
	m = append(wiremessage.AppendQueryNumberToReturn(m, -1), doc...)
	return bsoncore.UpdateLength(m, start, int32(len(m))), nil //nolint:gosec // likewise
}

var errReply = errors.New("the reply is not MongoDB's")

// readReply reads one message and returns its document. What is read never exceeds what really arrives, nor maxReply.
func readReply(r io.Reader) (bson.Raw, error) {
	var head [16]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	length := int64(int32(binary.LittleEndian.Uint32(head[:]))) //nolint:gosec // the wire's length is signed
	if length <= int64(len(head)) || length > maxReply {
		return nil, errReply
	}
	var body bytes.Buffer
	if _, err := io.CopyN(&body, r, length-int64(len(head))); err != nil {
		return nil, err
	}
	return decodeReply(wiremessage.OpCode(int32(binary.LittleEndian.Uint32(head[12:]))), body.Bytes()) //nolint:gosec // two's complement on the wire
}

func decodeReply(code wiremessage.OpCode, body []byte) (bson.Raw, error) {
	switch code {
	case wiremessage.OpMsg:
		if len(body) < 5 || body[4] != byte(wiremessage.SingleDocument) {
			return nil, errReply
		}
		body = body[5:]
	case wiremessage.OpReply:
		const fixed = 4 + 8 + 4 + 4 // flags, cursor, offset, count
		if len(body) < fixed {
			return nil, errReply
		}
		body = body[fixed:]
	default:
		return nil, errReply
	}
	doc, _, ok := bsoncore.ReadDocument(body)
	if !ok || doc.Validate() != nil {
		return nil, errReply
	}
	return bson.Raw(doc), nil
}
