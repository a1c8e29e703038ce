package probe

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/test/support/leaks"
	"github.com/peregrine-sec/peregrine/test/support/needs"
)

// needBPF skips a test where programs cannot be loaded; with
// PEREGRINE_REQUIRE_BPF=1 that is a failure.
func needBPF(t testing.TB) {
	t.Helper()
	needs.That(t, "eBPF", check())
}

// shared is the probe of all tests without special needs. It is loaded without
// interest, and each test has only its own functions attached.
var shared = sync.OnceValues(func() (*Probe, error) {
	p, err := Load(asTested(Options{CPUsPerRing: 1}))
	if err == nil {
		settled(p)
	}
	return p, err
})

var hooksFlag = flag.String("hooks", string(Tracepoint), "where the tests' probes see syscalls")

// asTested completes the options of a test's probe.
func asTested(o Options) Options {
	o.Legacy = legacy()
	if o.underWay == 0 {
		o.underWay = time.Millisecond
	}
	if o.Hooks == "" {
		o.Hooks = Hooks(*hooksFlag)
	}
	return o
}

// load loads a probe for this test alone, and waits for its hooks.
func load(t testing.TB, o Options) *Probe {
	t.Helper()
	needBPF(t)
	p, err := Load(asTested(o))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	awaitHooks(t, p)
	return p
}

// loadOwn is load for tests that change the interest.
func loadOwn(t testing.TB) *Probe {
	t.Helper()
	return load(t, Options{CPUsPerRing: 1})
}

// settled waits until functions report, or it is known why they do not.
func settled(p *Probe) InForce {
	// Emulated, the verifier takes minutes.
	needs.Within(10*needs.Patience, func() bool { return p.Hooks().Why != attaching })
	return p.Hooks()
}

// awaitHooks is settled where functions that are asked for have to report, if
// the kernel is one that can.
func awaitHooks(t testing.TB, p *Probe) InForce {
	t.Helper()
	in := settled(p)
	if p.hooks.mode == Functions && in.Hooks != Functions && !p.hooks.interest.ClosedFiles && os.Getenv("PEREGRINE_REQUIRE_HOOKS") == "1" {
		t.Errorf("functions are not hooked: %s", in.Why)
	}
	return in
}

// legacy runs the tests on the programs for older kernels.
func legacy() bool { return os.Getenv("PEREGRINE_LEGACY_PROBE") == "1" }

// No test runs on the first thread, of which /proc/self speaks: tests of mounts
// leave their thread in a namespace of its own.
func init() { runtime.LockOSThread() }

func TestMain(m *testing.M) {
	if helper, ok := helpers[os.Getenv("PROBE_TEST_HELPER")]; ok {
		helper()
		return
	}
	leaks.Main(tests{m})
}

// tests are the package's, after which the probe that they share ends.
type tests struct{ *testing.M }

func (t tests) Run() int {
	code := t.M.Run()
	if check() == nil {
		if p, err := shared(); err == nil {
			p.Close()
		}
	}
	return code
}

// helpers are the programs that a copy of the test binary can act as.
var helpers = map[string]func(){}

// tracer records the events that a test causes.
type tracer struct {
	t      *testing.T
	probe  *Probe
	events []recorded

	// The thread that did it, and when: the runtime's other threads call things
	// too, and this one polls the network for the runtime before and after.
	tid         uint32
	begin, done uint64
}

// recorded is a copy of an event.
type recorded struct {
	event.View
}

// trace calls do on a locked thread while the named syscalls are sent, and
// returns all events, of any process, from then to the end of do.
func trace(t *testing.T, syscalls []string, do func()) *tracer {
	t.Helper()
	needBPF(t)
	p, err := shared()
	if err != nil {
		t.Fatalf("%v", err)
	}
	return traceWith(t, p, syscalls, do)
}

func traceWith(t *testing.T, p *Probe, syscalls []string, do func()) *tracer {
	t.Helper()
	var in Interest
	for _, name := range syscalls {
		id, ok := event.SyscallByName(name)
		if !ok {
			t.Fatalf("no syscall %q", name)
		}
		in.Syscalls = append(in.Syscalls, id)
	}
	return traceInterest(t, p, in, do)
}

func traceInterest(t *testing.T, p *Probe, in Interest, do func()) *tracer {
	t.Helper()
	tr := &tracer{t: t, probe: p}
	setInterest(t, p, in)
	awaitHooks(t, p)
	tr.drain(now()) // drop the events of earlier tests, and of the change of hooks
	runtime.LockOSThread()
	tr.tid = uint32(unix.Gettid())
	unblock := blockPreemption(t)
	tr.begin = now()
	do()
	tr.done = now()
	unblock()
	runtime.UnlockOSThread()
	setInterest(t, p, Interest{})
	tr.events = tr.drain(now())
	return tr
}

// setInterest changes the interest from another thread: the test's own may have
// another root, and is the one whose calls are looked at.
func setInterest(t *testing.T, p *Probe, in Interest) {
	t.Helper()
	err := make(chan error)
	go func() { err <- p.SetInterest(in) }()
	if err := <-err; err != nil {
		t.Fatal(err)
	}
}

// blockPreemption keeps the Go runtime's signals from the thread: they would
// interrupt a blocking call, which the kernel then makes again, as another
// event.
func blockPreemption(t *testing.T) (unblock func()) {
	t.Helper()
	var urgent, before unix.Sigset_t
	urgent.Val[0] = 1 << (unix.SIGURG - 1)
	if err := unix.PthreadSigmask(unix.SIG_BLOCK, &urgent, &before); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := unix.PthreadSigmask(unix.SIG_SETMASK, &before, nil); err != nil {
			t.Fatal(err)
		}
	}
}

// drain takes all events up to the given time out of the rings.
func (tr *tracer) drain(until uint64) []recorded {
	var out []recorded
	for {
		asked := now() // before Next looks: this thread may have to wait in between
		b, ok := tr.probe.Reader().Next()
		if !ok {
			if asked > until+2_000_000 { // older than any window of the reader
				return out
			}
			tr.probe.Reader().Wait(100 * time.Millisecond)
			continue
		}
		out = append(out, record(tr.t, b))
	}
}

func record(t testing.TB, b []byte) recorded {
	words := make([]uint64, (len(b)+7)/8) // aligned
	own := unsafe.Slice((*byte)(unsafe.Pointer(&words[0])), len(b))
	copy(own, b)
	var r recorded
	if err := r.Reset(own); err != nil {
		t.Fatalf("event from the ring: %v", err)
	}
	return r
}

func now() uint64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		panic(err)
	}
	return uint64(ts.Nano())
}

// of are the events of one kind and process.
func (tr *tracer) of(k event.Kind, pid int) []recorded {
	var out []recorded
	for _, e := range tr.events {
		if e.Kind() == k && e.Header().PID == uint32(pid) {
			out = append(out, e)
		}
	}
	return out
}

// one is the only event of a kind by the thread, while it did what is traced.
func (tr *tracer) one(k event.Kind) recorded {
	tr.t.Helper()
	all := slices.DeleteFunc(tr.of(k, os.Getpid()), func(e recorded) bool {
		h := e.Header()
		return h.TID != tr.tid || h.Time < tr.begin || h.Time > tr.done
	})
	if len(all) != 1 {
		var s []string
		for _, e := range tr.events {
			s = append(s, fmt.Sprintf("%s of %d: %v", e.Kind(), e.Header().PID, e.fields()))
		}
		tr.t.Fatalf("%d events %s, want 1; all of them:\n%s", len(all), k, strings.Join(s, "\n"))
	}
	return all[0]
}

// fields are all the parameters and extras of an event, as text:
// numbers in decimal, strings quoted, "-" when missing.
func (e *recorded) fields() map[string]string {
	m := map[string]string{}
	info := e.Info()
	for i := range info.Slots() {
		p := param(info, i)
		m[p.Name] = e.field(i, p)
	}
	return m
}

func param(info *event.Info, i int) event.Param {
	if i < len(info.Params) {
		return info.Params[i]
	}
	return info.Extras[i-len(info.Params)]
}

func (e *recorded) field(i int, p event.Param) string {
	switch {
	case p.Type == event.File:
		var f event.FileInfo
		if !e.FileInfo(i, &f) {
			return "-"
		}
		return fileText(&f)
	case p.Type == event.SockAddr:
		a, ok := e.SockAddr(i)
		if !ok {
			return "-"
		}
		return endpointText(a)
	case p.Type == event.SockTuple:
		a, b, ok := e.SockTuple(i)
		if !ok {
			return "-"
		}
		return endpointText(a) + "->" + endpointText(b)
	case info(e, i):
		s, ok := e.Str(i)
		if !ok {
			return "-"
		}
		return fmt.Sprintf("%q", s)
	case p.Type >= event.Uint8 && p.Type <= event.Mode, p.Type == event.UID, p.Type == event.GID:
		return fmt.Sprint(e.Uint(i))
	}
	return fmt.Sprint(e.Int(i))
}

func info(e *recorded, i int) bool { return e.Info().Variable(i) }

func endpointText(e event.Endpoint) string {
	if e.Unix {
		return fmt.Sprintf("unix %q", e.Path)
	}
	return e.Addr.String()
}

// fileText is a FileInfo as text: type, path or ends, and other fields that are
// set.
func fileText(f *event.FileInfo) string {
	s := fmt.Sprintf("%d", f.Type)
	switch f.Type {
	case event.FDIPv4, event.FDIPv6:
		local, remote := f.Addrs()
		s += fmt.Sprintf(" %v:%d->%v:%d proto %d", local, f.SPort, remote, f.DPort, f.L4Proto)
	case event.FDUnix:
		local, remote := f.UnixPaths()
		s += fmt.Sprintf(" %q->%q", local, remote)
	default:
		s += fmt.Sprintf(" %q", f.Path())
	}
	for i, name := range []string{"upper", "lower", "connected", "server", "client", "listening"} {
		if f.Flags&(1<<i) != 0 {
			s += " " + name
		}
	}
	return s
}

// regular is the text of a regular file.
func regular(path string) string { return fmt.Sprintf("%d %q", event.FDFile, path) }

// directory is the text of a directory.
func directory(path string) string { return fmt.Sprintf("%d %q", event.FDDirectory, path) }

// quote is the text of a string parameter.
func quote(s string) string { return fmt.Sprintf("%q", s) }

// want compares all the parameters of an event; "*" stands for any value that
// is there.
func (e *recorded) want(t *testing.T, want map[string]string) {
	t.Helper()
	got := e.fields()
	for name, v := range want {
		if v == "*" && got[name] != "" && got[name] != "-" {
			got[name] = v
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (-want +got):\n%s", e.Kind(), d)
	}
}

// inode is the device and inode number of a file, as parameters have them.
func inode(t testing.TB, path string) (dev, ino string) {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(uint32(st.Dev)), fmt.Sprint(st.Ino)
}

// raw performs a syscall and returns its result as the kernel does. Pointers
// are passed as unsafe.Pointer.
func raw(nr uintptr, args ...any) int64 {
	var a [6]uintptr
	for i, arg := range args {
		switch arg := arg.(type) {
		case int:
			a[i] = uintptr(arg)
		case uint64:
			a[i] = uintptr(arg)
		case string:
			p, err := unix.BytePtrFromString(arg)
			if err != nil {
				panic(err)
			}
			defer runtime.KeepAlive(p)
			a[i] = uintptr(unsafe.Pointer(p))
		case unsafe.Pointer:
			defer runtime.KeepAlive(arg)
			a[i] = uintptr(arg)
		case nil:
		default:
			panic(fmt.Sprintf("argument of type %T", arg))
		}
	}
	r, _, errno := unix.RawSyscall6(nr, a[0], a[1], a[2], a[3], a[4], a[5])
	if errno != 0 {
		return -int64(errno)
	}
	return int64(r)
}

// cwd makes dir the working directory for the test.
func cwd(t testing.TB, dir string) string {
	t.Helper()
	t.Chdir(dir)
	return dir
}

// buffer is memory for a syscall to write to.
func buffer(n int) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(make([]byte, n))) }
