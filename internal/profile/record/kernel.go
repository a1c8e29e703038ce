package record

import (
	"errors"
	"fmt"
	"runtime"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/features"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/ringbuf"
	"github.com/cilium/ebpf/rlimit"

	"github.com/peregrine-sec/peregrine/internal/linux/boottime"
	"github.com/peregrine-sec/peregrine/internal/profile"
	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

//go:generate go tool bpf2go -tags linux -target amd64,arm64 -cc clang-19 -strip llvm-strip-19 -no-global-types record bpf/record.c -- -mcpu=v3 -Wall -Wextra -Werror -std=gnu23 -I../../sensor/probe/bpf

// numbers is the number of counted syscall numbers: NUMBERS in record.c.
const numbers = 512

// counts are those of one CPU since the start: struct counts in record.c. The
// first index is 1 in containers, the second 1 for those that failed.
type counts struct {
	Calls                                     [2][2][numbers]uint64
	Forks, Threads, Execs, Exits, ThreadExits [2]uint64
}

// kernel is the program that counts.
type kernel struct {
	objects recordObjects
	links   []link.Link
	samples *ringbuf.Reader
	epoch   uint32
	perCPU  []counts // kept, since it is large
}

// attach starts counting.
func attach(containers bool) (*kernel, error) {
	k := &kernel{}
	if err := k.attach(containers); err != nil {
		return nil, errors.Join(fmt.Errorf("count syscalls in the kernel (needs root, or CAP_BPF and CAP_PERFMON, and Linux 5.8 with BTF): %w", err), k.close())
	}
	return k, nil
}

func (k *kernel) attach(containers bool) error {
	// Before 5.11, maps count as locked memory.
	if err := rlimit.RemoveMemlock(); err != nil {
		return fmt.Errorf("raise the limit of locked memory: %w", err)
	}
	spec, err := loadRecord()
	if err != nil {
		return err
	}
	// Programs of both types have the same helpers for tracing
	// (bpf_tracing_func_proto); those used here cannot be probed without a hook.
	typed := features.HaveProgramHelper(ebpf.RawTracepoint, asm.FnGetCurrentTaskBtf) == nil
	if err := errors.Join(spec.Variables["task_is_typed"].Set(typed), spec.Variables["facts_of"].Set(factTable()),
		spec.Variables["containers_only"].Set(containers)); err != nil {
		return err
	}
	if err := spec.LoadAndAssign(&k.objects, nil); err != nil {
		return err
	}
	if k.samples, err = ringbuf.NewReader(k.objects.Samples); err != nil {
		return err
	}
	p := &k.objects.recordPrograms
	for _, program := range []*ebpf.Program{p.CountSyscall, p.CountFork, p.CountExec, p.CountExit} {
		l, err := link.AttachTracing(link.TracingOptions{Program: program})
		if err != nil {
			return err
		}
		k.links = append(k.links, l)
	}
	return nil
}

// read sums up the counts of all CPUs.
func (k *kernel) read(into *counts) error {
	if err := k.objects.Counts.Lookup(uint32(0), &k.perCPU); err != nil {
		return fmt.Errorf("read the counts: %w", err)
	}
	*into = counts{}
	for i := range k.perCPU {
		into.add(&k.perCPU[i])
	}
	return nil
}

func (c *counts) add(o *counts) {
	for place := range 2 {
		for failed := range 2 {
			for nr := range numbers {
				c.Calls[place][failed][nr] += o.Calls[place][failed][nr]
			}
		}
		c.Forks[place] += o.Forks[place]
		c.Threads[place] += o.Threads[place]
		c.Execs[place] += o.Execs[place]
		c.Exits[place] += o.Exits[place]
		c.ThreadExits[place] += o.ThreadExits[place]
	}
}

// renew begins a window: the program may take samples again. It returns when in
// the window that has ended there were calls that sensors look at, in bits for each
// millisecond, of the host and of containers.
func (k *kernel) renew() (clumps [2][2]uint64, err error) {
	before := k.epoch & 1
	k.epoch++
	var all [2][2][2]uint64
	err = errors.Join(k.objects.WindowStart.Set(uint64(boottime.Now())), k.objects.Epoch.Set(k.epoch), k.objects.Clumps.Get(&all))
	clumps, all[before] = all[before], [2][2]uint64{}
	return clumps, errors.Join(err, k.objects.Clumps.Set(all))
}

// close detaches. A nil part was never made.
func (k *kernel) close() error {
	var errs []error
	for _, l := range k.links {
		errs = append(errs, l.Close())
	}
	if k.samples != nil {
		errs = append(errs, k.samples.Close())
	}
	if k.objects.Counts != nil {
		errs = append(errs, k.objects.Close())
	}
	return errors.Join(errs...)
}

// The facts that a syscall's arguments are looked at for: enum facts in
// record.c.
const (
	pathFirst = 1 + iota
	pathSecond
	socketFacts
	addressSecond
	execFacts
	exitFacts
	cloneFacts
	// watchedFlag comes with any of them, or alone: WATCHED.
	watchedFlag = 0x80
)

// looked maps the sampled syscalls to their sampled arguments.
var looked = map[string]uint8{
	"open": pathFirst, "creat": pathFirst, "stat": pathFirst, "lstat": pathFirst, "access": pathFirst, "readlink": pathFirst, "unlink": pathFirst,
	"openat": pathSecond, "openat2": pathSecond, "newfstatat": pathSecond, "fstatat": pathSecond, "statx": pathSecond, "faccessat": pathSecond, "faccessat2": pathSecond,
	"readlinkat": pathSecond, "unlinkat": pathSecond,
	"socket": socketFacts, "socketpair": socketFacts,
	"clone": cloneFacts, "clone3": cloneFacts, "fork": cloneFacts, "vfork": cloneFacts,
	"connect": addressSecond, "bind": addressSecond, "accept": addressSecond, "accept4": addressSecond,
}

func factTable() []uint8 {
	table := make([]uint8, numbers)
	for nr, name := range names {
		table[nr] = looked[name]
		if profile.Watched(name) {
			table[nr] |= watchedFlag
		}
	}
	return table
}

// names are the syscalls of this architecture by number.
var names = func() (names [numbers]string) {
	abi := event.AMD64
	if runtime.GOARCH == "arm64" {
		abi = event.ARM64
	}
	for i := range event.NumSyscalls() {
		id := event.ID(i)
		if nr, ok := id.Number(abi); ok && nr < numbers-1 {
			names[nr] = id.String()
		}
	}
	names[numbers-1] = "other"
	return names
}()
