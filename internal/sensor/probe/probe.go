package probe

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/sensor/ring"
)

// Defaults of Options.
const (
	DefaultRingBytes   = 8 << 20
	DefaultCPUsPerRing = 2
	DefaultSnaplen     = 80
)

// Options configure the probe; all but Interest is fixed at Load.
type Options struct {
	Interest Interest
	// RingBytes is the size of each ring: a power of two of at least a page;
	// 0 is DefaultRingBytes.
	RingBytes int
	// CPUsPerRing is how many CPUs share a ring; 0 is one ring for all, and
	// negative is DefaultCPUsPerRing.
	CPUsPerRing int
	// Snaplen limits the bytes of data that an event carries; 0 is
	// DefaultSnaplen.
	Snaplen int
	// DropFailed leaves out syscalls that failed (they are counted as filtered).
	DropFailed bool
	// Hooks is where syscalls are seen; empty is Tracepoint.
	Hooks Hooks
	// underWay is how long sys_exit stays for calls that began before the
	// functions were attached; 0 is ten seconds.
	underWay   time.Duration
	execSecret [2]uint64 // drawn at Load
	online     []int     // CPUs, for tests; nil is those that are online
	// Legacy loads the programs for kernels before 6.2 on any kernel; for tests.
	Legacy bool
	Log    *slog.Logger
}

// Probe is the loaded and attached probe.
type Probe struct {
	object object  // programs are loaded when they are needed
	from   *source // nil but while loading
	coll   *ebpf.Collection
	links  []link.Link
	before link.Link // of the look before a close; nil unless asked for
	reader *ring.Reader
	waits  []byte // .data.reader, shared with the programs
	execs  execTables
	cpus   int
	// openFilter is the index of the filter of opens in use, of two; openEpoch
	// counts them.
	openFilter int
	openEpoch  uint64
	masks      int // index of those in use, of two
	hooks      hooks
	log        *slog.Logger

	processMasks *maskTable
	plan         atomic.Uint32 // KindFilter.Plan of the rules in force

	snapshot sync.Mutex // one at a time: the iterator has one buffer
	programs sync.Mutex // guards coll.Programs

	measuring sync.Mutex
	measures  int // under way; see Measure
}

// Load checks that the kernel supports the probe, loads the programs and
// attaches them. Events are collected from then on.
func Load(o Options) (*Probe, error) {
	o, err := o.complete()
	if err != nil {
		return nil, err
	}
	if err := check(); err != nil {
		return nil, err
	}
	return loadUnchecked(o)
}

func loadUnchecked(o Options) (*Probe, error) {
	cpus, err := ebpf.PossibleCPU()
	if err != nil {
		return nil, fmt.Errorf("count the CPUs: %w", err)
	}
	types := btf.NewCache()
	object := newObject(o, cpus, types)
	from := object.open(types)
	spec, err := from.maps()
	if err != nil {
		return nil, err
	}
	coll, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{Cache: types})
	if err != nil {
		return nil, loadError(err)
	}
	if coll.Programs == nil {
		coll.Programs = map[string]*ebpf.Program{}
	}
	p := &Probe{object: object, coll: coll, cpus: cpus, log: o.Log, from: from, execs: execTables{secret: o.execSecret}}
	err = p.start(o)
	p.from = nil
	if err != nil {
		return nil, errors.Join(err, p.Close())
	}
	o.Log.Info("probe attached", "rings", len(p.reader.Fill()), "ring_bytes", o.RingBytes, "cpus", cpus)
	return p, nil
}

func (o Options) complete() (Options, error) {
	if o.RingBytes == 0 {
		o.RingBytes = DefaultRingBytes
	}
	if o.CPUsPerRing < 0 {
		o.CPUsPerRing = DefaultCPUsPerRing
	}
	if o.underWay == 0 {
		o.underWay = 10 * time.Second
	}
	if o.Snaplen == 0 {
		o.Snaplen = DefaultSnaplen
	}
	if err := binary.Read(rand.Reader, binary.NativeEndian, &o.execSecret); err != nil {
		return o, fmt.Errorf("draw a secret for the keys of execs: %w", err)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.online == nil {
		var err error
		if o.online, err = onlineCPUs(); err != nil {
			o.Log.Warn("the CPUs that are online are not known: a ring for each group of possible CPUs", "error", err)
		}
	}
	if n := o.RingBytes; n < os.Getpagesize() || n&(n-1) != 0 {
		return o, fmt.Errorf("ring buffer of %d bytes: expected a power of two of at least a page (%d)", n, os.Getpagesize())
	}
	if o.Snaplen < 0 || o.Snaplen > 4096 {
		return o, fmt.Errorf("snaplen %d: expected 1 to 4096 bytes", o.Snaplen)
	}
	return o, nil
}

// start makes the rings, fills the tables and attaches. Whatever it leaves
// behind on an error is Close's to remove.
func (p *Probe) start(o Options) error {
	var rings []*ebpf.Map
	defer func() {
		for _, m := range rings {
			m.Close() // the array of maps, and the reader's mapping, keep it
		}
	}()
	ringOf, n := allot(p.groups(o), o.CPUsPerRing, o.online)
	for i := range n {
		m, err := ebpf.NewMap(&ebpf.MapSpec{Name: "ring", Type: ebpf.RingBuf, MaxEntries: uint32(o.RingBytes)})
		if err != nil {
			return fmt.Errorf("make ring buffer %d of %d bytes: %w", i, o.RingBytes, err)
		}
		rings = append(rings, m)
	}
	for group, i := range ringOf {
		if err := p.coll.Maps["rings"].Put(uint32(group), rings[i]); err != nil {
			return fmt.Errorf("register ring buffer %d: %w", i, err)
		}
	}
	fds := make([]int, len(rings))
	for i, m := range rings {
		fds[i] = m.FD()
	}
	var err error
	if p.waits, err = share(p.coll.Maps[".data.reader"], 8); err != nil {
		return err
	}
	if p.reader, err = ring.Open(fds, o.RingBytes, (*atomic.Uint64)(unsafe.Pointer(&p.waits[0]))); err != nil {
		return err
	}
	if err = p.execs.open(p.coll); err != nil {
		return err
	}
	p.processMasks = newMaskTable(p.coll.Maps["process_masks"])
	if err := p.SetInterest(o.Interest); err != nil {
		return err
	}
	if err := p.attach(); err != nil {
		return err
	}
	p.hooks.start(p, o.Hooks, o.underWay)
	p.startPauses()
	return nil
}

// groups is the number of groups of possible CPUs that share a ring.
func (p *Probe) groups(o Options) int {
	if o.CPUsPerRing == 0 {
		return 1
	}
	return (p.cpus + o.CPUsPerRing - 1) / o.CPUsPerRing
}

// attach attaches the programs, sys_exit last.
func (p *Probe) attach() error {
	for _, name := range []string{"sched_fork", "sched_exec", "sched_exit", "cgroup_attach"} {
		l, err := p.attachTracepoint(name)
		if err != nil {
			return err
		}
		p.links = append(p.links, l)
	}
	var err error
	p.hooks.sysExit, err = p.attachTracepoint(sysExit)
	return err
}

func (p *Probe) attachTracepoint(name string) (link.Link, error) {
	l, err := link.AttachTracing(link.TracingOptions{Program: p.coll.Programs[name]})
	if err != nil {
		return nil, fmt.Errorf("attach %s: %w", name, err)
	}
	return l, nil
}

// SetInterest changes which syscalls are sent: new hooks are attached first,
// old ones released last.
func (p *Probe) SetInterest(i Interest) error {
	return p.hooks.change(i, func() error { return p.setInterest(i) })
}

func (p *Probe) setInterest(i Interest) error {
	if err := p.loadPrograms(i.needed()); err != nil {
		return err
	}
	if err := p.registerFamilies(); err != nil {
		return err
	}
	table := i.table()
	names := i.names()
	slot, tidy, err := p.setFilters(&i, names)
	if err != nil {
		return err
	}
	table.OpenFilter = slot
	if table.Masks, err = p.setMasks(&i, names); err != nil {
		return err
	}
	if table.Execs, err = p.execs.set(i.Execs); err != nil {
		return err
	}
	if err := p.coll.Maps[".data.interest"].Put(uint32(0), table); err != nil {
		return fmt.Errorf("tell the probe which syscalls to send: %w", err)
	}
	if err := p.lookBefore(i.ClosedFiles); err != nil {
		return err
	}
	return errors.Join(tidy(), p.tidyAddresses(i.Kinds))
}

// beforeClose is the program that looks at descriptors before they are closed.
const beforeClose = "before_close"

// lookBefore attaches that program, or takes it away.
func (p *Probe) lookBefore(wanted bool) error {
	if wanted == (p.before != nil) {
		return nil
	}
	if !wanted {
		err := p.before.Close()
		p.before = nil
		return err
	}
	var err error
	p.before, err = p.attachTracepoint(beforeClose)
	return err
}

// Reader takes the events out of the kernel.
func (p *Probe) Reader() *ring.Reader { return p.reader }

// Detach stops the flow of events; those in the rings can still be read.
func (p *Probe) Detach() error {
	if p.links == nil {
		return nil
	}
	errs := []error{p.hooks.stop(), p.lookBefore(false)}
	for _, l := range p.links {
		errs = append(errs, l.Close())
	}
	p.links = nil
	// Without, one event more may be counted than can be read.
	_ = grace()
	return errors.Join(errs...)
}

// grace waits until the programs that run on any CPU have ended: none is
// preempted, so that a grace period of RCU is enough, for which this waits
// (kernel/sched/membarrier.c). Kernels with nohz_full CPUs do not have it.
func grace() error {
	if _, _, errno := unix.Syscall(unix.SYS_MEMBARRIER, membarrierGlobal, 0, 0); errno != 0 {
		return errno
	}
	return nil
}

const membarrierGlobal = 1 << 0 // MEMBARRIER_CMD_GLOBAL, include/uapi/linux/membarrier.h

// Close detaches and unloads everything. Its Reader must not be waiting.
func (p *Probe) Close() error {
	errs := []error{p.Detach(), p.hooks.close()}
	if p.reader != nil {
		errs = append(errs, p.reader.Close())
	}
	errs = append(errs, unshare(&p.waits), p.processMasks.close(), p.execs.close())
	p.coll.Close()
	return errors.Join(errs...)
}
