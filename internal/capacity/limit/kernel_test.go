package limit

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/capacity"
	linuxcgroup "github.com/peregrine-sec/peregrine/internal/linux/cgroup"
	"github.com/peregrine-sec/peregrine/internal/linux/procfs"
	"github.com/peregrine-sec/peregrine/test/support/leaks"

	"github.com/peregrine-sec/peregrine/test/support/needs"
)

// TestMain lets the test binary play the capacity run that gets killed, and
// the sensor that uses all the CPU it gets.
func TestMain(m *testing.M) {
	switch os.Getenv("LIMIT_TEST_ROLE") {
	case "victim":
		victim()
	case "journal":
		if _, err := OpenJournal(os.Getenv("LIMIT_TEST_JOURNAL"), Host{}); err != nil {
			panic(err)
		}
		fmt.Println("ready")
		_, _ = os.Stdin.Read(make([]byte, 1))
	case "burner":
		for {
			runtime.Gosched()
		}
	}
	leaks.Main(m)
}

// needCgroups skips where the real tree cannot be written.
func needCgroups(t *testing.T) {
	t.Helper()
	needs.Root(t)
	host := Host{}
	_, err := host.trees()
	needs.That(t, "control groups", err)
}

// command starts this binary in a role.
func command(t *testing.T, role string, env ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	check(t, err)
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), append(env, "LIMIT_TEST_ROLE="+role)...)
	cmd.Stderr = os.Stderr
	return cmd
}

// burner starts a process that takes all the CPU it gets.
func burner(t *testing.T) *exec.Cmd {
	cmd := command(t, "burner")
	check(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd
}

func cgroupText(pid int) string {
	text, _ := linuxcgroup.Read(fmt.Sprintf("/proc/%d/cgroup", pid))
	return text
}

func TestRealThrottle(t *testing.T) {
	needCgroups(t)
	ctx, host := context.Background(), Host{}
	j := newJournal(t, host)
	place, err := NewCgroup(host, j, fmt.Sprintf("peregrine-test-%d", os.Getpid()))
	check(t, err)
	defer place.Restore(ctx)
	check(t, place.Apply(ctx, capacity.Limit{CPU: 0.1, Memory: 64 << 20}))
	sensor := burner(t)
	check(t, place.Add(ctx, sensor.Process.Pid))
	if text := cgroupText(sensor.Process.Pid); !strings.Contains(text, "peregrine-test-") {
		t.Errorf("the sensor's cgroups are\n%s", text)
	}
	if text := cgroupText(os.Getpid()); strings.Contains(text, "peregrine-test-") {
		t.Errorf("the generator is under the limit too:\n%s", text)
	}
	needs.Eventually(t, "throttling", func() bool {
		usage, err := place.Usage()
		check(t, err)
		return usage.ThrottledPeriods > 2 && usage.Throttled > 0 && usage.CPU > 0
	})
	check(t, sensor.Process.Kill())
	_ = sensor.Wait()
	check(t, place.Restore(ctx))
	if _, err := place.Usage(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the cgroup is still there: %v", err)
	}
}

func TestRealOOM(t *testing.T) {
	needCgroups(t)
	ctx, host := context.Background(), Host{}
	place, err := NewCgroup(host, newJournal(t, host), fmt.Sprintf("peregrine-oom-%d", os.Getpid()))
	check(t, err)
	defer place.Restore(ctx)
	check(t, place.Apply(ctx, capacity.Limit{Memory: 16 << 20}))
	// The shell waits for its input before it grows.
	hog := exec.Command("sh", "-c", `read go; x=xxxxxxxxxxxxxxxx; while :; do x="$x$x"; done`)
	in, err := hog.StdinPipe()
	check(t, err)
	check(t, hog.Start())
	check(t, place.Add(ctx, hog.Process.Pid))
	check(t, in.Close())
	if err := hog.Wait(); err == nil {
		t.Error("the hog ended well under 16 Mi")
	}
	usage, err := place.Usage()
	check(t, err)
	if usage.OOMKills == 0 || usage.MemoryPeak == 0 {
		t.Errorf("usage after an OOM kill: %+v", usage)
	}
	check(t, place.Restore(ctx))
}

func TestRealMoveAndBack(t *testing.T) {
	needCgroups(t)
	ctx, host := context.Background(), Host{}
	sensor := burner(t)
	pid := sensor.Process.Pid
	before := cgroupText(pid)
	place, err := ForPID(ctx, host, newJournal(t, host), pid, fmt.Sprintf("peregrine-move-%d", os.Getpid()))
	check(t, err)
	check(t, place.Apply(ctx, capacity.Limit{CPU: 0.5}))
	if cgroupText(pid) == before {
		t.Error("the process shares its cgroup with others and was not moved")
	}
	check(t, place.Restore(ctx))
	if after := cgroupText(pid); after != before {
		t.Errorf("cgroups after Restore:\n%s\nbefore:\n%s", after, before)
	}
	if !procfs.Host.Alive(pid, mustStart(t, pid)) {
		t.Error("Restore ended a process that was not ours")
	}
}

func mustStart(t *testing.T, pid int) uint64 {
	start, err := procfs.Host.StartTime(pid)
	check(t, err)
	return start
}

// victim is a capacity run in the middle of a row: a running sensor that is
// not started here has been moved, one of this test's has been started.
func victim() {
	ctx, host := context.Background(), Host{}
	fail := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	signal.Ignore(syscall.SIGTERM)
	j, err := OpenJournal(os.Getenv("LIMIT_TEST_JOURNAL"), host)
	fail(err)
	var foreign int
	_, err = fmt.Sscan(os.Getenv("LIMIT_TEST_PID"), &foreign)
	fail(err)
	name := fmt.Sprintf("peregrine-victim-%d", os.Getpid())
	moved, err := ForPID(ctx, host, j, foreign, name+"-moved")
	fail(err)
	fail(moved.Apply(ctx, capacity.Limit{CPU: 0.5}))
	place, err := NewCgroup(host, j, name+"-own")
	fail(err)
	fail(place.Apply(ctx, capacity.Limit{CPU: 0.5, Memory: 64 << 20}))
	sensor := exec.Command("sleep", "600")
	fail(sensor.Start())
	fail(j.Process(sensor.Process.Pid))
	fail(place.Add(ctx, sensor.Process.Pid))
	fmt.Println("ready", sensor.Process.Pid)
	select {}
}

func TestKilledRunIsUndone(t *testing.T) {
	needCgroups(t)
	host, dir := Host{}, t.TempDir()
	foreign := burner(t).Process.Pid
	before := cgroupText(foreign)
	run := command(t, "victim", "LIMIT_TEST_JOURNAL="+dir, fmt.Sprintf("LIMIT_TEST_PID=%d", foreign))
	out, err := run.StdoutPipe()
	check(t, err)
	check(t, run.Start())
	var sensor int
	line, err := bufio.NewReader(out).ReadString('\n')
	check(t, err)
	_, err = fmt.Sscanf(line, "ready %d", &sensor)
	check(t, err)
	start := mustStart(t, sensor)
	ownDir := cgroupText(sensor)

	// A run that is alive is left alone.
	done, err := Recover(dir, host)
	if err != nil || len(done) != 0 || !procfs.Host.Alive(sensor, start) {
		t.Errorf("Recover beside a living run: %v, %v", done, err)
	}
	check(t, run.Process.Kill())
	_ = run.Wait()
	if !procfs.Host.Alive(sensor, start) || cgroupText(foreign) == before {
		t.Fatal("nothing is left to undo: the test proves nothing")
	}

	done, err = Recover(dir, host)
	check(t, err)
	if len(done) != 1 || !strings.Contains(done[0], fmt.Sprint(run.Process.Pid)) {
		t.Errorf("Recover says %q", done)
	}
	if procfs.Host.Alive(sensor, start) {
		t.Error("the sensor that the run has started is still alive")
	}
	if after := cgroupText(foreign); after != before {
		t.Errorf("the foreign process is in\n%s\nand was in\n%s", after, before)
	}
	for _, path := range strings.Fields(ownDir) {
		_, cgroup, _ := strings.Cut(path, ":/peregrine-victim")
		if cgroup == "" {
			continue
		}
		trees, err := host.trees()
		check(t, err)
		if _, err := os.Stat(trees["cpu"].Dir + "/peregrine-victim" + cgroup); err == nil {
			t.Errorf("the cgroup %s is still there", cgroup)
		}
	}
	if done, err := Recover(dir, host); err != nil || len(done) != 0 {
		t.Errorf("second Recover: %v, %v; want nothing to do", done, err)
	}
}
