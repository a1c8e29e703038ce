//go:build pausable

package probe

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
)

// pauses is an environment variable: the descriptor of a socket at which another
// process asks for pauses, by a line "pause" or "resume" that is answered by an
// empty line or an error. To compare work with and without the sensor, it has to
// come and go faster than the speed of the machine changes, and a start takes too
// long for that.
const pauses = "PEREGRINE_PAUSES"

// startPauses answers from now on, if there is such a socket.
func (p *Probe) startPauses() {
	if fd, err := strconv.Atoi(os.Getenv(pauses)); err == nil {
		go p.servePauses(os.NewFile(uintptr(fd), pauses))
	}
}

// servePauses answers until the other end is closed.
func (p *Probe) servePauses(socket io.ReadWriter) {
	in := bufio.NewScanner(socket)
	for in.Scan() {
		var err error
		switch line := in.Text(); line {
		case "pause":
			err = p.pause()
		case "resume":
			err = p.resume()
		default:
			err = fmt.Errorf("%q: expected pause or resume", line)
		}
		answer := ""
		if err != nil {
			answer = err.Error()
		}
		if _, err := fmt.Fprintln(socket, answer); err != nil {
			return
		}
	}
}

// pause detaches all programs. What processes do meanwhile is never known.
func (p *Probe) pause() error {
	h := &p.hooks
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.state != bySysExit || p.before != nil {
		return errors.New("only a probe at sys_exit alone can pause")
	}
	err := h.sysExit.Close()
	for _, l := range p.links {
		err = errors.Join(err, l.Close())
	}
	p.links, h.sysExit = nil, nil
	return err
}

func (p *Probe) resume() error {
	p.hooks.mu.Lock()
	defer p.hooks.mu.Unlock()
	return p.attach()
}
