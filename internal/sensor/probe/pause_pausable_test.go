//go:build pausable

package probe

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// A probe that pauses sees nothing until it resumes.
func TestPause(t *testing.T) {
	p := load(t, Options{Interest: Interest{Syscalls: ids("dup", "rmdir", "chdir", "unlink", "fchdir")}, Hooks: Tracepoint})
	ours, theirs := net.Pipe()
	go p.servePauses(theirs)
	answers := bufio.NewScanner(ours)
	ask := func(what string) string {
		if _, err := fmt.Fprintln(ours, what); err != nil || !answers.Scan() {
			t.Fatalf("%s: no answer (%v)", what, err)
		}
		return answers.Text()
	}
	tr := &tracer{t: t, probe: p}
	for _, step := range []struct {
		ask string
		nr  uintptr
	}{{"", unix.SYS_DUP}, {"pause", unix.SYS_RMDIR}, {"resume", unix.SYS_CHDIR}, {"pause", unix.SYS_UNLINK}, {"resume", unix.SYS_FCHDIR}} {
		if step.ask != "" {
			if said := ask(step.ask); said != "" {
				t.Fatalf("%s: %s", step.ask, said)
			}
		}
		raw(step.nr, -1)
	}
	var got []event.Kind
	for _, e := range tr.drain(now()) {
		if e.Header().PID == uint32(os.Getpid()) {
			got = append(got, e.Kind())
		}
	}
	if want := []event.Kind{event.KindDup, event.KindChdir, event.KindFchdir}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if said := ask("stop"); said == "" {
		t.Error("an unknown word is not an error")
	}
	ours.Close()
}
