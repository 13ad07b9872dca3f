package hold

import (
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// children starts processes and reaps every dead child of this one, also those that it only inherited: in a container it is process 1,
// and elsewhere it makes itself the reaper of what its children leave behind.
type children struct {
	mu    sync.Mutex // held while a process is started, so that none is reaped before it is known
	waits map[int]chan syscall.WaitStatus
}

// newChildren returns children that are reaped until stop is closed.
func newChildren(stop <-chan struct{}) (*children, error) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("become the reaper of orphans: %w", err)
	}
	c := &children{waits: map[int]chan syscall.WaitStatus{}}
	died := make(chan os.Signal, 1)
	signal.Notify(died, syscall.SIGCHLD)
	go func() {
		defer signal.Stop(died)
		ticker := time.NewTicker(time.Second) // a signal that came while nobody listened
		defer ticker.Stop()
		for {
			c.reap()
			select {
			case <-stop:
				return
			case <-died:
			case <-ticker.C:
			}
		}
	}()
	return c, nil
}

func (c *children) reap() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
		if err == syscall.EINTR {
			continue
		}
		if err != nil || pid <= 0 {
			return
		}
		if wait := c.waits[pid]; wait != nil {
			delete(c.waits, pid)
			wait <- status
		}
	}
}

// start runs path as a process group of its own, with this process's files. Its status comes once, when it is dead. It dies with this
// process, however that ends.
func (c *children) start(path string, argv []string) (pid int, dead <-chan syscall.WaitStatus, err error) {
	type result struct {
		pid int
		err error
	}
	started, status, end := make(chan result), make(chan syscall.WaitStatus, 1), make(chan syscall.WaitStatus, 1)
	go func() {
		// PDEATHSIG comes when the thread that started the process ends, so this one lives as long as the process does.
		runtime.LockOSThread()
		c.mu.Lock()
		pid, err := syscall.ForkExec(path, argv, &syscall.ProcAttr{ //nolint:gosec // running a command is the purpose
			Env: os.Environ(), Files: []uintptr{0, 1, 2}, Sys: &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL},
		})
		if err == nil {
			c.waits[pid] = status
		}
		c.mu.Unlock()
		started <- result{pid, err}
		if err == nil {
			end <- <-status
		}
	}()
	r := <-started
	if r.err != nil {
		return 0, nil, fmt.Errorf("start %q: %w", path, r.err)
	}
	return r.pid, end, nil
}

// signal sends s to the process pid alone.
func (c *children) signal(pid int, s syscall.Signal) { _ = syscall.Kill(pid, s) } // an error means that it is dead

// killAll sends SIGKILL to the group of pid and to every child, inherited ones too, and tells whether none is left. Processes that are
// deeper become children when their parents die: call it until it says true.
func (c *children) killAll(pid int) bool {
	c.reap()
	_ = syscall.Kill(-pid, syscall.SIGKILL) // an error means that the group is gone
	left := c.list()
	for _, child := range left {
		_ = syscall.Kill(child, syscall.SIGKILL)
	}
	return len(left) == 0 && syscall.Kill(-pid, 0) == syscall.ESRCH
}

// list returns this process's children, dead ones too until they are reaped, by /proc (proc_pid_stat(5)).
func (c *children) list() []int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	own := strconv.Itoa(os.Getpid())
	var pids []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		stat, err := os.ReadFile("/proc/" + e.Name() + "/stat")
		if err != nil {
			continue // gone
		}
		// The name, in parentheses, may itself contain some.
		_, rest, found := strings.Cut(string(stat[strings.LastIndexByte(string(stat), ')')+1:]), " ")
		if fields := strings.Fields(rest); found && len(fields) > 1 && fields[1] == own {
			pids = append(pids, pid)
		}
	}
	return pids
}
