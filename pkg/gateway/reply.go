package gateway

import (
	"bufio"
	"errors"
	"io"
	"net/http"
	"net/http/httputil"
	"strconv"
	"strings"
	"time"
)

// replyBytes is what is gathered of an answer before it is sent: header and body of a small one go out together.
const replyBytes = 4 << 10

// outlet is where answers go.
type outlet struct {
	out     *bufio.Writer
	bundle  *bundled // below out, nil where there is none
	bundles *bundles
}

// reply writes one answer after the other to a lane's client. For the request that it answers it is what net/http's own http.ResponseWriter
// is: without a length the body goes in chunks, with trailers behind them, and answers before the answer pass at once.
type reply struct {
	outlet
	method string // of the request
	header http.Header
	code   int            // 0 until the answer's header is written
	empty  bool           // the answer has no body, whatever its header says
	left   int64          // bytes of the announced body that are still to come
	chunks io.WriteCloser // nil where a length was announced
	close  bool           // the connection ends with the answer
}

// errLength is a body that is not as long as was announced.
var errLength = errors.New("the body is not as long as its Content-Length")

// begin forgets the answer before.
func (a *reply) begin(method string) {
	clear(a.header)
	*a = reply{outlet: a.outlet, method: method, header: a.header}
}

// Header, WriteHeader and Write are those of http.ResponseWriter.
func (a *reply) Header() http.Header { return a.header }

// WriteHeader writes the answer's header, or that of one before it.
func (a *reply) WriteHeader(code int) {
	if a.code != 0 {
		return
	}
	if code < http.StatusOK {
		a.line(code)
		_ = a.out.Flush() // the next write meets the same error
		return
	}
	a.code = code
	a.close = headerHas(a.header["Connection"], "close")
	a.empty = a.method == http.MethodHead || code == http.StatusNoContent || code == http.StatusNotModified
	length := a.header["Content-Length"]
	switch {
	case code == http.StatusNoContent:
		delete(a.header, "Content-Length")
	case a.empty:
	case len(length) == 1:
		var err error
		if a.left, err = strconv.ParseInt(length[0], 10, 64); err == nil && a.left >= 0 {
			break
		}
		fallthrough
	default:
		delete(a.header, "Content-Length")
		a.header["Transfer-Encoding"] = []string{"chunked"}
		a.chunks = httputil.NewChunkedWriter(a.out)
	}
	if len(a.header["Date"]) == 0 {
		a.header["Date"] = []string{time.Now().UTC().Format(http.TimeFormat)}
	}
	a.line(code)
}

// line writes a status line, the header that was gathered, and the empty line. An error shows with the next write, as bufio has it.
func (a *reply) line(code int) {
	text := http.StatusText(code)
	if text == "" {
		text = "status code " + strconv.Itoa(code)
	}
	_, _ = a.out.WriteString("HTTP/1.1 ")
	_, _ = a.out.WriteString(strconv.Itoa(code))
	_ = a.out.WriteByte(' ')
	_, _ = a.out.WriteString(text)
	_, _ = a.out.WriteString("\r\n")
	_ = a.header.Write(a.out)
	_, _ = a.out.WriteString("\r\n")
}

func (a *reply) Write(p []byte) (int, error) {
	if a.code == 0 {
		a.WriteHeader(http.StatusOK)
	}
	switch {
	case a.empty:
		return len(p), nil
	case a.chunks != nil:
		return a.chunks.Write(p)
	case int64(len(p)) > a.left:
		return 0, errLength
	}
	a.left -= int64(len(p))
	if a.bundle == nil || len(p) <= replyBytes {
		return a.out.Write(p)
	}
	err := a.bundle.together(a.bundles, func() error {
		if _, err := a.out.Write(p); err != nil {
			return err
		}
		return a.out.Flush()
	})
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

// FlushError sends what was gathered.
func (a *reply) FlushError() error {
	if a.code == 0 {
		a.WriteHeader(http.StatusOK)
	}
	return a.out.Flush()
}

// finish ends the answer and sends the rest of it.
func (a *reply) finish() error {
	if a.code == 0 {
		a.header["Content-Length"] = []string{"0"}
		a.WriteHeader(http.StatusOK)
	}
	if a.left > 0 {
		return errLength
	}
	if a.chunks != nil {
		if err := a.chunks.Close(); err != nil {
			return err
		}
		if err := a.trailers().Write(a.out); err != nil {
			return err
		}
		if _, err := a.out.WriteString("\r\n"); err != nil {
			return err
		}
	}
	return a.out.Flush()
}

// trailers are those that the header announced, and those that were marked as trailers afterwards.
func (a *reply) trailers() http.Header {
	all := http.Header{}
	for _, list := range a.header["Trailer"] {
		for name := range strings.SplitSeq(list, ",") {
			if name = http.CanonicalHeaderKey(strings.TrimSpace(name)); a.header[name] != nil {
				all[name] = a.header[name]
			}
		}
	}
	for name, values := range a.header {
		if bare, marked := strings.CutPrefix(name, http.TrailerPrefix); marked {
			all[http.CanonicalHeaderKey(bare)] = values
		}
	}
	return all
}

// headerHas tells whether a token is in a list that values make up.
func headerHas(values []string, token string) bool {
	for _, list := range values {
		for one := range strings.SplitSeq(list, ",") {
			if strings.EqualFold(strings.TrimSpace(one), token) {
				return true
			}
		}
	}
	return false
}
