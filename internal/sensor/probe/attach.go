package probe

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// maxFunctions bounds the number of attached functions: each takes the kernel 6
// ms to attach, some KiB, and 130 ms to detach.
const maxFunctions = 256

// impossible says why functions cannot be hooked here, whatever the rules.
func (h *hooks) impossible() string {
	all := numberings(nativeABI())
	if all == nil {
		return "functions are hooked on amd64 and arm64 only, not on " + runtime.GOARCH
	}
	kernel, err := h.probe.from.types.Kernel()
	if err != nil {
		return err.Error()
	}
	f, ok := findFunction(kernel, all[0].openat())
	if !ok {
		return "the kernel's types have no " + all[0].openat()
	}
	if runtime.GOARCH == "arm64" && !kernelHasFunc(h.probe.from.types, directCalls) {
		return "the kernel attaches no programs to its functions, as arm64 does from 6.4 on, with CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS"
	}
	entry, err := newSlots()
	if err != nil {
		return err.Error()
	}
	defer entry.Close()
	stub, err := loadStub(f, entry, 0)
	if err != nil {
		return fmt.Sprintf("the kernel takes no programs on functions: %v", err)
	}
	stub.Close()
	if why := preempts(); why != "" {
		return why
	}
	if h.keep.mount, err = mountNowhere("bpf"); err != nil {
		return err.Error()
	}
	return ""
}

// directCalls is what attaches programs to functions of arm64's kernels. Those
// without it load such programs as well, from 6.0 on.
const directCalls = "register_ftrace_direct"

func nativeABI() event.ABI {
	native, _ := abis()
	return native
}

// attach attaches the functions of i that are not attached yet. It returns the
// names of all of i, or why they cannot be.
func (h *hooks) attach(ctx context.Context, i Interest) (names []string, why string) {
	if i.ClosedFiles {
		return nil, "rules ask for the files of closes, which takes a look before each syscall"
	}
	if len(i.Syscalls) == 0 {
		return nil, ""
	}
	from := h.probe.object.open(btf.NewCache())
	var err error
	names, unknown := functionsOf(i.called(), numberings(nativeABI()), func(name string) bool {
		f, known := h.found[name]
		if !known {
			kernel, failed := from.types.Kernel()
			if failed != nil {
				err = failed
				return false
			}
			f, _ = findFunction(kernel, name)
			h.found[name] = f
		}
		return f.name != ""
	})
	switch {
	case err != nil:
		return nil, err.Error()
	case len(names) > maxFunctions:
		return nil, fmt.Sprintf("rules look at syscalls of %d functions, more than %d", len(names), maxFunctions)
	case len(unknown) > 0:
		return nil, fmt.Sprintf("the kernel has no function of its own for %v", unknown)
	case h.state == byFunction && h.leaves(names):
		return nil, beingDetached
	}
	for _, name := range names {
		if _, there := h.attached[name]; there {
			continue
		}
		if ctx.Err() != nil {
			return nil, ctx.Err().Error()
		}
		if err := h.attachOne(from, i, h.found[name]); err != nil {
			return nil, fmt.Sprintf("function %s: %v", name, err)
		}
	}
	return names, h.loadFamilies(i, from)
}

// loadFamilies loads the programs that i needs for functions already attached.
func (h *hooks) loadFamilies(i Interest, from *source) (why string) {
	for _, t := range h.prototypes {
		if err := t.load(h.probe, i, from); err != nil {
			return err.Error()
		}
	}
	return ""
}

func (h *hooks) attachOne(from *source, i Interest, f function) error {
	kernel, err := from.types.Kernel()
	if err != nil {
		return err
	}
	t, err := h.prototypeOf(kernel, f)
	if err != nil {
		return err
	}
	if err := t.load(h.probe, i, from); err != nil {
		return err
	}
	slot := h.freeSlot()
	l, id, err := attachStub(f, t, slot)
	if err != nil {
		return fmt.Errorf("attach: %w", err)
	}
	if err := h.keep.put(f.name, l); err != nil {
		return fmt.Errorf("keep: %w", err)
	}
	h.attached[f.name], h.changedAt = place{t, slot, id}, time.Now()
	return nil
}

// place is where a stub jumps.
type place struct {
	prototype *prototype
	slot      uint32
	stub      ebpf.ProgramID
}

// runs returns those of the attached stubs.
func (h *hooks) runs() (runs []Run, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for name, at := range h.attached {
		stub, err := ebpf.NewProgramFromID(at.stub)
		if err != nil {
			return nil, fmt.Errorf("program of function %s: %w", name, err)
		}
		stats, err := stub.Stats()
		if err = errors.Join(err, stub.Close()); err != nil {
			return nil, fmt.Errorf("statistics of function %s: %w", name, err)
		}
		runs = append(runs, Run{name, stats.RunCount, stats.Runtime})
	}
	return runs, nil
}

// freeSlot is one that has not been used for the longest time.
func (h *hooks) freeSlot() uint32 {
	for {
		h.lastSlot = (h.lastSlot + 1) % slots
		used := false
		for _, at := range h.attached {
			used = used || at.slot == h.lastSlot
		}
		if !used {
			return h.lastSlot
		}
	}
}

// hosts are functions for which the programs of their prototypes are loaded;
// nothing is attached to them for that.
var hosts = []string{
	"__x64_sys_openat", "__do_sys_getpid", "__x64_sys_connect", "__x64_sys_socket",
	"__arm64_sys_openat", "__arm64_sys_getpid",
}

func (h *hooks) prototypeOf(kernel *btf.Spec, f function) (*prototype, error) {
	proto := f.proto
	if f.opaque {
		// Before 5.18, the kernel lets programs of one prototype jump to those of
		// another, and there are opaque ones on these kernels only.
		open, ok := findFunction(kernel, numberings(nativeABI())[0].openat())
		if !ok || open.opaque {
			return nil, errors.New("its argument has no type")
		}
		proto = open.proto
	}
	if t := h.prototypes[proto]; t != nil {
		return t, nil
	}
	host := ""
	for _, name := range append(hosts, f.name) {
		if other, ok := findFunction(kernel, name); ok && other.proto == proto && other.alone {
			host = name
			break
		}
	}
	if host == "" {
		return nil, errors.New("no function with its prototype has a unique name")
	}
	t, err := h.probe.newPrototype(host)
	if err != nil {
		return nil, err
	}
	h.prototypes[proto] = t
	return t, nil
}

// release detaches all functions but those.
func (h *hooks) release(but []string) {
	h.detaching() // forgets those that are gone
	stays := map[string]bool{}
	for _, name := range but {
		stays[name] = true
	}
	for name, at := range h.attached {
		if stays[name] {
			continue
		}
		delete(h.attached, name)
		if err := errors.Join(at.prototype.entry.Delete(at.slot), h.keep.remove(name)); err != nil {
			h.log.Warn("a function stays attached", "function", name, "error", err)
		}
		h.leaving[at.stub] = name // if it stays: as long as it does, sys_exit sees the function's calls
	}
}

// leaves says whether the kernel has yet to detach one of those functions. If it
// is attached again meanwhile, sys_exit has to see its calls.
func (h *hooks) leaves(names []string) bool {
	h.detaching() // forgets those that are gone
	for _, name := range h.leaving {
		if slices.Contains(names, name) {
			return true
		}
	}
	return false
}

// detaching says whether the kernel has yet to detach a released stub from a
// function that is attached again. When it does, calls that are in the function
// end without any of its programs (kernel/bpf/trampoline.c,
// bpf_tramp_image_put).
func (h *hooks) detaching() (waits bool) {
	for id, name := range h.leaving {
		_, again := h.attached[name]
		stub, err := ebpf.NewProgramFromID(id)
		if err == nil {
			stub.Close()
		}
		if !errors.Is(err, os.ErrNotExist) {
			waits = waits || again
			continue
		}
		delete(h.leaving, id)
		if again {
			h.changedAt = time.Now()
		}
	}
	return waits
}
