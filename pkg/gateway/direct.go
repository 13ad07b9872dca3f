package gateway

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// direct passes on what most requests are, one without a body to an http service, over one connection and on the request's own goroutine:
// httputil.ReverseProxy and http.Transport, which carry everything else, take three goroutines and several copies for it.
//
// It keeps what they keep, in the same tests: hop-by-hop headers end here, headers are scrubbed, answers stream, trailers pass, a request
// is sent at most once, and every write towards the service and the client asks the gate first.
type direct struct {
	pool       *pool
	buffers    *buffers
	clean      hygiene
	complaints *complaints
}

// maxInformational is how many 1xx answers a service may send before its answer.
const maxInformational = 5

// takes tells whether r, which has no body, is one that d passes on.
func (d *direct) takes(r *http.Request, route *Route) bool {
	return route.plain && len(r.Trailer) == 0 && r.URL.Opaque == "" && r.Header["Upgrade"] == nil && r.Header["Expect"] == nil &&
		r.Host != "" && isASCII(r.Host) && httpguts.ValidHostHeader(r.Host) && !strings.ContainsAny(r.Host, "%/ ")
}

// serve passes r on and its answer back. c ends it.
func (d *direct) serve(w *fencedWriter, r *http.Request, route *Route, c *call) {
	conn, response, err := d.ask(w, r, route, c) //nolint:bodyclose // closing a body reads what is left of it; the connection is what is closed
	if err != nil {
		if c.over() || errors.Is(err, errFenced) {
			panic(http.ErrAbortHandler) // cut, or the client left: no answer may say whether the service acted
		}
		d.complaints.badGateway(w, r, route, err)
		return
	}
	if !d.answer(w, r, conn, response) {
		panic(http.ErrAbortHandler) // the client must not take a part for the whole
	}
	if response.Close || !c.release() || !d.pool.put(conn) {
		conn.Close()
	}
}

// ask sends r over an idle connection, or a new one, and returns the connection with the answer's header.
func (d *direct) ask(w *fencedWriter, r *http.Request, route *Route, c *call) (*upstreamConn, *http.Response, error) {
	conn, err := d.pool.get(r.Context(), c, route.address)
	if err != nil {
		return nil, nil, err
	}
	if !w.alive() {
		return nil, nil, errFenced
	}
	if err := d.send(conn, r); err != nil {
		return nil, nil, err
	}
	response, err := d.receive(w, r, conn)
	return conn, response, err
}

// send writes the request's header.
func (d *direct) send(conn *upstreamConn, r *http.Request) error {
	b := conn.head[:0]
	b = append(b, r.Method...)
	b = append(b, ' ')
	b = append(b, r.URL.RequestURI()...)
	b = append(b, " HTTP/1.1\r\nHost: "...)
	b = append(b, r.Host...)
	b = append(b, "\r\n"...)
	named := r.Header["Connection"]
	for name, values := range r.Header { // in HTTP/2 there can be a Host beside the authority
		if endsHere(name) || name == "Content-Length" || name == "Host" || d.clean.spoofs(name) || len(named) > 0 && httpguts.HeaderValuesContainsToken(named, name) {
			continue
		}
		if !httpguts.ValidHeaderFieldName(name) {
			return fmt.Errorf("header name %q is malformed", name)
		}
		for _, value := range values {
			if !httpguts.ValidHeaderFieldValue(value) {
				return fmt.Errorf("the value of header %q is malformed", name)
			}
			b = appendHeader(b, name, textproto.TrimString(value))
		}
	}
	if httpguts.HeaderValuesContainsToken(r.Header["Te"], "trailers") {
		b = appendHeader(b, "Te", "trailers")
	}
	switch r.Method {
	case http.MethodPost, http.MethodPut, http.MethodPatch:
		b = append(b, "Content-Length: 0\r\n"...) // else some services wait for a body
	}
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		b = appendHeader(b, "X-Forwarded-For", host)
	}
	b = appendHeader(b, "X-Forwarded-Host", r.Host)
	proto := "https"
	if r.TLS == nil {
		proto = "http"
	}
	b = appendHeader(b, "X-Forwarded-Proto", proto)
	b = append(b, "\r\n"...)
	conn.head = b
	_, err := conn.Write(b)
	return err
}

func appendHeader(b []byte, name, value string) []byte {
	b = append(b, name...)
	b = append(b, ": "...)
	b = append(b, value...)
	return append(b, "\r\n"...)
}

// endsHere tells whether a header is of one connection only (RFC 9110, section 7.6.1, and what older clients send).
func endsHere(name string) bool {
	switch name {
	case "Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Te", "Trailer", "Transfer-Encoding", "Upgrade":
		return true
	}
	return false
}

// receive reads the answer's header and passes on those that come before it.
func (d *direct) receive(w *fencedWriter, r *http.Request, conn *upstreamConn) (*http.Response, error) {
	for range maxInformational + 1 {
		conn.limit = upstreamHeaderBytes
		response, err := http.ReadResponse(conn.reader, r)
		if err != nil {
			if conn.limit <= 0 {
				return nil, fmt.Errorf("the answer's header is longer than %d bytes", upstreamHeaderBytes)
			}
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				return nil, errSent
			}
			return nil, err
		}
		conn.limit = unlimited
		switch {
		case response.StatusCode < http.StatusContinue:
			return nil, noStatus(response)
		case response.StatusCode == http.StatusSwitchingProtocols:
			return nil, errors.New("the service switched protocols, and nobody asked it to")
		case response.StatusCode >= 200:
			return response, nil
		}
		d.header(w.Header(), response)
		w.WriteHeader(response.StatusCode)
		clear(w.Header()) // those of an answer before the answer are not the answer's
	}
	return nil, fmt.Errorf("the service sent more than %d answers before its answer", maxInformational)
}

// noStatus is the error of an answer with a status that net/http reads and does not write.
func noStatus(response *http.Response) error {
	return fmt.Errorf("the answer's status %q is none", response.Status)
}

// header takes over what of the answer's header is not of one connection only.
func (d *direct) header(to http.Header, response *http.Response) {
	named := response.Header["Connection"]
	for name, values := range response.Header {
		if endsHere(name) || len(named) > 0 && httpguts.HeaderValuesContainsToken(named, name) {
			continue
		}
		if before := to[name]; len(before) > 0 {
			values = append(before, values...)
		}
		to[name] = values
	}
}

// noGuess keeps net/http from guessing the type of a body of which the service did not say it.
func noGuess(header http.Header) { header["Content-Type"] = nil }

// answer passes the answer on and returns whether the client has all of it.
func (d *direct) answer(w *fencedWriter, r *http.Request, conn *upstreamConn, response *http.Response) bool {
	header := w.Header()
	noGuess(header)
	d.header(header, response)
	announced := len(response.Trailer)
	if announced > 0 {
		for name := range response.Trailer {
			header.Add("Trailer", name)
		}
		if r.ProtoMajor == 1 {
			header.Del("Content-Length") // HTTP/1 has trailers only behind chunks
		}
	}
	w.WriteHeader(response.StatusCode)
	if response.Body != http.NoBody && !d.copyBody(w, conn, response) {
		return false
	}
	if len(response.Trailer) == 0 {
		return true
	}
	if http.NewResponseController(w).Flush() != nil { // else net/http gives a short answer a length, and no trailers
		return false
	}
	prefix := ""
	if len(response.Trailer) != announced {
		prefix = http.TrailerPrefix // there are some that were not announced
	}
	for name, values := range response.Trailer {
		header[prefix+name] = values
	}
	return true
}

// copyBody passes the body on as it comes. Nothing that is here waits for what is not, but the end of a body is not sent by itself.
func (d *direct) copyBody(w *fencedWriter, conn *upstreamConn, response *http.Response) bool {
	control := http.NewResponseController(w)
	left := response.ContentLength // -1: unknown
	if left < 0 || conn.reader.Buffered() == 0 {
		if control.Flush() != nil {
			return false
		}
	}
	buffer := d.buffers.Get()
	defer d.buffers.Put(buffer)
	for {
		n, err := response.Body.Read(buffer)
		if n > 0 {
			if _, err := w.Write(buffer[:n]); err != nil {
				return false
			}
			if left -= int64(n); left != 0 && control.Flush() != nil {
				return false
			}
		}
		if err != nil {
			return err == io.EOF
		}
	}
}

// serveDirect passes r on until it ends or the opening does, whichever is first. Ending c ends it too, before its answer is whole.
func (f *fencedWriter) serveDirect(d *direct, r *http.Request, route *Route, c *call) {
	f.watch(c.end)
	defer func() {
		c.end() // a connection that was not given back is of no more use
		f.over()
	}()
	d.serve(f, r, route, c)
	if !f.deliver() {
		panic(http.ErrAbortHandler)
	}
}
