package cli

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"golang.org/x/term"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/zone"
)

// progress shows what each zone is doing: on a terminal one live line a zone, elsewhere a line for each change. It is safe for
// concurrent use, and makes no colours.
type progress struct {
	mu    sync.Mutex
	out   io.Writer
	width func() int // columns of the terminal; nil where there is none

	names  int // width of the widest zone name
	zones  []string
	status map[string]string
	drawn  int
}

// newProgress returns a progress for zones that writes to out.
func newProgress(out io.Writer, zones []zone.Zone) *progress {
	p := &progress{out: out, status: map[string]string{}}
	for _, z := range zones {
		p.zones = append(p.zones, z.Name)
		p.names = max(p.names, len(z.Name))
	}
	if file, ok := out.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		p.width = func() int {
			columns, _, err := term.GetSize(int(file.Fd()))
			if err != nil || columns < 20 {
				return 80
			}
			return columns
		}
	}
	return p
}

// Status replaces the zone's line.
func (p *progress) Status(z zone.Zone, step, text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	text = strings.Join(strings.Fields(text), " ")
	line := strings.TrimRight(fmt.Sprintf("%-*s  %-16s %s", p.names, z.Name, step, text), " ")
	if p.status[z.Name] == line {
		return
	}
	p.status[z.Name] = line
	if p.width == nil {
		fmt.Fprintln(p.out, line)
		return
	}
	p.erase()
	p.draw()
}

// Note writes a line that stays, above the live ones.
func (p *progress) Note(z zone.Zone, text string) {
	p.say(fmt.Sprintf("%-*s  %s", p.names, z.Name, text))
}

// say writes a line that concerns no zone of its own.
func (p *progress) say(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.erase()
	fmt.Fprintln(p.out, line)
	p.draw()
}

// settle leaves the live lines where they are, as lines of the past.
func (p *progress) settle() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.drawn = 0
	clear(p.status)
}

// erase takes the live lines away.
func (p *progress) erase() {
	if p.width != nil && p.drawn > 0 {
		fmt.Fprintf(p.out, "\x1b[%dA\x1b[J", p.drawn)
		p.drawn = 0
	}
}

func (p *progress) draw() {
	if p.width == nil {
		return
	}
	width := p.width()
	for _, name := range p.zones {
		line, ok := p.status[name]
		if !ok {
			continue
		}
		// A line that wraps would count as two when the block is taken away.
		if letters := []rune(line); len(letters) >= width {
			line = string(letters[:width-2]) + "…"
		}
		fmt.Fprintln(p.out, line)
		p.drawn++
	}
}
