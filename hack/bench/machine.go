package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// machine is what a run's numbers depend on besides the program.
type machine struct {
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"`
	Memory int64  `json:"memory"` // bytes
	Kernel string `json:"kernel"`
	System string `json:"system"`
	Go     string `json:"go"`
}

func thisMachine() machine {
	m := machine{Cores: runtime.NumCPU(), Go: runtime.Version()}
	if data, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		m.CPU = field(data, "model name")
	}
	if data, err := os.ReadFile("/proc/meminfo"); err == nil {
		kb, _ := strconv.ParseInt(strings.TrimSuffix(field(data, "MemTotal"), " kB"), 10, 64)
		m.Memory = kb << 10
	}
	if data, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.Kernel = strings.TrimSpace(string(data))
	}
	if data, err := os.ReadFile("/etc/os-release"); err == nil {
		for line := range strings.Lines(string(data)) {
			if name, found := strings.CutPrefix(line, "PRETTY_NAME="); found {
				m.System = strings.Trim(strings.TrimSpace(name), `"`)
			}
		}
	}
	return m
}

// field returns the value of "name : value" in a file of /proc.
func field(data []byte, name string) string {
	lines := bufio.NewScanner(bytes.NewReader(data))
	for lines.Scan() {
		key, value, found := strings.Cut(lines.Text(), ":")
		if found && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// busy measures how much of the machine's CPU time is used, by anybody.
type busy struct{ used, all int64 }

func newBusy() busy {
	data, err := os.ReadFile("/proc/stat")
	if err != nil {
		return busy{}
	}
	return parseBusy(data)
}

// parseBusy reads the first line of /proc/stat: user nice system idle iowait irq softirq steal.
func parseBusy(stat []byte) busy {
	line, _, _ := bytes.Cut(stat, []byte("\n"))
	var b busy
	for i, f := range bytes.Fields(line) {
		n, err := strconv.ParseInt(string(f), 10, 64)
		if err != nil || i > 8 {
			continue
		}
		b.all += n
		if i != 4 && i != 5 { // idle, iowait; field 0 is the name
			b.used += n
		}
	}
	return b
}

// share returns the used part since b was taken, between 0 and 1.
func (b busy) share() float64 {
	now := newBusy()
	if now.all == b.all {
		return 0
	}
	return float64(now.used-b.used) / float64(now.all-b.all)
}

// load returns the machine's load averages as uptime prints them.
func load() string {
	data, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	fields := strings.Fields(string(data))
	if len(fields) < 3 {
		return "unknown"
	}
	return strings.Join(fields[:3], " ")
}

func seconds(v float64) string { return fmt.Sprintf("%.3f s", v) }

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
