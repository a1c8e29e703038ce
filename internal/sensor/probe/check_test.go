package probe

import (
	"bytes"
	"embed"
	"errors"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// Without the capabilities, one line says which is missing.
func TestCapabilityMissing(t *testing.T) {
	needBPF(t)
	runtime.LockOSThread() // never unlocked: the thread ends with the test
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		t.Fatal(err)
	}
	drop := func(bits ...uint) {
		d := data
		for _, b := range bits {
			d[b/32].Effective &^= 1 << (b % 32)
		}
		if err := unix.Capset(&header, &d[0]); err != nil {
			t.Fatal(err)
		}
	}
	defer drop()
	drop(unix.CAP_SYS_ADMIN)
	if err := checkCapabilities(); err != nil {
		t.Errorf("CAP_BPF and CAP_PERFMON are enough, but: %v", err)
	}
	drop(unix.CAP_SYS_ADMIN, unix.CAP_PERFMON)
	if _, err := Load(Options{}); err == nil || !strings.Contains(err.Error(), "CAP_PERFMON is missing") || strings.Contains(err.Error(), "\n") {
		t.Errorf("without CAP_PERFMON: %v", err)
	}
}

func TestLockdown(t *testing.T) {
	for levels, want := range map[string]string{
		"none [integrity] confidentiality\n": "",
		"[none] integrity confidentiality\n": "",
		"none integrity [confidentiality]\n": "lockdown=integrity",
		"":                                   "", // there is no such file
	} {
		err := checkLockdown(func() ([]byte, error) {
			if levels == "" {
				return nil, os.ErrNotExist
			}
			return []byte(levels), nil
		})
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", levels, err)
		}
	}
}

func TestBadOptions(t *testing.T) {
	for _, o := range []Options{{RingBytes: 1000}, {RingBytes: 3 * 4096}, {Snaplen: 5000}, {Snaplen: -1}} {
		if _, err := Load(o); err == nil || !strings.Contains(err.Error(), "expected") {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

// Close leaves no descriptor behind: links, programs, maps, mappings.
func TestClose(t *testing.T) {
	needBPF(t)
	descriptors := func() int {
		d, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(d)
	}
	load := func() {
		p, err := Load(asTested(Options{CPUsPerRing: 1, Interest: Interest{Syscalls: ids("openat", "connect")}}))
		if err != nil {
			t.Fatal(err)
		}
		awaitHooks(t, p)
		if err := p.Snapshot(func([]byte) {}); err != nil {
			t.Fatal(err)
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
	}
	load() // opens the files that the libraries open only once
	before := descriptors()
	load()
	if after := descriptors(); after != before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}

// Every family of the schema has a program in every object.
func TestFamilies(t *testing.T) {
	for object, load := range map[string]func() (*ebpf.CollectionSpec, error){"oldest": readOldest, "legacy": readLegacy, "direct": readDirect} {
		spec, err := load()
		if err != nil {
			t.Fatal(err)
		}
		for f := event.Family(1); f < event.NumFamilies; f++ {
			if spec.Programs[program(f)] == nil {
				t.Errorf("%s: no program %s", object, program(f))
			}
		}
	}
}

// A kind that reaches the program of another family is a lost event and a
// defect, not an event with another's parameters.
func TestWrongFamily(t *testing.T) {
	for f := event.Family(1); f < event.NumFamilies; f++ {
		if f == event.FamilyGeneric { // serves any
			continue
		}
		t.Run(f.String(), func(t *testing.T) {
			// The tables that the test writes are the tracepoint's.
			p := load(t, Options{CPUsPerRing: 1, Hooks: Tracepoint})
			if err := p.loadPrograms([]string{program(f)}); err != nil {
				t.Fatal(err)
			}
			if err := p.registerFamilies(); err != nil {
				t.Fatal(err)
			}
			table := Interest{Syscalls: ids("personality")}.table()
			for i := range table.Syscalls {
				if e := &table.Syscalls[i].Native; e.Family != 0 {
					e.Family = uint8(f)
				}
			}
			if err := p.coll.Maps[".data.interest"].Put(uint32(0), table); err != nil {
				t.Fatal(err)
			}
			raw(unix.SYS_PERSONALITY, 0xffffffff)
			c, err := p.Counters()
			if err != nil {
				t.Fatal(err)
			}
			if c.Drops[event.DropBug][event.LostOtherInterest] == 0 {
				t.Errorf("no bug counted: %+v", c)
			}
			if c.Seen != c.Filtered+c.Delivered+c.Dropped() {
				t.Errorf("the counters do not add up: %+v", c)
			}
		})
	}
}

// Each kernel gets the fastest of the objects that it can load.
func TestObjectOfKernel(t *testing.T) {
	needBPF(t)
	var log bytes.Buffer
	o := Options{Legacy: legacy(), Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	pick(o, btf.NewCache())
	want := thisObject(t)
	t.Logf("object=%s", want)
	if !strings.Contains(log.String(), "object="+want) {
		t.Errorf("want object=%s, log:\n%s", want, log.String())
	}
}

// The verifier accepts every program, tested or not, of the kernel's object,
// and those of the objects for older kernels.
func TestProgramsLoad(t *testing.T) {
	needBPF(t)
	for _, object := range []struct {
		name string
		load func() (*ebpf.CollectionSpec, error)
	}{{"oldest", readOldest}, {"legacy", readLegacy}, {"direct", readDirect}} {
		most := uint32(0)
		if object.name == "direct" { // others check functions again, or read by calls
			most = maxVerified
		}
		t.Run(object.name, func(t *testing.T) { loadEach(t, object.load, most) })
		if object.name == thisObject(t) {
			return
		}
	}
}

// maxVerified bounds the instructions that the verifier looks at in a program,
// again for each way that leads to them, which makes most of the time of a start.
const maxVerified = 40_000

// loadEach loads each program of an object, with the verifier looking at no more
// instructions than given; 0: at any number.
func loadEach(t *testing.T, read func() (*ebpf.CollectionSpec, error), most uint32) {
	o, err := Options{}.complete()
	if err != nil {
		t.Fatal(err)
	}
	types := btf.NewCache()
	object := newObject(o, runtime.NumCPU(), types)
	object.read = read
	from := object.open(types)
	maps, err := from.maps()
	if err != nil {
		t.Fatal(err)
	}
	coll, err := ebpf.NewCollectionWithOptions(maps, ebpf.CollectionOptions{Cache: types})
	if err != nil {
		t.Fatal(err)
	}
	defer coll.Close()
	p := &Probe{coll: coll}
	spec, err := from.spec()
	if err != nil {
		t.Fatal(err)
	}
	for name := range spec.Programs {
		t.Run(name, func(t *testing.T) {
			prog, err := p.loadProgram(name, from)
			if err == nil {
				defer prog.Close()
				info, err := prog.Info()
				if err != nil {
					t.Fatal(err)
				}
				if n, _ := info.VerifiedInstructions(); most > 0 && n > most { // known since 5.16
					t.Errorf("the verifier looks at %d instructions, more than %d: is there a loop around much code, or a function that is not one to it?", n, most)
				}
				return
			}
			t.Error(err)
			var verr *ebpf.VerifierError
			if errors.As(err, &verr) {
				t.Logf("the verifier's last words:\n%s", strings.Join(verr.Log[max(0, len(verr.Log)-30):], "\n"))
			}
		})
	}
}

// thisObject is the name of the object for this kernel.
func thisObject(t *testing.T) string {
	t.Helper()
	major, minor, known := kernelVersion()
	if !known {
		t.Fatal("unknown version of the kernel")
	}
	switch version := major*100 + minor; {
	case version < 512:
		return "oldest"
	case version < 602 || legacy():
		return "legacy"
	}
	return "direct"
}

// unlessGiven is the resolved path in the event of an open that was given that
// same path: empty, or the path with the programs for old kernels.
func unlessGiven(t *testing.T, path string) string {
	t.Helper()
	if thisObject(t) == "direct" {
		return ""
	}
	return path
}

//go:embed oldest_x86_bpfel.o oldest_arm64_bpfel.o legacy_arm64_bpfel.o
var plainObjects embed.FS

// Kernels that take functions in programs, but not in those that make tail
// calls, load an object whose sys_exit has none; also of the other architecture.
func TestPlainTailCalls(t *testing.T) {
	files, err := plainObjects.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		b, err := plainObjects.ReadFile(f.Name())
		if err != nil {
			t.Fatal(err)
		}
		spec, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		for _, ins := range spec.Programs["sys_exit"].Instructions {
			if ins.IsFunctionCall() {
				t.Errorf("%s: sys_exit calls %s", f.Name(), ins.Reference())
			}
		}
	}
}
