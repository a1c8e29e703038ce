package probe

import (
	"bytes"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// sharedHooked is the shared probe, with its functions reporting; elsewhere the
// test is skipped.
func sharedHooked(t *testing.T) *Probe {
	t.Helper()
	needBPF(t)
	p, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	setInterest(t, p, Interest{Syscalls: ids("openat")})
	if force := awaitHooks(t, p); force.Hooks != Functions {
		t.Skip(force.Why)
	}
	t.Cleanup(func() { setInterest(t, p, Interest{}) })
	return p
}

// nativeFunction is the function of a syscall that takes arguments.
func nativeFunction(syscall string) string {
	prefixes := numberings(nativeABI())[0].prefixes
	return prefixes[len(prefixes)-1] + syscall
}

// seesOpens wants each probe to report an open once.
func seesOpens(t *testing.T, probes ...*Probe) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "missing")
	raw(unix.SYS_OPENAT, unix.AT_FDCWD, path, unix.O_RDONLY)
	for i, p := range probes {
		seen := 0
		for _, e := range (&tracer{t: t, probe: p}).drain(now()) {
			if name, _ := openName(&e); name == path {
				seen++
			}
		}
		if seen != 1 {
			t.Errorf("probe %d reported an open %d times", i, seen)
		}
	}
}

// fellBack wants sys_exit to report for a reason with all of the words, and no
// function to stay attached.
func fellBack(t *testing.T, p *Probe, words ...string) {
	t.Helper()
	force := settled(p)
	if force.Hooks != Tracepoint {
		t.Fatalf("%+v", force)
	}
	for _, w := range words {
		if !strings.Contains(force.Why, w) {
			t.Errorf("because %q, want %q", force.Why, w)
		}
	}
	p.hooks.mu.Lock()
	defer p.hooks.mu.Unlock()
	if n := len(p.hooks.attached); n > 0 {
		t.Errorf("%d functions are attached", n)
	}
}

// occupy attaches other programs to a function until the kernel takes no more.
func occupy(t *testing.T, name string) (release func()) {
	t.Helper()
	kernel, err := btf.NewCache().Kernel()
	if err != nil {
		t.Fatal(err)
	}
	f, ok := findFunction(kernel, name)
	if !ok {
		t.Fatalf("no function %s", name)
	}
	entry, err := newSlots()
	if err != nil {
		t.Fatal(err)
	}
	defer entry.Close()
	var links []link.Link
	release = sync.OnceFunc(func() {
		for _, l := range links {
			l.Close()
		}
	})
	t.Cleanup(release)
	for {
		stub, err := loadStub(f, entry, 0)
		if err != nil {
			t.Fatal(err)
		}
		l, err := link.AttachTracing(link.TracingOptions{Program: stub})
		stub.Close()
		if errors.Is(err, unix.E2BIG) {
			t.Logf("%d programs on %s", len(links), name)
			return release
		}
		if err != nil {
			t.Fatal(err)
		}
		links = append(links, l)
	}
}

// A function that the kernel refuses after others were attached, here since it
// has as many programs as it can: at a reload, at the start, and no longer. Two
// sensors on the same functions see each call once each.
func TestFunctionRefused(t *testing.T) {
	first := sharedHooked(t)
	name := nativeFunction("connect")
	release := occupy(t, name)
	three := Interest{Syscalls: ids("unlinkat", "connect", "openat")}
	why := []string{"function " + name + ": attach: ", unix.E2BIG.Error()}
	setInterest(t, first, three)
	fellBack(t, first, why...)
	seesOpens(t, first)

	var log bytes.Buffer
	second, err := Load(asTested(Options{CPUsPerRing: 1, Interest: three, Hooks: Functions, Log: slog.New(slog.NewTextHandler(&log, nil))}))
	if err != nil {
		t.Fatal(err)
	}
	fellBack(t, second, why...)
	seesOpens(t, first, second)

	release()
	for _, p := range []*Probe{first, second} {
		setInterest(t, p, three)
		if force := awaitHooks(t, p); force.Hooks != Functions {
			t.Errorf("%+v", force)
		}
	}
	seesOpens(t, first, second)
	if err := second.Close(); err != nil {
		t.Error(err)
	}
	if n := strings.Count(log.String(), "level=WARN"); n != 1 || !strings.Contains(log.String(), why[0]) {
		t.Errorf("%d warnings: %s", n, log.String())
	}
	seesOpens(t, first)
}

// A function that the kernel has inlined is not among its types; that is as if
// it had none.
func TestFunctionLacking(t *testing.T) {
	p := sharedHooked(t)
	lost := nativeFunction("mknodat")
	p.hooks.mu.Lock()
	p.hooks.found[lost] = function{}
	p.hooks.mu.Unlock()
	defer func() {
		p.hooks.mu.Lock()
		delete(p.hooks.found, lost)
		p.hooks.mu.Unlock()
	}()
	setInterest(t, p, Interest{Syscalls: ids("openat", "mknodat")})
	fellBack(t, p, "the kernel has no function of its own for [mknodat]")
	seesOpens(t, p)
}

// policy loads a security module that refuses commands of bpf(2), which is
// empty until it is given something to refuse.
func policy(t *testing.T) (set func(refusals)) {
	t.Helper()
	modules, err := readNowhere("securityfs", "lsm")
	if err != nil || !bytes.Contains(modules, []byte("bpf")) {
		t.Skipf("the kernel takes no security modules by bpf(2): %s, %v", modules, err)
	}
	m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.LSM, AttachType: ebpf.AttachLSMMac, AttachTo: "bpf", License: "GPL", Instructions: refuser(m.FD()),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer prog.Close() // the link keeps it
	l, err := link.AttachLSM(link.LSMOptions{Program: prog})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return func(r refusals) {
		if err := m.Put(uint32(0), r); err != nil {
			t.Fatal(err)
		}
	}
}

// refusals is what the policy refuses.
type refusals struct {
	Function uint32 // programs on functions' ends, from this one on; 0 for none
	Attach   uint32 // not 0: any attach
}

// refuser is the program of the policy (include/uapi/linux/bpf.h, union
// bpf_attr).
func refuser(refusals int) asm.Instructions {
	const progLoad, rawTracepointOpen, linkCreate = 5, 17, 28
	return asm.Instructions{
		asm.LoadMem(asm.R6, asm.R1, 0, asm.DWord), // the command
		asm.LoadMem(asm.R7, asm.R1, 8, asm.DWord), // its attributes
		asm.StoreImm(asm.RFP, -4, 0, asm.Word),
		asm.LoadMapPtr(asm.R1, refusals),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, -4),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, "allow"),
		asm.JEq.Imm(asm.R6, progLoad, "load"),
		asm.JEq.Imm(asm.R6, linkCreate, "attach"),
		asm.JNE.Imm(asm.R6, rawTracepointOpen, "allow"),
		asm.LoadMem(asm.R1, asm.R0, 4, asm.Word).WithSymbol("attach"),
		asm.JEq.Imm(asm.R1, 0, "allow"),
		asm.Ja.Label("refuse"),
		asm.LoadMem(asm.R9, asm.R7, 68, asm.Word).WithSymbol("load"), // expected_attach_type
		asm.JNE.Imm(asm.R9, int32(ebpf.AttachTraceFExit), "allow"),
		asm.LoadMem(asm.R1, asm.R0, 0, asm.Word),
		asm.JEq.Imm(asm.R1, 0, "allow"),
		asm.JEq.Imm(asm.R1, 1, "refuse"),
		asm.Sub.Imm(asm.R1, 1),
		asm.StoreMem(asm.R0, 0, asm.R1, asm.Word),
		asm.Mov.Imm(asm.R0, 0).WithSymbol("allow"),
		asm.Return(),
		asm.Mov.Imm(asm.R0, -int32(unix.EPERM)).WithSymbol("refuse"),
		asm.Return(),
	}
}

// A security module refuses the second of several functions, and then any
// attach, that of sys_exit included: the rules cannot change, and the functions
// of those before go on.
func TestPolicyRefuses(t *testing.T) {
	p := sharedHooked(t)
	set := policy(t)
	one, more := Interest{Syscalls: ids("openat")}, Interest{Syscalls: ids("unlinkat", "connect", "openat")}
	hooked := func(in Interest) {
		t.Helper()
		setInterest(t, p, in)
		if force := awaitHooks(t, p); force.Hooks != Functions {
			t.Errorf("%+v", force)
		}
	}
	hooked(more) // loads the programs that the functions share
	hooked(one)
	set(refusals{Function: 2}) // a load for each: attaching does not say to what
	setInterest(t, p, more)
	fellBack(t, p, "function "+nativeFunction("connect")+": attach: ", unix.EPERM.Error())
	seesOpens(t, p)

	set(refusals{})
	hooked(one)
	set(refusals{Attach: 1})
	err := make(chan error)
	go func() { err <- p.SetInterest(more) }()
	if err := <-err; !errors.Is(err, unix.EPERM) || !strings.Contains(err.Error(), nativeFunction("unlinkat")) || !strings.Contains(err.Error(), "attach "+sysExit) {
		t.Errorf("a change that needs an attach: %v", err)
	}
	hooked(one)
	seesOpens(t, p)
	set(refusals{})
	hooked(more)
	seesOpens(t, p)
}

// On a kernel that is locked down, which test/kernels boots, the sensor works
// at level integrity, by function as well, and says why it does not at level confidentiality.
func TestLockedDown(t *testing.T) {
	levels, err := readNowhere("securityfs", "lockdown")
	level, _, _ := strings.Cut(string(levels), "]")
	_, level, _ = strings.Cut(level, "[")
	switch level {
	case "integrity":
		p, err := Load(asTested(Options{CPUsPerRing: 1, Interest: Interest{Syscalls: ids("openat")}, Hooks: Functions}))
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		t.Logf("%+v", awaitHooks(t, p))
		seesOpens(t, p)
	case "confidentiality":
		if _, err := Load(asTested(Options{})); err == nil || !strings.Contains(err.Error(), "at level confidentiality") {
			t.Errorf("load: %v", err)
		}
		o, err := asTested(Options{}).complete()
		if err != nil {
			t.Fatal(err)
		}
		_, err = loadUnchecked(o)
		t.Logf("the kernel's own words: %v", err)
	default:
		t.Skipf("not locked down: %q, %v", levels, err)
	}
}
