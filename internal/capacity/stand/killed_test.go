package stand

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/capacity"
	"github.com/peregrine-sec/peregrine/internal/capacity/limit"
	"github.com/peregrine-sec/peregrine/internal/capacity/sweep"
	"github.com/peregrine-sec/peregrine/internal/generator/action"
	"github.com/peregrine-sec/peregrine/test/support/player"

	"github.com/peregrine-sec/peregrine/test/support/needs"
)

// playRun is a capacity run with the player of a Falco, which the test kills.
func playRun() {
	dir := os.Getenv("STAND_TEST_DIR")
	self, err := os.Executable()
	fail := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	fail(err)
	fail(os.Setenv("STAND_TEST_ROLE", "falco")) // of the children
	read, _ := action.Lookup("syscall.ReadSensitiveFileUntrusted")
	g := &fakeGenerator{socket: os.Getenv(player.EventsEnv)}
	s, err := New(context.Background(), Options{Kind: Falco, Program: self, Actions: []*action.Action{read}, Dir: dir, JournalDir: filepath.Join(dir, "journal"),
		Log: io.Discard, Generate: g.generate, Drain: 100 * time.Millisecond, Watch: 50 * time.Millisecond})
	fail(err)
	plan := quick()
	plan.Ramp, plan.Bisect, plan.Confirm, plan.Idle, plan.WarmUp = 100*time.Millisecond, 100*time.Millisecond, 200*time.Millisecond, 50*time.Millisecond, 50*time.Millisecond
	// Rows of some 100 ms each: starting, limiting and restoring again and again.
	var limits []capacity.Limit
	for i := range 50 {
		limits = append(limits, capacity.Limit{CPU: 1, Memory: int64(256+i) << 20})
	}
	_, err = sweep.Run(context.Background(), sweep.Options{Limits: limits, Load: capacity.AlertsOnly, Plan: plan, Total: time.Minute,
		Variants: []sweep.Variant{{Stand: s}}, Now: time.Now, Force: true})
	fail(err)
}

// withMark lists the processes that have a mark in their environment.
func withMark(t *testing.T, mark string) []int {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/environ")
	check(t, err)
	var pids []int
	for _, file := range files {
		if text, err := os.ReadFile(file); err == nil && bytes.Contains(text, []byte(mark)) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			pids = append(pids, pid)
		}
	}
	return pids
}

// A run that is killed at any moment leaves nothing that restoring does not
// take back: no cgroup, no process, no journal.
func TestKilledAtRandomMoments(t *testing.T) {
	needs.Root(t)
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	moments, seed := 25, uint64(time.Now().UnixNano())
	if text := os.Getenv("PEREGRINE_KILLS"); text != "" { // 100, or 100:SEED to repeat one
		if n, err := fmt.Sscanf(text, "%d:%d", &moments, &seed); n == 0 {
			t.Fatal(err)
		}
	}
	t.Logf("PEREGRINE_KILLS=%d:%d", moments, seed)
	random := rand.New(rand.NewPCG(seed, 0))
	self, err := os.Executable()
	check(t, err)
	for n := range moments {
		dir := t.TempDir()
		mark := fmt.Sprintf("STAND_TEST_MARK=%d-%d", os.Getpid(), n)
		run := exec.Command(self)
		run.Env = append(os.Environ(), "STAND_TEST_ROLE=run", "STAND_TEST_DIR="+dir, player.EventsEnv+"="+filepath.Join(dir, "s"), player.CPUsEnv+"=1", player.RateEnv+"=1000", mark)
		var said bytes.Buffer
		run.Stderr = &said
		check(t, run.Start())
		moment := time.Duration(random.Int64N(int64(1500 * time.Millisecond)))
		time.Sleep(moment) // the moment, not a synchronisation
		check(t, run.Process.Kill())
		if err := run.Wait(); err == nil || run.ProcessState.ExitCode() == 1 {
			t.Fatalf("the run ended by itself before %v: %v\n%s", moment, err, &said)
		}
		if _, err := limit.Recover(filepath.Join(dir, "journal"), limit.Host{}); err != nil {
			t.Errorf("killed after %v: %v", moment, err)
		}
		if left := withMark(t, mark); !gone(t, left, mark) {
			t.Errorf("killed after %v: processes %v are left", moment, left)
		}
		left, err := filepath.Glob(fmt.Sprintf("/sys/fs/cgroup/*/peregrine-capacity-%d", run.Process.Pid))
		check(t, err)
		journals, err := filepath.Glob(filepath.Join(dir, "journal", "*"))
		check(t, err)
		if left = append(left, journals...); len(left) > 0 {
			t.Errorf("killed after %v: left behind: %v", moment, left)
		}
	}
}

// gone waits for processes that end by themselves after their parent, such as
// one that was started and not yet released.
func gone(t *testing.T, pids []int, mark string) bool {
	t.Helper()
	const most = 5000 // ms
	for _, pid := range pids {
		fd, err := unix.PidfdOpen(pid, 0)
		if errors.Is(err, unix.ESRCH) {
			continue
		}
		check(t, err)
		for err = unix.EINTR; errors.Is(err, unix.EINTR); {
			_, err = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, most) // readable at its end: pidfd_open(2)
		}
		check(t, errors.Join(err, unix.Close(fd)))
	}
	return len(withMark(t, mark)) == 0
}
