package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongo/mongotest"
)

// The control socket takes orders for a stand-in that runs: one line each way and connection. An order is `election DURATION`; the answer
// is `ok`, or `error: …`.

const controlTime = 5 * time.Second // for one order

// openControl takes orders at a unix socket until ctx ends; wait returns when the last one is done. The socket of a process that was killed
// is replaced.
func openControl(ctx context.Context, path string, s *mongotest.Standin) (wait func(), err error) {
	if info, err := os.Lstat(path); err == nil && info.Mode().Type() == os.ModeSocket {
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("replace control socket: %w", err)
		}
	}
	l, err := new(net.ListenConfig).Listen(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("open control socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		_ = l.Close()
		return nil, fmt.Errorf("open control socket: %w", err)
	}
	var wg sync.WaitGroup
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	wg.Go(func() {
		defer stop()
		for {
			conn, err := l.Accept()
			if err != nil {
				return // closed
			}
			wg.Go(func() { takeOrder(conn, s) })
		}
	})
	return wg.Wait, nil
}

func takeOrder(conn net.Conn, s *mongotest.Standin) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(controlTime))
	line, err := bufio.NewReaderSize(conn, 256).ReadSlice('\n')
	if err == nil {
		err = obey(strings.Fields(string(line)), s)
	}
	answer := "ok"
	if err != nil {
		answer = "error: " + err.Error()
	}
	_, _ = fmt.Fprintln(conn, answer) // an error means that nobody waits for it
}

func obey(order []string, s *mongotest.Standin) error {
	if len(order) != 2 || order[0] != "election" {
		return fmt.Errorf("unknown order %q: use election DURATION", strings.Join(order, " "))
	}
	d, err := time.ParseDuration(order[1])
	if err != nil || d <= 0 {
		return fmt.Errorf("%q is no duration, such as 10s", order[1])
	}
	s.Election(d)
	return nil
}

// tell gives an order to the stand-in whose control socket is at path.
func tell(ctx context.Context, path string, order []string) error {
	ctx, cancel := context.WithTimeout(ctx, controlTime)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "unix", path)
	if err != nil {
		return fmt.Errorf("reach the stand-in: %w", err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(controlTime))
	if _, err := fmt.Fprintln(conn, strings.Join(order, " ")); err != nil {
		return fmt.Errorf("give order: %w", err)
	}
	answer, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	answer = strings.TrimSpace(answer)
	if answer != "ok" {
		return errors.New(strings.TrimPrefix(answer, "error: "))
	}
	return nil
}
