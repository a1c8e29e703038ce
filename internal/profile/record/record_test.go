package record

import (
	"context"
	"math"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/profile"
	stat "github.com/peregrine-sec/peregrine/internal/sample"
	"github.com/peregrine-sec/peregrine/test/support/needs"
)

// recorded is a profile of act, which is stopped once the recording has seen a
// second.
func recorded(t *testing.T, o Options, act func(stop *atomic.Bool)) *profile.Profile {
	t.Helper()
	k, err := attach(false)
	needs.That(t, "eBPF", err)
	if err := k.close(); err != nil {
		t.Fatal(err)
	}
	var stop atomic.Bool
	done := make(chan struct{})
	go func() {
		act(&stop)
		close(done)
	}()
	o.For = time.Second
	p, err := Run(context.Background(), o)
	stop.Store(true)
	<-done
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func syscallOf(p *profile.Profile, name string) *profile.Syscall {
	for i := range p.Syscalls {
		if p.Syscalls[i].Name == name {
			return &p.Syscalls[i]
		}
	}
	return &profile.Syscall{Name: name}
}

// The recording has the calls of threads: failures, sockets and processes too.
// Each thread repeats one call in a tight loop, so that it is among the few
// that are sampled, whatever else this host does.
func TestRecords(t *testing.T) {
	acts := []func(){
		func() {
			_, _ = unix.Open("nowhere/at/all", unix.O_RDONLY, 0) // openat
			_, _ = unix.Getsid(1 << 30)
		},
		func() {
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
			if err == nil {
				_ = unix.Connect(fd, &unix.SockaddrInet4{Port: 9, Addr: [4]byte{127, 0, 0, 1}})
				_ = unix.Close(fd)
			}
		},
		func() { _ = exec.Command("/bin/true", "one", "two").Run() },
	}
	p := recorded(t, Options{}, func(stop *atomic.Bool) {
		var threads sync.WaitGroup
		for _, act := range acts {
			threads.Go(func() {
				for !stop.Load() {
					act()
				}
			})
		}
		threads.Wait()
	})
	if p.Seconds < 1 || p.Rate <= 0 || p.Source.Kind != profile.FromKernel || p.Source.CPUs != runtime.NumCPU() {
		t.Errorf("%g s at %g/s from %+v", p.Seconds, p.Rate, p.Source)
	}
	if sid := syscallOf(p, "getsid"); sid.Rate() <= 0 || sid.Failed() < 0.5 { // others on this host may ask too
		t.Errorf("getsid: %g/s, of which %g failed", sid.Rate(), sid.Failed())
	}
	if p.Processes.Execs <= 0 || p.Processes.Forks <= 0 || p.Processes.Exits <= 0 || syscallOf(p, "exit_group").Rate() <= 0 {
		t.Errorf("%+v", p.Processes)
	}
	if a := p.Processes.Arguments; a == nil || a.Max < 3 || p.Processes.ArgumentBytes.Max < float64(len("/bin/true one two")) {
		t.Errorf("arguments %+v", a)
	}
	if l := p.Processes.Lifetime; l == nil || l.P50 <= 0 {
		t.Errorf("lifetimes %+v", l)
	}
	if p.Paths == nil || p.Paths.Relative <= 0 || p.Paths.Distinct > 1 {
		t.Errorf("paths %+v", p.Paths)
	}
	for _, want := range []profile.Socket{
		{Call: "socket", Family: "ipv4", Protocol: "dgram"},
		{Call: "connect", Family: "ipv4", Locality: "loopback"},
	} {
		if !slices.ContainsFunc(p.Sockets, func(s profile.Socket) bool { s.Share = 0; return s == want }) {
			t.Errorf("no %+v in %+v", want, p.Sockets)
		}
	}
}

// The most frequent paths are named, if that is asked for.
func TestNames(t *testing.T) {
	path := func(text string) *sample {
		one := &sample{Facts: pathFirst, Length: int32(len(text) + 1)}
		copy(one.Data[:], text)
		return one
	}
	s := newSamples(true)
	for i := range 2 * mostNames {
		s.add(path("/var/lib/" + strconv.Itoa(i)))
		s.add(path("nowhere/at/all"))
	}
	p := &profile.Profile{Processes: &profile.Processes{}}
	s.complete(p)
	if p.Paths.Relative != 0.5 || len(p.Paths.Names) != mostNames || p.Paths.Names[0] != (profile.Named{Path: "nowhere/at/all", Share: 0.5}) {
		t.Errorf("%+v", p.Paths)
	}
}

// No name leaves the host unless it is asked for.
func TestNoNames(t *testing.T) {
	p := recorded(t, Options{}, func(stop *atomic.Bool) {
		for !stop.Load() {
			_, _ = os.Stat("/secret/place")
		}
	})
	if p.Paths == nil || len(p.Paths.Names) > 0 {
		t.Errorf("paths %+v", p.Paths)
	}
}

// A process of its own process namespace is in a container. The host, on which
// this test works too, can be left out: its calls, sockets and processes.
func TestContainers(t *testing.T) {
	p := recorded(t, Options{Containers: true, After: time.Now()}, func(stop *atomic.Bool) {
		for !stop.Load() {
			c := exec.Command("/bin/true")
			c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID}
			_ = c.Run()
			if fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_RAW, 0x40); err == nil {
				_ = unix.Close(fd)
			}
		}
	})
	if s := syscallOf(p, "execve"); s.Container.Rate <= 0 || p.Processes.Execs <= 0 {
		t.Errorf("%+v, %+v", s, p.Processes)
	}
	for _, s := range p.Syscalls {
		if s.Host.Rate != 0 {
			t.Errorf("%s of the host: %+v", s.Name, s.Host)
		}
	}
	for _, s := range p.Shape.Strands {
		if !s.Container {
			t.Errorf("a strand of the host: %+v", s)
		}
	}
	if i := slices.IndexFunc(p.Sockets, func(s profile.Socket) bool { return s.Protocol == "raw" && s.Family == "ipv6" }); i >= 0 {
		t.Errorf("a socket of the host: %+v", p.Sockets[i])
	}
}

// The end of the context is the end of the recording, not an error.
func TestStops(t *testing.T) {
	k, err := attach(false)
	needs.That(t, "eBPF", err)
	if err := k.close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var seen Moment
	p, err := Run(ctx, Options{Progress: func(m Moment) { seen = m; cancel() }})
	if err != nil || p.Seconds < 0.9 {
		t.Errorf("%+v, %v", p, err)
	}
	if calls := seen.Host + seen.Container; seen.Elapsed < time.Second || calls == 0 || seen.Failed > calls {
		t.Errorf("the first second: %+v", seen)
	}
}

// A window that was read late is no burst.
func TestLateWindow(t *testing.T) {
	r := &recording{builder: profile.NewBuilder()}
	for _, length := range []time.Duration{100, 100, 300, 100, 120, 80} {
		r.now.Calls[0][0][0] += uint64(length)
		r.window(length * time.Millisecond)
	}
	p := r.builder.Profile()
	if math.Abs(p.Rate-1000) > 1 || p.Bursts.Tenth.Max != 1000 || p.Seconds != 0.8 {
		t.Errorf("%g/s up to %g/s in %g s", p.Rate, p.Bursts.Tenth.Max, p.Seconds)
	}
}

func TestAddresses(t *testing.T) {
	for want, data := range map[profile.Socket][]byte{
		{Call: "bind", Family: "ipv4", Locality: "any"}:       {2, 0, 0, 80, 0, 0, 0, 0},
		{Call: "bind", Family: "ipv4", Locality: "private"}:   {2, 0, 0, 80, 10, 1, 2, 3},
		{Call: "bind", Family: "ipv4", Locality: "public"}:    {2, 0, 0, 80, 8, 8, 8, 8},
		{Call: "bind", Family: "ipv4", Locality: "multicast"}: {2, 0, 0, 80, 224, 0, 0, 1},
		{Call: "bind", Family: "unix", Locality: "local"}:     {1, 0},
		{Call: "bind", Family: "netlink"}:                     {16, 0, 0, 0},
		{Call: "bind", Family: "ipv4"}:                        {2, 0, 0},
		{Call: "bind", Family: "none"}:                        {},
		{Call: "bind", Family: "ipv6", Locality: "loopback"}:  append(append([]byte{10, 0, 0, 80, 0, 0, 0, 0}, make([]byte, 15)...), 1),
		{Call: "bind", Family: "family 77"}:                   {77, 0},
	} {
		if got := address("bind", data); got != want {
			t.Errorf("%v: %+v, want %+v", data, got, want)
		}
	}
}

// BenchmarkCost is the price of a syscall: without a program, with an empty one
// at the same hook, while counting, and while the counts are read every 10 ms as
// in a recording. They come by turns; the figures are medians.
func BenchmarkCost(b *testing.B) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	const calls = 100_000 // several readings
	costs := map[string][]float64{}
	turn := func(name string) {
		before := threadTime(b)
		for range calls {
			syscall.Getppid()
		}
		costs[name] = append(costs[name], float64(threadTime(b)-before)/calls)
	}
	for b.Loop() {
		turn("none")
		detach := emptyProgram(b)
		turn("empty")
		detach()
		k, err := attach(false)
		needs.That(b, "eBPF", err)
		turn("count")
		stop := reads(b, k)
		turn("record")
		stop()
		if err := k.close(); err != nil {
			b.Fatal(err)
		}
	}
	for name, ns := range costs {
		b.ReportMetric(stat.Median(ns), name+"-ns/syscall")
	}
	var above []float64
	for i, ns := range costs["record"] {
		above = append(above, ns-costs["empty"][i])
	}
	b.ReportMetric(stat.Median(above), "above-empty-ns/syscall")
}

// reads reads the counts on another thread until stop.
func reads(b *testing.B, k *kernel) (stop func()) {
	var all counts
	ended := make(chan bool)
	timer := time.NewTicker(slot)
	var reading sync.WaitGroup
	reading.Go(func() {
		for {
			select {
			case <-ended:
				return
			case <-timer.C:
				if err := k.read(&all); err != nil {
					b.Error(err)
				}
			}
		}
	})
	return func() {
		timer.Stop()
		close(ended)
		reading.Wait()
	}
}

// BenchmarkRead is what the recorder itself spends on one reading, of which it
// makes a hundred a second: the kernel copies the counts of each CPU, and this
// process adds them up.
func BenchmarkRead(b *testing.B) {
	k, err := attach(false)
	needs.That(b, "eBPF", err)
	defer k.close()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var all counts
	before := threadTime(b)
	for b.Loop() {
		if err := k.read(&all); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(threadTime(b)-before)/float64(b.N)/float64(len(k.perCPU)), "cpu-ns/cpu")
}

func threadTime(b *testing.B) int64 {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		b.Fatal(err)
	}
	return t.Nano()
}

// A moment has the counts since an earlier one, per second.
func TestSince(t *testing.T) {
	var before, now counts
	before.Calls[0][0][1], now.Calls[0][0][1] = 10, 30
	now.Calls[0][1][2], now.Calls[1][1][3], now.Calls[1][0][3] = 4, 6, 8
	before.Forks, now.Forks = [2]uint64{1, 1}, [2]uint64{2, 4}
	if got, want := now.since(&before, 2), (Moment{Host: 12, Container: 7, Failed: 5, Starts: 2}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}
