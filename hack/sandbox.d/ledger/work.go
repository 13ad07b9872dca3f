package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

const (
	beatEvery = 50 * time.Millisecond
	workEvery = 4 // beats
)

// beat is a sign that this process lives. Zones on one machine share its clock, so that beats of two zones can be put in order.
type beat struct {
	Zone string `json:"zone"`
	Run  string `json:"run"`  // of this process
	Boot int64  `json:"boot"` // CLOCK_BOOTTIME, nanoseconds
}

// work is the ledger as a background worker: it says that it lives in every line of out, and by an entry of the path RUN/BOOT for every fourth,
// until ctx ends. A database that is away holds up the entries, not the beats.
func work(ctx context.Context, zone string, books entries, out io.Writer, log *slog.Logger) error {
	run := rand.Text()[:8]
	jobs := make(chan int64) // not buffered: what cannot be written now is not made up for
	done := make(chan struct{})
	go func() {
		defer close(done)
		for boot := range jobs {
			limited, cancel := context.WithTimeout(ctx, requestTimeout)
			if _, _, err := books.write(limited, zone, "WORK", run+"/"+strconv.FormatInt(boot, 10)); err != nil && ctx.Err() == nil {
				log.Warn("no entry", "error", err)
			}
			cancel()
		}
	}()
	defer func() { close(jobs); <-done }()
	ticker := time.NewTicker(beatEvery)
	defer ticker.Stop()
	lines := json.NewEncoder(out)
	for n := 0; ; n++ {
		boot, err := bootTime()
		if err != nil {
			return err
		}
		if err := lines.Encode(beat{Zone: zone, Run: run, Boot: boot}); err != nil {
			return fmt.Errorf("write beat: %w", err)
		}
		if n%workEvery == 0 {
			select {
			case jobs <- boot:
			default: // the last one is not written yet
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

func bootTime() (int64, error) {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		return 0, fmt.Errorf("read clock: %w", err)
	}
	return now.Nano(), nil
}
