package probe

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

var handOverOpens = flag.Int("hand-over-opens", 20_000, "opens of each thread during a hand-over")

// loadHooked is a probe that hooks functions where the kernel can.
func loadHooked(t *testing.T, in Interest) *Probe {
	t.Helper()
	needBPF(t)
	p, err := Load(Options{CPUsPerRing: 1, Legacy: legacy(), Interest: in, Hooks: Functions, underWay: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// awaitFunctions waits until functions report, or it is known why they cannot,
// which is not to be on kernels that can.
func awaitFunctions(t *testing.T, p *Probe) {
	t.Helper()
	for p.Hooks().Why == attaching {
		time.Sleep(time.Millisecond)
	}
	if in := p.Hooks(); in.Hooks != Functions && os.Getenv("PEREGRINE_REQUIRE_HOOKS") == "1" {
		t.Errorf("functions are not hooked: %s", in.Why)
	}
}

// Each numbered open is reported once: while functions take over from sys_exit,
// while syscalls come and go, and while sys_exit takes over again.
func TestHandOver(t *testing.T) {
	one := Interest{Syscalls: ids("openat")}
	p := loadHooked(t, one)
	more := Interest{Syscalls: ids("openat", "dup", "connect", "unlinkat", "setsid", "mkdirat", "getpid")}
	back := one
	back.ClosedFiles = true // takes sys_exit

	const threads = 2
	dir := t.TempDir()
	var begun, stop atomic.Int64
	var group sync.WaitGroup
	for i := range threads {
		group.Go(func() {
			for n := range *handOverOpens {
				raw(unix.SYS_OPENAT, unix.AT_FDCWD, filepath.Join(dir, fmt.Sprintf("%d-%d", i, n)), unix.O_RDONLY)
				begun.Add(1)
			}
			stop.Add(1)
		})
	}
	changes := make(chan int)
	go func() {
		awaitFunctions(t, p)
		n := 0
		for ; stop.Load() < threads; n++ {
			for _, in := range []Interest{more, one, back, one} {
				if err := p.SetInterest(in); err != nil {
					t.Error(err)
				}
				if in.ClosedFiles {
					time.Sleep(50 * time.Millisecond)
				}
			}
			awaitFunctions(t, p)
		}
		changes <- n
	}()
	seen := map[string]int{}
	tr := &tracer{t: t, probe: p}
	total := 0
	count := func(all []recorded) {
		for _, e := range all {
			if e.Kind() != event.KindOpenat {
				continue
			}
			name, _ := e.Str(event.KindOpenat.Info().Slot("name"))
			if base, ok := strings.CutPrefix(name, dir+"/"); ok {
				seen[base]++
				total++
			}
		}
	}
	n := -1
	for n < 0 {
		select {
		case n = <-changes:
		default:
			count(tr.drain(0))
		}
	}
	group.Wait()
	count(tr.drain(now()))
	if c, err := p.Counters(); err != nil || c.Dropped() > 0 {
		t.Fatalf("lost events: %+v, %v", c, err)
	}
	t.Logf("%d opens, %d rounds of changes, hooks %+v", threads**handOverOpens, n, p.Hooks())
	for i := range threads {
		for k := range *handOverOpens {
			name := strconv.Itoa(i) + "-" + strconv.Itoa(k)
			if seen[name] != 1 {
				t.Errorf("open %s was reported %d times", name, seen[name])
			}
		}
	}
}

func init() {
	helpers["hooked"] = func() {
		p, err := Load(Options{Interest: Interest{Syscalls: ids("openat", "connect", "getpid")}, Hooks: Functions, underWay: time.Millisecond})
		if err != nil {
			panic(err)
		}
		for p.Hooks().Why == attaching {
			time.Sleep(time.Millisecond)
		}
		fmt.Printf("%+v\n", p.Hooks())
		select {}
	}
}

// Of a sensor that is killed, no program is left on any function.
func TestKilled(t *testing.T) {
	needBPF(t)
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), "PROBE_TEST_HELPER=hooked")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	if stubs(t) == 0 && os.Getenv("PEREGRINE_REQUIRE_HOOKS") == "1" {
		t.Errorf("no function is hooked: %s", said)
	}
	start := time.Now()
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed
	t.Logf("ended after %v", time.Since(start))
	for n := stubs(t); n > 0; n = stubs(t) {
		time.Sleep(100 * time.Millisecond) // to the test's own time limit
	}
	t.Logf("nothing is attached after %v", time.Since(start))
}

// stubs counts the programs on functions that this package attached.
func stubs(t *testing.T) (n int) {
	t.Helper()
	for id := ebpf.ProgramID(0); ; {
		next, err := ebpf.ProgramGetNextID(id)
		if errors.Is(err, os.ErrNotExist) {
			return n
		}
		if err != nil {
			t.Fatal(err)
		}
		id = next
		p, err := ebpf.NewProgramFromID(id)
		if err != nil {
			continue // gone meanwhile
		}
		if info, err := p.Info(); err == nil && (strings.HasPrefix(info.Name, "x64_sys_") || strings.HasPrefix(info.Name, "do_sys_")) {
			n++
		}
		p.Close()
	}
}
