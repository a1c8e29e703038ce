package record_test

import (
	"context"
	"math"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/generator"
	"github.com/peregrine-sec/peregrine/internal/profile"
	"github.com/peregrine-sec/peregrine/internal/profile/record"
	"github.com/peregrine-sec/peregrine/test/support/leaks"
	"github.com/peregrine-sec/peregrine/test/support/needs"
)

const shopVariable = "PEREGRINE_TEST_SHOP"

// The test binary is the workload, and the generator's worker process.
func TestMain(m *testing.M) {
	if status, is := generator.Child(); is {
		os.Exit(status)
	}
	if os.Getenv(shopVariable) != "" {
		shop()
	}
	leaks.Main(m)
}

// shop works until it is killed: every half second has a burst of a tenth.
func shop() {
	start := time.Now()
	for tick := time.Duration(0); ; tick++ {
		time.Sleep(time.Until(start.Add(tick * 10 * time.Millisecond))) // the pace of the load
		customers := 4
		if tick%50 < 10 {
			customers = 20
		}
		for range customers {
			serve()
		}
		if tick%10 == 0 {
			_ = exec.Command("/bin/true").Run()
		}
	}
}

func serve() {
	fd, err := unix.Open("/etc/hostname", unix.O_RDONLY, 0)
	if err != nil {
		return
	}
	var buffer [64]byte
	_, _ = unix.Read(fd, buffer[:])
	_, _ = unix.Pread(fd, buffer[:], 0)
	_ = unix.Close(fd)
	_, _ = unix.Open("/etc/no/such/file", unix.O_RDONLY, 0)
	if fd, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0); err == nil {
		_ = unix.Connect(fd, &unix.SockaddrInet4{Port: 9, Addr: [4]byte{127, 0, 0, 1}})
		_ = unix.Close(fd)
	}
}

// A replay repeats the recording: compares a workload in its own pid namespace
// with recordings of its replays at scale 1 and at scale 2. Other processes of
// this host are left out.
func TestReplayIsTheRecording(t *testing.T) {
	needs.Root(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	workload := exec.Command(self)
	workload.Env = append(os.Environ(), shopVariable+"=1")
	workload.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID, Pdeathsig: syscall.SIGKILL}
	if err := workload.Start(); err != nil {
		t.Fatal(err)
	}
	original, err := record.Run(context.Background(), record.Options{For: 4 * time.Second, Containers: true})
	_ = workload.Process.Kill()
	_ = workload.Wait()
	needs.That(t, "eBPF", err)
	for _, scale := range []float64{1, 2} {
		replayed, late := replay(t, original, scale)
		compare(t, original, replayed, scale, late)
	}
}

// replay plays a profile and records that; late is that of all but one in a
// thousand calls: execs are rarer than one in a hundred.
func replay(t *testing.T, p *profile.Profile, scale float64) (recorded *profile.Profile, late time.Duration) {
	t.Helper()
	o, notes, err := generator.Replay(p, scale, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("scale %g: %q", scale, notes)
	o.Sandbox = generator.SandboxOptions{StateDir: t.TempDir(), Container: generator.InHost}
	ready := make(chan struct{}, 2)
	o.Ready = func([]string) { ready <- struct{}{} }
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	done := make(chan error, 1)
	go func() {
		result, err := generator.Spawn(ctx, o)
		if err == nil {
			late = time.Duration(result.Lateness.ValueAtQuantile(99.9))
			if result.Failed > 0 {
				t.Errorf("scale %g: %+v", scale, result.Counts)
			}
		}
		done <- err
	}()
	var began time.Time
	select {
	case <-ready:
		began = time.Now()
	case err := <-done:
		t.Fatal(err)
	}
	recorded, err = record.Run(context.Background(), record.Options{For: 4 * time.Second, Containers: true, After: began})
	stop()
	if serr := <-done; err != nil || serr != nil {
		t.Fatal(err, serr)
	}
	return recorded, late
}

// busy is how late a replay is on a machine that is too busy to tell anything.
const busy = 100 * time.Millisecond

// compare wants rates within 10 % and bursts within 20 %, of those syscalls that
// the workload makes on purpose. Bursts of a replay that was late are those of
// the machine.
func compare(t *testing.T, original, replayed *profile.Profile, scale float64, late time.Duration) {
	t.Helper()
	for _, name := range []string{"openat", "read", "pread64", "close", "socket", "connect", "execve", "exit_group"} {
		was, is := find(original, name), find(replayed, name)
		rate := is.Container.Rate / (scale * was.Container.Rate)
		failed := is.Container.Failed - was.Container.Failed
		burst := is.Bursts.Tenth.Max / (scale * was.Bursts.Tenth.Max)
		t.Logf("scale %g: %-11s %7.1f/s, recorded %7.1f/s (%.3f); failed %+.3f; burst %.0f/s of %.0f/s (%.3f)",
			scale, name, is.Container.Rate, was.Container.Rate, rate, failed, is.Bursts.Tenth.Max, was.Bursts.Tenth.Max, burst)
		// In windows that are those of the replay, bursts are too.
		if want := scale * was.Bursts.Tenth.Max; late < 5*time.Millisecond && math.Abs(is.Bursts.Tenth.Max-want) > 0.2*want+50 {
			t.Errorf("scale %g: %s has bursts of %.0f/s, want %.0f/s", scale, name, is.Bursts.Tenth.Max, want)
		}
		few := 3 / (was.Container.Rate * original.Seconds) // a count of few is off by more
		if name == "execve" || name == "exit_group" {
			few += 0.15 // one that waits for a CPU is left out
		}
		if late < busy && (math.Abs(rate-1) > 0.1+few || math.Abs(failed) > 0.05) {
			t.Errorf("scale %g: %s at %.3f of the rate, failures %+.3f", scale, name, rate, failed)
		}
	}
	for _, s := range replayed.Syscalls {
		// Some more are needed to have something to close and to wait for processes,
		// and a pause in each millisecond to keep the schedule.
		was, more := find(original, s.Name), 0.1*replayed.Rate
		if s.Name == "nanosleep" {
			more += 1000
		}
		if late < busy && s.Rate() > scale*was.Rate()+more {
			t.Errorf("scale %g: %s at %.0f/s: the recording has %.0f/s", scale, s.Name, s.Rate(), was.Rate())
		}
	}
	was, is := slices.Max(original.Shape.Totals()), slices.Max(replayed.Shape.Totals())
	t.Logf("scale %g: late by up to %v; bursts of 100 ms in containers up to %.0f, recorded %.0f", scale, late, is, was)
	if late < 10*time.Millisecond && math.Abs(is/(scale*was)-1) > 0.2 {
		t.Errorf("scale %g: the highest 100 ms have %.0f calls, want %.0f", scale, is, scale*was)
	}
}

// Each syscall is made as itself, and half of its calls fail, as recorded: but
// for those that always do, or never.
func TestReplayMakesThemselves(t *testing.T) {
	needs.Root(t)
	want := map[string]float64{"openat": 0.5, "close": 0.5, "fgetxattr": 0.5, "set_robust_list": 0.5, "sendfile": 0.5, "pipe2": 0.5, "unlinkat": 0.5,
		"wait4": 1, "waitid": 1, "rseq": 1, "umask": 0}
	if runtime.GOARCH == "amd64" { // others do not have these
		want["pipe"], want["unlink"] = 0.5, 0.5
	}
	var counts []profile.Count
	for name := range want {
		calls := 30.0
		if name == "close" {
			calls *= 16 // more opens than by others
		}
		for _, failed := range []bool{false, true} {
			counts = append(counts, profile.Count{Syscall: name, Container: true, Failed: failed, Calls: calls})
		}
	}
	b := profile.NewBuilder()
	b.Add(counts)
	recorded, _ := replay(t, b.Profile(), 1)
	for name, failed := range want {
		made := find(recorded, name).Container
		if made.Rate == 0 || math.Abs(made.Failed-failed) > 0.2 { // others in containers may make some too
			t.Errorf("%s: %g/s, of which %g failed; want %g", name, made.Rate, made.Failed, failed)
		}
	}
}

// The arguments of a replay are like those of the recording: paths, sockets and
// the argument lists of programs.
func TestReplayIsLike(t *testing.T) {
	needs.Root(t)
	b := profile.NewBuilder()
	for range 40 {
		b.Add([]profile.Count{{Syscall: "openat", Container: true, Calls: 20}, {Syscall: "newfstatat", Container: true, Failed: true, Calls: 20}, {Syscall: "close", Container: true, Calls: 40},
			{Syscall: "execve", Container: true, Calls: 2}, {Syscall: "exit_group", Container: true, Calls: 2}, {Syscall: "clone", Container: true, Calls: 2},
			{Syscall: "socket", Container: true, Calls: 10}, {Syscall: "connect", Container: true, Calls: 10},
			{Syscall: "connect", Container: true, Failed: true, Calls: 1}, {Syscall: "accept4", Container: true, Calls: 1}})
	}
	want := b.Profile()
	want.Processes = &profile.Processes{Forks: 20, Execs: 20, Arguments: &profile.Quantiles{P50: 5, P99: 20, Max: 40}, ArgumentBytes: &profile.Quantiles{P50: 150, P99: 900, Max: 2000}}
	want.Paths = &profile.Paths{Sampled: 1500, Distinct: 0.02, Relative: 0.4, Depth: &profile.Quantiles{P50: 9, P99: 14, Max: 16}}
	want.Sockets = []profile.Socket{{Call: "socket", Family: "ipv4", Protocol: "stream", Share: 0.3}, {Call: "socket", Family: "unix", Protocol: "dgram", Share: 0.1}, {Call: "socket", Family: "netlink", Protocol: "raw", Share: 0.1},
		{Call: "connect", Family: "unix", Locality: "local", Share: 0.3}, {Call: "connect", Family: "ipv4", Locality: "loopback", Share: 0.2},
		{Call: "accept", Family: "ipv4", Locality: "loopback", Share: 0.05}}
	got, _ := replay(t, want, 1)
	near := func(what string, got, want, by float64) {
		t.Helper()
		if math.Abs(got-want) > by {
			t.Errorf("%s: %g, want %g", what, got, want)
		}
	}
	near("depth of half of the paths", got.Paths.Depth.P50, 9, 1)
	near("depth of nearly all paths", got.Paths.Depth.P99, 14, 1)
	near("relative paths", got.Paths.Relative, 0.4, 0.1)
	near("number of paths", got.Paths.Distinct*float64(got.Paths.Sampled), 60, 15) // 30 existing ones, and 30 that do not
	near("arguments of half of the programs", got.Processes.Arguments.P50, 5, 1)
	near("bytes of these", got.Processes.ArgumentBytes.P50, 150, 30)
	for _, s := range want.Sockets {
		share := 0.0
		for _, made := range got.Sockets {
			if made.Call == s.Call && made.Family == s.Family && made.Protocol == s.Protocol {
				share = made.Share
			}
		}
		if near("share of "+s.Call+" "+s.Family, share, s.Share, 0.07); share == 0 {
			t.Errorf("no %s", s.Call)
		}
	}
}

func find(p *profile.Profile, name string) profile.Syscall {
	for _, s := range p.Syscalls {
		if s.Name == name {
			return s
		}
	}
	return profile.Syscall{Name: name}
}
