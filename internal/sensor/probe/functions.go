package probe

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// function is a function of the kernel that serves a syscall.
type function struct {
	name  string
	id    btf.TypeID // of the function
	proto btf.TypeID // of its prototype
	alone bool       // no other type has that name
	// opaque: the kernel does not say what its argument points to.
	opaque bool
}

// findFunction is false unless the kernel's types have such a function, with
// the task's registers for its only argument. Of two with one name, one is the
// stub for kernels built without that syscall (kernel/sys_ni.c), whose argument
// is called __unused: the other is taken, as most have its prototype.
func findFunction(kernel *btf.Spec, name string) (f function, found bool) {
	all, err := kernel.AnyTypesByName(name)
	if err != nil {
		return f, false
	}
	for _, t := range all {
		fn, ok := t.(*btf.Func)
		if !ok {
			continue
		}
		proto, ok := fn.Type.(*btf.FuncProto)
		if !ok || len(proto.Params) != 1 {
			continue
		}
		pointer, ok := proto.Params[0].Type.(*btf.Pointer)
		if !ok {
			continue
		}
		target := btf.UnderlyingType(pointer.Target)
		_, opaque := target.(*btf.Fwd)
		if named, ok := target.(interface{ TypeName() string }); !ok || named.TypeName() != "pt_regs" {
			continue
		}
		if found && proto.Params[0].Name != "regs" {
			continue
		}
		id, err := kernel.TypeID(fn)
		if err != nil {
			continue
		}
		protoID, err := kernel.TypeID(proto)
		if err != nil {
			continue
		}
		f, found = function{name: name, id: id, proto: protoID, alone: len(all) == 1, opaque: opaque}, true
	}
	return f, found
}

// prototype holds the state shared by the functions of one prototype: a program
// can tail-call only programs that are attached to functions of the same
// prototype (kernel/bpf/core.c, bpf_prog_map_compatible).
type prototype struct {
	host     string // a function that its programs are loaded for
	entry    *ebpf.Map
	families *ebpf.Map
	programs map[string]*ebpf.Program
}

func (p *Probe) newPrototype(host string) (*prototype, error) {
	t := &prototype{host: host, programs: map[string]*ebpf.Program{}}
	var err error
	if t.entry, err = newSlots(); err != nil {
		return nil, err
	}
	if t.families, err = newJumps("families", p.coll.Maps["families"].MaxEntries()); err != nil {
		return nil, errors.Join(err, t.entry.Close())
	}
	return t, nil
}

// slots is how many functions can be attached before a place of entry is used
// again.
const slots = 4096

// newSlots makes the array through which stubs jump, each by its own slot.
// Emptying a slot disables a stub that the kernel has not detached yet, while
// another is attached to the same function.
func newSlots() (*ebpf.Map, error) { return newJumps("entry", slots) }

// newJumps makes an array of programs to jump to.
func newJumps(name string, n uint32) (*ebpf.Map, error) {
	return ebpf.NewMap(&ebpf.MapSpec{Name: name, Type: ebpf.ProgramArray, KeySize: 4, ValueSize: 4, MaxEntries: n})
}

func (t *prototype) Close() error {
	errs := []error{t.entry.Close(), t.families.Close()}
	for _, p := range t.programs {
		errs = append(errs, p.Close())
	}
	return errors.Join(errs...)
}

// functionExit is the program that the stubs jump to.
const functionExit = "function_exit"

// load loads the programs that serve i, as far as they are not loaded, and
// makes them targets of jumps.
func (t *prototype) load(p *Probe, i Interest, from *source) error {
	for _, name := range append(i.families(), functionExit) {
		if t.programs[name] != nil {
			continue
		}
		prog, err := p.loadFor(name, t, from)
		if err != nil {
			return fmt.Errorf("load program %s for functions such as %s: %w", name, t.host, err)
		}
		t.programs[name] = prog
		if name == functionExit {
			continue
		}
		if err := t.families.Put(familyOf(name), prog); err != nil {
			return fmt.Errorf("register program %s: %w", name, err)
		}
	}
	return nil
}

func familyOf(name string) uint32 {
	for f := event.Family(1); f < event.NumFamilies; f++ {
		if name == program(f) {
			return uint32(f)
		}
	}
	return 0
}

// loadFor loads a program as one on the end of functions of a prototype.
func (p *Probe) loadFor(name string, t *prototype, from *source) (*ebpf.Program, error) {
	spec, err := from.program(name)
	if err != nil {
		return nil, err
	}
	one := *spec.Programs[name]
	one.AttachType, one.AttachTo = ebpf.AttachTraceFExit, t.host
	spec.Programs[name] = &one
	maps := map[string]*ebpf.Map{}
	for name, m := range p.coll.Maps {
		maps[name] = m
	}
	maps["families"] = t.families
	coll, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{MapReplacements: maps, Cache: from.types})
	if err != nil {
		return nil, loadError(err)
	}
	defer coll.Close()
	return coll.DetachProgram(name), nil
}

// attachStub attaches a program to the end of a function that does nothing but
// jump to the one of its prototype.
func attachStub(f function, t *prototype, slot uint32) (l link.Link, id ebpf.ProgramID, err error) {
	if err := t.entry.Put(slot, t.programs[functionExit]); err != nil {
		return nil, 0, err
	}
	prog, err := loadStub(f, t.entry, slot)
	if err != nil {
		return nil, 0, err
	}
	defer prog.Close() // the link keeps it
	info, err := prog.Info()
	if err != nil {
		return nil, 0, err
	}
	id, _ = info.ID() // known since 4.13
	l, err = link.AttachTracing(link.TracingOptions{Program: prog})
	return l, id, err
}

// loadStub loads by bpf(2): the library knows functions by name, and on some
// kernels there are two of a name.
func loadStub(f function, entry *ebpf.Map, slot uint32) (*ebpf.Program, error) {
	var code bytes.Buffer
	err := asm.Instructions{
		asm.LoadMapPtr(asm.R2, entry.FD()), // the context is in R1
		asm.Mov.Imm(asm.R3, int32(slot)),
		asm.FnTailCall.Call(),
		asm.Mov.Imm(asm.R0, 0),
		asm.Return(),
	}.Marshal(&code, binary.LittleEndian)
	if err != nil {
		return nil, err
	}
	license := []byte("Dual MIT/GPL\x00")
	// The head of union bpf_attr for BPF_PROG_LOAD (include/uapi/linux/bpf.h).
	attr := struct {
		kind, count              uint32
		instructions, license    uintptr
		logLevel, logSize        uint32
		logBuf                   uint64
		kernVersion, flags       uint32
		name                     [16]byte
		ifindex, attachType      uint32
		btfFD, funcInfoRecSize   uint32
		funcInfo                 uint64
		funcInfoCount, lineSize  uint32
		lineInfo                 uint64
		lineInfoCount, attachBTF uint32
	}{
		kind: uint32(ebpf.Tracing), count: uint32(code.Len() / asm.InstructionSize),
		instructions: uintptr(unsafe.Pointer(&code.Bytes()[0])), license: uintptr(unsafe.Pointer(&license[0])),
		attachType: uint32(ebpf.AttachTraceFExit), attachBTF: uint32(f.id),
	}
	copy(attr.name[:15], strings.TrimPrefix(f.name, "__"))
	var pin runtime.Pinner
	pin.Pin(&code.Bytes()[0])
	pin.Pin(&license[0])
	defer pin.Unpin()
	var fd uintptr
	errno := unix.EAGAIN
	// The verifier gives up while a signal is pending, such as those by which the
	// Go runtime interrupts a thread (kernel/bpf/verifier.c, do_check).
	for tries := 0; errno == unix.EAGAIN && tries < 100; tries++ {
		fd, _, errno = unix.Syscall(unix.SYS_BPF, unix.BPF_PROG_LOAD, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr))
	}
	runtime.KeepAlive(entry)
	if errno != 0 {
		return nil, errno
	}
	return ebpf.NewProgramFromFD(int(fd))
}

// keep is where attached functions are kept: files of a BPF file system that is
// mounted nowhere. Detaching a function takes the kernel an eighth of a second,
// for which the process that closes the last descriptor waits; a pinned link
// whose file is removed, or goes with its file system, is detached in the
// background (kernel/bpf/inode.c, bpf_free_inode, and bpf_link_put). So neither
// a reload nor the end of the process waits.
type keep struct{ mount *os.File }

func (k keep) path(name string) string {
	return filepath.Join(fmt.Sprintf("/proc/self/fd/%d", k.mount.Fd()), name)
}

// put keeps a link in place of its descriptor.
func (k keep) put(name string, l link.Link) error {
	err := l.Pin(k.path(name))
	return errors.Join(err, l.Close())
}

// remove needs no path, as the thread may have another root.
func (k keep) remove(name string) error {
	return os.NewSyscallError("unlinkat", unix.Unlinkat(int(k.mount.Fd()), name, 0))
}

func (k keep) Close() error { return k.mount.Close() }
