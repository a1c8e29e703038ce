package generator

import (
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/peregrine-sec/peregrine/internal/generator/engine"
	"github.com/peregrine-sec/peregrine/internal/generator/sandbox"
	"github.com/peregrine-sec/peregrine/test/support/enginetest"
)

// A podman that does not react to a signal is killed with all that it has
// started, and the error says what may be left. One that stops is not killed.
func TestAbortOfPodman(t *testing.T) {
	for _, tt := range []struct {
		name, run string
		patience  time.Duration
		killed    bool
	}{
		{"deaf", "trap '' TERM; echo $$ >&2; while :; do sleep 60; done", 50 * time.Millisecond, true},
		{"stopping", "trap 'exit 3' TERM; echo $$ >&2; while :; do sleep 0.01; done", time.Hour, false},
	} {
		noted := enginetest.Stub(t, "podman", `[ "$1" = run ] || exit 0; exec 2>>$log; `+tt.run)
		abort := make(chan struct{})
		s := &spawned{run: "0123abcd", patience: tt.patience, options: Options{Abort: abort, Sandbox: SandboxOptions{Engine: engine.Podman, Image: "i"}}}
		var err error
		if s.journal, err = sandbox.OpenJournal(t.TempDir(), s.run); err != nil {
			t.Fatal(err)
		}
		go func() {
			for strings.Count(noted(), "\n") < 2 { // its trap is not set yet
				time.Sleep(time.Millisecond) // between checks
			}
			close(abort)
		}()
		if _, err = s.start(t.Context(), brief{}, &part{real: true}); err == nil {
			t.Errorf("%s: no error", tt.name)
		}
		if left := s.remains(); tt.killed != (left != nil) || left != nil && !strings.Contains(left.Error(), "grep peregrine-0123abcd") {
			t.Errorf("%s: %v", tt.name, left)
		}
		if err := s.journal.Undo(); err != nil || !strings.Contains(noted(), "container ls") {
			t.Errorf("%s: %v after %s", tt.name, err, noted())
		}
		// One that has been killed does not sleep any more.
		group := strconv.Itoa(s.command.Process.Pid)
		if out, err := exec.Command("pgrep", "-r", "S", "-g", group).Output(); err == nil {
			t.Errorf("%s: left processes %s", tt.name, out)
		}
	}
}
