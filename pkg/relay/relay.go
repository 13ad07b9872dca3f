// Package relay carries one TCP connection over the standard streams of a command, such as one that runs in a pod. The far end dials and
// says on one line how that went; after that line both streams are the connection's bytes, which the package neither reads nor changes.
// It ends with whichever side ends first. What may be dialed is the far end's decision.
package relay

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
)

// maxLine bounds the far end's line.
const maxLine = 4096

// Failure is why the far end has no connection.
type Failure struct {
	Kind string `json:"kind"` // one of pkg/mongocheck's kinds of trouble
	Text string `json:"text"`
}

func (f *Failure) Error() string { return f.Text }

// TroubleKind lets pkg/mongocheck name the trouble as if it had been seen from here.
func (f *Failure) TroubleKind() string { return f.Kind }

// line is the far end's first line; Relay tells it from anything else that might be printed.
type line struct {
	Relay   int      `json:"relay"`
	Failure *Failure `json:"failure,omitempty"`
}

// Serve is the far end: it dials, reports, and carries bytes until one side or ctx ends. The error is the streams' own; that nothing could
// be dialed is reported to the near end, and returned as a *Failure.
func Serve(ctx context.Context, dial func(context.Context) (net.Conn, *Failure), in io.Reader, out io.Writer) error {
	conn, failure := dial(ctx)
	report, err := json.Marshal(line{Relay: 1, Failure: failure})
	if err != nil {
		return err
	}
	if failure == nil {
		defer conn.Close()
	}
	if _, err := out.Write(append(report, '\n')); err != nil {
		return fmt.Errorf("report the connection: %w", err)
	}
	if failure != nil {
		return failure
	}
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	sent := make(chan error, 1)
	go func() { // may outlive this function by one read of in, which nothing can end
		_, err := io.Copy(conn, in)
		sent <- err
		_ = conn.Close() // which ends the other direction, too
	}()
	// Not beside it: nothing is written to out after this function has returned.
	_, err = io.Copy(out, conn)
	select {
	case first := <-sent:
		err = first
	default:
	}
	if errors.Is(err, net.ErrClosed) {
		err = nil
	}
	return err
}

// Open is the near end: it reads the far end's line from r, byte by byte, since what follows is the connection's. A *Failure is the far
// end's; io.ErrUnexpectedEOF means that there is no relay there.
func Open(r io.Reader) error {
	var text []byte
	for one := make([]byte, 1); ; {
		if _, err := io.ReadFull(r, one); err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
		if one[0] == '\n' {
			break
		}
		if text = append(text, one[0]); len(text) > maxLine {
			return fmt.Errorf("the relay's first line is too long: %w", bufio.ErrTooLong)
		}
	}
	var first line
	if err := json.Unmarshal(text, &first); err != nil || first.Relay != 1 {
		return fmt.Errorf("what answers is no relay: %q", text)
	}
	if first.Failure != nil {
		return first.Failure
	}
	return nil
}
