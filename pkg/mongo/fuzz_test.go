package mongo

import (
	"bytes"
	"encoding/binary"
	"runtime"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/mongo/options"
	"go.mongodb.org/mongo-driver/x/mongo/driver/wiremessage"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/pki"
)

// frugal bounds what a hostile input may cost: time, and memory in proportion to its length. Call what it gives when the work is done.
func frugal(t *testing.T, length int) func() {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	return func() {
		runtime.ReadMemStats(&after)
		if grown := after.TotalAlloc - before.TotalAlloc; grown > uint64(64<<20+4096*length) { //nolint:gosec // a length
			t.Errorf("%d bytes of input took %d bytes of memory", length, grown)
		}
		if took := time.Since(start); took > 20*time.Second {
			t.Errorf("%d bytes of input took %s", length, took)
		}
	}
}

// FuzzHosts: what URI takes of global.database.mongo.host the driver takes too, and a certificate can be
// made for each.
func FuzzHosts(f *testing.F) {
	for _, hosts := range []string{
		"mongo1:27017,mongo2:27017", "mongo1", " a , b ", "127.0.0.1:1", "[::1]:27017,[fe80::1]", "::1", "", ",", "a,,b", "a:0", "a:65536", "a:b", ":27017",
		"a@b", "a/b", "a?b", "a#b", "a%b", "mongodb://a", "mongodb+srv://a", "/tmp/mongodb.sock", "a\x00b", "ü.example", "*.example.com", "a_b-c.example.com.", "a,a",
	} {
		f.Add(hosts)
	}
	f.Fuzz(func(t *testing.T, hosts string) {
		defer frugal(t, len(hosts))()
		uri, err := URI(hosts, "")
		if err != nil {
			return
		}
		opts := options.Client().ApplyURI(uri)
		if err := opts.Validate(); err != nil {
			t.Fatalf("%q gives %q, which the driver refuses: %v", hosts, uri, err)
		}
		dns, ips, err := pki.ParseHosts(hosts)
		if err != nil || len(dns)+len(ips) < len(opts.Hosts) {
			t.Fatalf("%q: the driver reaches %q, the routers' certificate is for %q %v, %v", hosts, opts.Hosts, dns, ips, err)
		}
		if opts.Auth == nil || opts.Auth.AuthMechanism != "MONGODB-X509" || opts.TLSConfig == nil {
			t.Fatalf("%q gives %q: no login by certificate", hosts, uri)
		}
		for _, host := range opts.Hosts {
			if _, _, err := address(host); err != nil {
				t.Fatalf("%q: %v", host, err)
			}
		}
	})
}

// FuzzReply: no bytes of a router panic what reads its replies.
func FuzzReply(f *testing.F) {
	for _, d := range []bson.D{{{Key: "ok", Value: 1}, {Key: "msg", Value: "isdbgrid"}}, {{Key: "ok", Value: 0}, {Key: "code", Value: 13}, {Key: "errmsg", Value: "no"}}, {}} {
		raw, err := bson.Marshal(d)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(reply(wiremessage.OpMsg, append(make([]byte, 5), raw...)))
		f.Add(reply(wiremessage.OpReply, append(make([]byte, 20), raw...)))
	}
	f.Add(reply(wiremessage.OpCompressed, make([]byte, 30)))
	deep := nestedReply(100_000)
	f.Add(reply(wiremessage.OpMsg, append(make([]byte, 5), deep...)))
	lying := reply(wiremessage.OpMsg, nil)
	binary.LittleEndian.PutUint32(lying, maxReply)
	f.Add(lying)
	f.Fuzz(func(t *testing.T, raw []byte) {
		defer frugal(t, len(raw))()
		doc, err := readReply(bytes.NewReader(raw))
		if err != nil {
			return
		}
		var hello greeting
		_ = bson.Unmarshal(doc, &hello)
	})
}

func reply(code wiremessage.OpCode, body []byte) []byte {
	out := make([]byte, 16, 16+len(body))
	binary.LittleEndian.PutUint32(out, uint32(16+len(body))) //nolint:gosec // a length
	binary.LittleEndian.PutUint32(out[12:], uint32(code))    //nolint:gosec // wire form
	return append(out, body...)
}

// nestedReply gives a document of a depth, built by bytes.
func nestedReply(depth int) []byte {
	var out []byte
	for level := depth - 1; level > 0; level-- {
		out = append(binary.LittleEndian.AppendUint32(out, uint32(5+8*level)), 3, 'a', 0)
	}
	out = append(out, 5, 0, 0, 0, 0)
	return append(out, make([]byte, depth-1)...)
}
