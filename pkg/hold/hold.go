// Package hold runs a command only while its zone is the active one, so that background workers obey the lease as requests do.
//
// Invariant: when the lease can be given to another zone, the command and every process that it started are dead. The zone's gateways,
// which alone speak to the lease, are asked for a promise; it is counted on this machine's clocks from before it was asked for, and the
// command gets SIGTERM and then SIGKILL in time for its end. No answer, a strange answer or a restart means: not active. What a dead
// command sent to the database may still be applied; docs/held-services.md says so.
//
// The package decides nothing about zones, and starts nothing twice at once.
package hold

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/lease"
)

// Asker asks the zone's gateways; see Gateways.
type Asker interface {
	Ask(ctx context.Context, take func(Answer)) ([]Answer, error)
	GiveBack(ctx context.Context)
}

// Config is one held command.
type Config struct {
	Command  []string // program and arguments
	Gateways Asker
	Clock    func() lease.Time
	Timing   Timing
	Interval time.Duration // between two rounds of asking
	// Signals are passed on to the command. SIGTERM and SIGINT also end the holding: once the command is dead, or at once when none runs.
	Signals <-chan os.Signal
	Listen  string // address of the probes' endpoint; "" means none
	Probes  Probes
	Log     *slog.Logger
}

// Exit codes for commands that cannot be run, as shells have them.
const (
	ExitNotRunnable = 126
	ExitNotFound    = 127
)

// tick bounds how late a pause of the machine is noticed, and how often leftovers are looked for.
const tick = 50 * time.Millisecond

// generations of processes are killed without a pause between them: whoever is killed leaves children of its own.
const generations = 10

// phase is where the command stands.
type phase int

const (
	held     phase = iota // not running
	running               // promised
	stopping              // asked to end, because the zone is not, or not for long, the active one
	ended                 // it ended by itself: what it left behind is being killed
)

func (p phase) String() string { return [...]string{"held", "running", "stopping", "ended"}[p] }

// Run holds the command until it ends by itself, or a signal asked for its end, and returns its exit code: 128 and the signal's number
// where one killed it. When ctx ends the command is killed at once.
func Run(ctx context.Context, c Config) (int, error) {
	path, err := exec.LookPath(c.Command[0])
	if err != nil {
		if errors.Is(err, exec.ErrNotFound) || errors.Is(err, os.ErrNotExist) {
			return ExitNotFound, fmt.Errorf("find the command: %w", err)
		}
		return ExitNotRunnable, fmt.Errorf("find the command: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	kids, err := newChildren(ctx.Done())
	if err != nil {
		return 1, err
	}
	h := &holder{Config: c, path: path, kids: kids, status: &status{}}
	if c.Listen != "" {
		endpoint := &endpoint{probes: c.Probes, status: h.status, kids: kids}
		if err := endpoint.serve(ctx, c.Listen); err != nil {
			return 1, err
		}
	}
	answers, rounds := make(chan Answer), make(chan []Answer)
	go h.ask(ctx, answers, rounds)
	c.Log.InfoContext(ctx, "held", "command", c.Command[0])
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		select {
		case a := <-answers:
			h.leash.Take(a)
		case all := <-rounds:
			h.leash.Round(all)
		case s := <-c.Signals:
			h.pass(s)
		case s := <-h.dead:
			h.died(ctx, s)
		case <-ticker.C:
		case <-ctx.Done():
			h.ending = true
			if h.phase != held {
				h.abort()
			}
			return 128 + int(syscall.SIGKILL), ctx.Err()
		}
		if code, over := h.follow(ctx); over {
			return code, nil
		}
	}
}

// holder is the state of one held command. Only Run's goroutine touches it.
type holder struct {
	Config
	path   string
	kids   *children
	status *status
	leash  Leash

	phase  phase
	pid    int
	dead   <-chan syscall.WaitStatus // nil while none runs
	asked  lease.Time                // when it was asked to end
	killed bool
	code   int
	over   lease.Time // of ended: when to stop waiting for what it left behind
	ending bool       // asked to end for good
}

// follow brings the command in line with the leash, and tells whether everything is over.
func (h *holder) follow(ctx context.Context) (code int, over bool) {
	now := h.Clock()
	switch h.phase {
	case held:
		if h.ending {
			return h.code, true
		}
		if h.leash.MayStart(now, h.Timing) {
			return h.start(ctx)
		}
	case running:
		if h.leash.MustStop(now, h.Timing) {
			h.Log.InfoContext(ctx, "the zone is not the active one for long: the command is asked to end", "left", h.leash.Left(now).String())
			h.become(stopping)
			h.asked = now
			h.kids.signal(h.pid, syscall.SIGTERM)
		}
	case stopping:
		if h.dead != nil && !h.leash.MustDie(now, h.asked, h.Timing) {
			break
		}
		if !h.killed && h.dead != nil {
			h.Log.WarnContext(ctx, "the command did not end in time: it is killed", "left", h.leash.Left(now).String())
		}
		if h.killed = true; h.killNow() && h.dead == nil {
			h.Log.InfoContext(ctx, "held", "exitCode", h.code)
			h.become(held)
			if !h.ending {
				h.code = 0 // it was this package's wish, and is no failure
			}
			go h.Gateways.GiveBack(ctx)
		}
	case ended:
		if h.killNow() || now.Passed(h.over) {
			h.Gateways.GiveBack(ctx)
			return h.code, true
		}
	}
	return 0, false
}

// killNow kills the command and what it started, generation by generation, and tells whether all are dead.
func (h *holder) killNow() bool {
	for range generations {
		if h.kids.killAll(h.pid) {
			return true
		}
	}
	return false
}

func (h *holder) start(ctx context.Context) (code int, over bool) {
	pid, dead, err := h.kids.start(h.path, h.Command)
	if err != nil {
		h.Log.ErrorContext(ctx, "the command cannot be run", "error", err.Error())
		return ExitNotRunnable, true
	}
	h.pid, h.dead, h.killed = pid, dead, false
	h.become(running)
	h.Log.InfoContext(ctx, "the zone is the active one: the command runs", "pid", pid)
	return 0, false
}

// died takes the command's exit status. One that was asked to end is held again; one that ended by itself ends the holding.
func (h *holder) died(ctx context.Context, s syscall.WaitStatus) {
	h.dead = nil
	h.code = s.ExitStatus()
	if s.Signaled() {
		h.code = 128 + int(s.Signal())
	}
	if h.phase == stopping {
		return // follow looks for what it left behind
	}
	h.Log.InfoContext(ctx, "the command ended", "exitCode", h.code)
	h.over = h.Clock().Add(time.Second)
	h.become(ended)
}

// pass hands a signal on to the command, as the kubelet would have sent it: to the process, not to its group.
func (h *holder) pass(s os.Signal) {
	number, ok := s.(syscall.Signal)
	if !ok {
		return
	}
	if number == syscall.SIGTERM || number == syscall.SIGINT {
		h.ending = true
	}
	if h.dead != nil {
		h.kids.signal(h.pid, number)
	}
}

// abort kills the command and what it started, for a second at most.
func (h *holder) abort() {
	deadline := time.NewTimer(time.Second)
	defer deadline.Stop()
	ticker := time.NewTicker(tick / 10)
	defer ticker.Stop()
	for !h.kids.killAll(h.pid) {
		select {
		case <-deadline.C:
			return
		case <-ticker.C:
		}
	}
}

func (h *holder) become(p phase) {
	h.phase = p
	h.status.become(p)
}

// ask asks the gateways every interval until ctx ends. A round that is slow does not keep the next one waiting.
func (h *holder) ask(ctx context.Context, answers chan<- Answer, rounds chan<- []Answer) {
	ticker := time.NewTicker(h.Interval)
	defer ticker.Stop()
	trouble := make(chan string, 1)
	trouble <- ""
	for {
		go func() {
			all, err := h.Gateways.Ask(ctx, func(a Answer) {
				select {
				case answers <- a:
				case <-ctx.Done():
				}
			})
			h.tell(ctx, trouble, len(all), err)
			select {
			case rounds <- all:
			case <-ctx.Done():
			}
		}()
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// tell logs that no gateway answers, once for each reason.
func (h *holder) tell(ctx context.Context, trouble chan string, answered int, err error) {
	before, now := <-trouble, ""
	if answered == 0 && err != nil {
		now = err.Error()
	}
	trouble <- now
	if now != "" && before == "" && ctx.Err() == nil {
		h.Log.WarnContext(ctx, "no gateway of this zone answers", "error", now)
	}
}
