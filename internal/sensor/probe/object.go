package probe

import (
	"fmt"
	"os"
	"strings"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/peregrine-sec/peregrine/internal/linux/boottime"
)

// object is the collection of programs and maps for this kernel and these
// options, not read yet.
type object struct {
	read      func() (*ebpf.CollectionSpec, error)
	sizes     func(maps map[string]*ebpf.MapSpec)
	constants map[string]any
}

func newObject(o Options, cpus int, types *btf.Cache) object {
	rings := 1
	if o.CPUsPerRing > 0 {
		rings = (cpus + o.CPUsPerRing - 1) / o.CPUsPerRing
	}
	return object{
		read: pick(o, types),
		sizes: func(maps map[string]*ebpf.MapSpec) {
			maps["counts"].MaxEntries = uint32(cpus)
			maps["scratches"].MaxEntries = uint32(cpus)
			maps["rings"].MaxEntries = uint32(rings)
			maps["rings"].InnerMap.MaxEntries = uint32(o.RingBytes)
		},
		constants: map[string]any{
			"cpus_per_ring":  uint32(o.CPUsPerRing),
			"snaplen":        uint32(o.Snaplen),
			"drop_failed":    o.DropFailed,
			"has_group_dead": exitSaysGroupDead(types),
			"boot_epoch":     uint64(boottime.Epoch()),
			"page_kib":       uint32(os.Getpagesize() / 1024),
			execSecret:       o.execSecret,
		},
	}
}

// The readers of the three objects.
var (
	readDirect = reader(directObject)
	readLegacy = reader(legacyObject)
	readOldest = reader(oldestObject)
)

func reader(object string) func() (*ebpf.CollectionSpec, error) {
	return func() (*ebpf.CollectionSpec, error) {
		return ebpf.LoadCollectionSpecFromReader(strings.NewReader(object))
	}
}

// pick returns the reader of the object that was made for such a kernel
// (bpf/read.h, bpf/bpf.h).
func pick(o Options, types *btf.Cache) func() (*ebpf.CollectionSpec, error) {
	major, minor, known := kernelVersion()
	switch {
	case known && (major < 5 || major == 5 && minor < 12):
		o.Log.Debug("programs for kernels from 5.8 on", "object", "oldest")
		return readOldest
	case o.Legacy || !kernelCanCast(types):
		o.Log.Debug("programs for kernels from 5.12 on", "object", "legacy")
		return readLegacy
	}
	o.Log.Debug("programs for kernels from 6.2 on", "object", "direct")
	return readDirect
}

// spec reads the object.
func (o object) spec() (*ebpf.CollectionSpec, error) {
	spec, err := o.read()
	if err != nil {
		return nil, fmt.Errorf("read the embedded programs: %w", err)
	}
	o.sizes(spec.Maps)
	for name, value := range o.constants {
		v := spec.Variables[name]
		if v == nil && name == execSecret {
			continue // programs for older kernels make no keys
		}
		if err := v.Set(value); err != nil {
			return nil, fmt.Errorf("set %s of the probe: %w", name, err)
		}
	}
	return spec, nil
}

// source is what programs are loaded from: the object, and the kernel's types.
// Both have megabytes, and take milliseconds to read: they are read when they
// are first asked for, and live no longer than the load that asks.
type source struct {
	types *btf.Cache
	spec  func() (*ebpf.CollectionSpec, error)
}

func (o object) open(types *btf.Cache) *source {
	return &source{types: types, spec: sync.OnceValues(o.spec)}
}

// maps is the collection without programs. It is not to be changed, like the
// next: a copy would be made of all types.
func (s *source) maps() (*ebpf.CollectionSpec, error) {
	all, err := s.spec()
	if err != nil {
		return nil, err
	}
	maps := *all
	maps.Programs = nil
	return &maps, nil
}

// program is the collection with one program, whose maps exist.
func (s *source) program(name string) (*ebpf.CollectionSpec, error) {
	all, err := s.spec()
	if err != nil {
		return nil, err
	}
	one := *all
	one.Programs, one.Variables = map[string]*ebpf.ProgramSpec{name: all.Programs[name]}, nil
	return &one, nil
}

// kernelCanCast says whether the kernel has bpf_rdonly_cast (6.2), which the
// faster of the two objects is written with.
func kernelCanCast(types *btf.Cache) bool { return kernelHasFunc(types, "bpf_rdonly_cast") }

func kernelHasFunc(types *btf.Cache, name string) bool {
	spec, err := types.Kernel()
	if err != nil {
		return false
	}
	var f *btf.Func
	return spec.TypeByName(name, &f) == nil
}

// exitSaysGroupDead says whether the tracepoint sched_process_exit has a second
// argument (6.16), which is true for the last thread.
func exitSaysGroupDead(types *btf.Cache) bool {
	spec, err := types.Kernel()
	if err != nil {
		return false
	}
	var t *btf.Typedef
	if spec.TypeByName("btf_trace_sched_process_exit", &t) != nil {
		return false
	}
	ptr, ok := t.Type.(*btf.Pointer)
	if !ok {
		return false
	}
	proto, ok := ptr.Target.(*btf.FuncProto)
	return ok && len(proto.Params) == 3 // the first is the tracepoint's own
}
