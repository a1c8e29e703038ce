package generator

import (
	"context"
	"errors"
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

// startCtr runs a worker process by a ctr that does as the script says.
func startCtr(t *testing.T, script string, patience time.Duration, abort <-chan struct{}) (s *spawned, noted func() string) {
	t.Helper()
	noted = enginetest.Stub(t, "ctr", `[ "$1" = run ] || exit 0; `+script)
	s = &spawned{run: "0123abcd", patience: patience, options: Options{Abort: abort, Sandbox: SandboxOptions{Engine: engine.Containerd, Image: "i"}}}
	var err error
	if s.journal, err = sandbox.OpenJournal(t.TempDir(), s.run); err != nil {
		t.Fatal(err)
	}
	return s, noted
}

// ready is a worker process's first frame.
const ready = `printf 'P\002\000\000\000[]'`

// A ctr is not ended before its container runs, and then at once. If it takes too
// long, it is killed, and the error says what may be left.
func TestAbortOfCtr(t *testing.T) {
	abort := make(chan struct{})
	close(abort)
	for _, tt := range []struct {
		name, script string
		patience     time.Duration
		killed       bool
	}{
		{"starting", "sleep 0.3; echo made >> $log; " + ready + "; exec sleep 60", time.Hour, false},
		{"stuck", "exec sleep 60", 50 * time.Millisecond, true},
	} {
		s, noted := startCtr(t, tt.script, tt.patience, abort)
		if _, err := s.start(t.Context(), brief{}, &part{real: true}); err == nil || !strings.Contains(err.Error(), "killed") {
			t.Errorf("%s: %v", tt.name, err)
		}
		if made := strings.Contains(noted(), "made"); made == tt.killed {
			t.Errorf("%s: made the container: %v", tt.name, made)
		}
		if left := s.remains(); tt.killed != (left != nil) || left != nil && !strings.Contains(left.Error(), "grep "+engine.Containerd.ID("peregrine-0123abcd")) {
			t.Errorf("%s: %v", tt.name, left)
		}
	}
}

// A ctr loses the end of its standard input before its container runs: a run that
// is to stop waits until then.
func TestStopOfCtr(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s, noted := startCtr(t, "exec 3<&0; (cat <&3 > /dev/null; echo ended >> $log) & sleep 0.3; echo made >> $log; "+ready+"; wait", time.Hour, nil)
	if _, err := s.start(ctx, brief{}, &part{real: true}); !errors.Is(err, ErrEnded) {
		t.Error(err)
	}
	if !strings.HasSuffix(noted(), "\nmade\nended\n") {
		t.Errorf("in another order: %q", noted())
	}
}

// A run that is to stop does not wait for a ctr that hangs.
func TestStopOfStuckCtr(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s, _ := startCtr(t, "exec sleep 60", 50*time.Millisecond, nil)
	if _, err := s.start(ctx, brief{}, &part{real: true}); !errors.Is(err, ErrEnded) {
		t.Error(err)
	}
	if s.remains() == nil {
		t.Error("nothing is said of what may be left")
	}
}
