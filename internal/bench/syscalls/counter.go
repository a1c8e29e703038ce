// Package syscalls counts the syscalls of the whole host, with a few BPF
// instructions at sys_enter. The count is independent of the sensor under test.
// The program is assembled here, so that bench needs no compiled object.
//
// Counting is not free: attaching any program to a syscall tracepoint sends
// each syscall through the kernel's slow path (about 95 ns where nothing else
// is attached; see BenchmarkCost). Where the sensor under test has done that
// already, only the cost of the program remains.
package syscalls

import (
	"errors"
	"fmt"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/rlimit"
)

// Counter counts from Attach to Close.
type Counter struct {
	counts  *ebpf.Map // per CPU, one uint64
	threads *ebpf.Map // thread id to uint64; nil if threads are not counted
	link    link.Link
	begin   time.Time
}

// maxThreads is how many threads are counted; the rest is not.
const maxThreads = 1 << 16

// Attach starts counting. It needs CAP_BPF and CAP_PERFMON, or root. With
// threads, each thread's syscalls are counted too, at about twice the cost.
func Attach(threads bool) (*Counter, error) {
	c := &Counter{}
	if err := c.attach(threads); err != nil {
		return nil, errors.Join(fmt.Errorf("count syscalls: %w", err), c.Close())
	}
	return c, nil
}

func (c *Counter) attach(threads bool) error {
	// Before 5.11, maps count as locked memory.
	err := rlimit.RemoveMemlock()
	if err != nil {
		return fmt.Errorf("raise the limit of locked memory (needs CAP_SYS_RESOURCE): %w", err)
	}
	if threads {
		c.threads, err = ebpf.NewMap(&ebpf.MapSpec{
			Name: "syscalls_thread", Type: ebpf.Hash, KeySize: 4, ValueSize: 8, MaxEntries: maxThreads,
		})
		if err != nil {
			return err
		}
	}
	c.counts, err = ebpf.NewMap(&ebpf.MapSpec{
		Name: "syscalls", Type: ebpf.PerCPUArray, KeySize: 4, ValueSize: 8, MaxEntries: 1,
	})
	if err != nil {
		return err
	}
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "count_syscalls", Type: ebpf.RawTracepoint, License: "GPL", Instructions: c.instructions(),
	})
	if err != nil {
		return err
	}
	defer program.Close() // the link keeps it
	c.link, err = link.AttachRawTracepoint(link.RawTracepointOptions{Name: "sys_enter", Program: program})
	c.begin = time.Now()
	return err
}

// instructions look the CPU's own counter up and add one. No atomic is needed:
// a raw tracepoint program does not run twice on one CPU at a time.
func (c *Counter) instructions() asm.Instructions {
	count := asm.Instructions{
		asm.StoreImm(asm.R10, -4, 0, asm.Word),
		asm.Mov.Reg(asm.R2, asm.R10),
		asm.Add.Imm(asm.R2, -4),
		asm.LoadMapPtr(asm.R1, c.counts.FD()),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, "out"), // cannot be, but the verifier does not know
		asm.LoadMem(asm.R1, asm.R0, 0, asm.DWord),
		asm.Add.Imm(asm.R1, 1),
		asm.StoreMem(asm.R0, 0, asm.R1, asm.DWord),
	}
	if c.threads != nil {
		count = append(count, c.perThread()...)
	}
	return append(count, asm.Mov.Imm(asm.R0, 0).WithSymbol("out"), asm.Return())
}

// perThread does the same for the current thread, whose entry may be new. A
// thread runs on one CPU at a time, so that no atomic is needed here either.
func (c *Counter) perThread() asm.Instructions {
	return asm.Instructions{
		asm.FnGetCurrentPidTgid.Call(), // the thread is in the lower half (bpf-helpers(7))
		asm.StoreMem(asm.R10, -8, asm.R0, asm.Word),
		asm.Mov.Reg(asm.R2, asm.R10),
		asm.Add.Imm(asm.R2, -8),
		asm.LoadMapPtr(asm.R1, c.threads.FD()),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, "new"),
		asm.LoadMem(asm.R1, asm.R0, 0, asm.DWord),
		asm.Add.Imm(asm.R1, 1),
		asm.StoreMem(asm.R0, 0, asm.R1, asm.DWord),
		asm.Ja.Label("out"),
		asm.Mov.Imm(asm.R1, 1).WithSymbol("new"),
		asm.StoreMem(asm.R10, -16, asm.R1, asm.DWord),
		asm.LoadMapPtr(asm.R1, c.threads.FD()),
		asm.Mov.Reg(asm.R2, asm.R10),
		asm.Add.Imm(asm.R2, -8),
		asm.Mov.Reg(asm.R3, asm.R10),
		asm.Add.Imm(asm.R3, -16),
		asm.Mov.Imm(asm.R4, 0), // BPF_ANY
		asm.FnMapUpdateElem.Call(),
	}
}

// Thread is the number of syscalls that one thread entered since Attach, of a
// Counter with threads. The id is that of the initial pid namespace.
func (c *Counter) Thread(tid int32) (uint64, error) {
	var n uint64
	err := c.threads.Lookup(uint32(tid), &n)
	if errors.Is(err, ebpf.ErrKeyNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("count syscalls of thread %d: %w", tid, err)
	}
	return n, nil
}

// Count is the number of syscalls entered since Attach, and the time since.
func (c *Counter) Count() (n uint64, elapsed time.Duration, err error) {
	var perCPU []uint64
	elapsed = time.Since(c.begin)
	if err := c.counts.Lookup(uint32(0), &perCPU); err != nil {
		return 0, 0, fmt.Errorf("count syscalls: %w", err)
	}
	for _, k := range perCPU {
		n += k
	}
	return n, elapsed, nil
}

// Close detaches. A nil part was never made.
func (c *Counter) Close() error {
	var errs []error
	if c.link != nil {
		errs = append(errs, c.link.Close())
	}
	if c.threads != nil {
		errs = append(errs, c.threads.Close())
	}
	if c.counts != nil {
		errs = append(errs, c.counts.Close())
	}
	return errors.Join(errs...)
}
