package generator

import (
	"errors"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/generator/action"

	"github.com/peregrine-sec/peregrine/test/support/needs"
)

// kernelCount counts syscalls at kernel entry, by thread, to check the
// generator's own counts.
type kernelCount struct{ byThread *ebpf.Map }

// key is one thread's count of one syscall.
type key struct{ TID, Number uint32 }

// countSyscalls attaches the counter:
//
//	raw_tracepoint sys_enter(regs, id): count[tid, id]++
func countSyscalls(t *testing.T) *kernelCount {
	t.Helper()
	counts, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Hash, KeySize: 8, ValueSize: 8, MaxEntries: 8192})
	if err != nil {
		noBPF(t, err)
	}
	t.Cleanup(func() { _ = counts.Close() })
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.RawTracepoint, License: "GPL",
		Instructions: asm.Instructions{
			asm.LoadMem(asm.R6, asm.R1, 8, asm.DWord), // args[1], the number
			asm.FnGetCurrentPidTgid.Call(),
			asm.StoreMem(asm.RFP, -8, asm.R0, asm.Word), // its lower half, the tid
			asm.StoreMem(asm.RFP, -4, asm.R6, asm.Word),
			asm.LoadMapPtr(asm.R1, counts.FD()),
			asm.Mov.Reg(asm.R2, asm.RFP),
			asm.Add.Imm(asm.R2, -8),
			asm.FnMapLookupElem.Call(),
			asm.JEq.Imm(asm.R0, 0, "first"),
			asm.Mov.Imm(asm.R1, 1),
			asm.AddAtomic.Mem(asm.R0, asm.R1, asm.DWord, 0),
			asm.Ja.Label("out"),
			asm.Mov.Imm(asm.R1, 1).WithSymbol("first"),
			asm.StoreMem(asm.RFP, -16, asm.R1, asm.DWord),
			asm.LoadMapPtr(asm.R1, counts.FD()),
			asm.Mov.Reg(asm.R2, asm.RFP),
			asm.Add.Imm(asm.R2, -8),
			asm.Mov.Reg(asm.R3, asm.RFP),
			asm.Add.Imm(asm.R3, -16),
			asm.Mov.Imm(asm.R4, 0),
			asm.FnMapUpdateElem.Call(),
			asm.Mov.Imm(asm.R0, 0).WithSymbol("out"),
			asm.Return(),
		},
	})
	if err != nil {
		noBPF(t, err)
	}
	t.Cleanup(func() { _ = program.Close() })
	attached, err := link.AttachRawTracepoint(link.RawTracepointOptions{Name: "sys_enter", Program: program})
	if err != nil {
		noBPF(t, err)
	}
	t.Cleanup(func() { _ = attached.Close() })
	return &kernelCount{counts}
}

// noBPF skips, unless BPF is required here.
func noBPF(t *testing.T, err error) {
	t.Helper()
	needs.That(t, "eBPF to count syscalls", err)
}

// of is a thread's count of one syscall.
func (k *kernelCount) of(t *testing.T, tid int32, number uint32) uint64 {
	t.Helper()
	var n uint64
	if err := k.byThread.Lookup(key{uint32(tid), number}, &n); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		t.Fatal(err)
	}
	return n
}

// all is a thread's count of all but the scheduler's own: sleeps of the pacing
// and of the Go runtime, and its calls once per thread.
func (k *kernelCount) all(t *testing.T, tid int32) (n uint64) {
	t.Helper()
	for number := range uint32(512) {
		switch number {
		case unix.SYS_FUTEX, unix.SYS_CLOCK_NANOSLEEP, unix.SYS_NANOSLEEP, unix.SYS_EPOLL_PWAIT, unix.SYS_SCHED_YIELD,
			unix.SYS_PRCTL, unix.SYS_GETTID, unix.SYS_RT_SIGRETURN, unix.SYS_TGKILL, unix.SYS_GETPID, unix.SYS_RT_SIGPROCMASK,
			unix.SYS_SIGALTSTACK, unix.SYS_MADVISE, unix.SYS_CLONE, unix.SYS_CLONE3:
		default:
			n += k.of(t, tid, number)
		}
	}
	return n
}

// At any rate the kernel sees as many opens as the schedule has places: none is
// lost, none is made up, and the mean rate is the target's.
func TestPacingByTheKernelsCount(t *testing.T) {
	needRoot(t)
	for _, rate := range []float64{1, 10, 100, 1000, 5000, 20000} {
		kernel := countSyscalls(t)
		duration := 500 * time.Millisecond
		if rate == 1 {
			duration = 2 * time.Second
		}
		o := Options{Actions: []Choice{{Name: "syscall.ReadSensitiveFileUntrusted"}}, Rate: rate, Duration: duration}
		r, err := Run(t.Context(), o, here(t))
		if err != nil {
			t.Fatal(err)
		}
		opens := kernel.of(t, r.Instances[0].TID, unix.SYS_OPENAT)
		if opens != r.Offered || r.Completed != r.Offered {
			t.Errorf("%v/s: the kernel saw %d opens, the generator says %+v", rate, opens, r.Counts)
		}
		skipIfStalled(t, r, o)
		if r.Offered != r.Target {
			t.Errorf("%v/s: %d of %d were done", rate, r.Offered, r.Target)
		}
		t.Logf("%6.0f/s for %v: %d opens, %.1f/s, late p50 %v p99 %v max %v", rate, duration, opens, float64(opens)/r.End.Sub(r.Start).Seconds(),
			time.Duration(r.Lateness.ValueAtQuantile(50)), time.Duration(r.Lateness.ValueAtQuantile(99)), time.Duration(r.Lateness.Max()))
	}
}

// Noise makes as many syscalls as it declares.
func TestNoiseByTheKernelsCount(t *testing.T) {
	needRoot(t)
	for _, a := range action.All() {
		if a.Collection() != "noise" || a.Cost != action.Fast {
			continue
		}
		kernel := countSyscalls(t)
		const runs = 1000
		r, err := Run(t.Context(), Options{Actions: []Choice{{Name: a.Name}}, Count: runs}, here(t))
		if err != nil {
			t.Fatal(err)
		}
		if got := kernel.all(t, r.Instances[0].TID); got < uint64(a.Syscalls)*runs || got > uint64(a.Syscalls)*runs+runs/20 {
			t.Errorf("%s: %d syscalls for %d runs, declared %d each", a.Name, got, runs, a.Syscalls)
		}
	}
}
