package probe

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// ProcessMask says which rules can match calls of a process, as long as it has
// these facts: those of its image, and the credentials of the thread that calls.
// plan.Own tells what else is a process's own.
type ProcessMask struct {
	Plan             uint32 // KindFilter.Plan of the rules
	PID              uint32
	Start            uint64 // as in the headers of events, like the others
	ExecID, UID, GID uint32
	LoginUID         uint32
	Rules            [2]uint64
}

// maskWords is MASK_WORDS of bpf/procmask.h, processMasks its PROCESS_MASKS.
const (
	maskWords    = 12
	processMasks = 4096
)

// maskSlot is struct process_mask of bpf/procmask.h.
type maskSlot struct{ Words [maskWords]uint64 }

// maskTable is the kernel's table of masks. Its pieces are mapped into our memory
// when they are first written: few processes get masks.
type maskTable struct {
	kernel  *ebpf.Map
	pieces  []atomic.Pointer[maskPiece]
	writing uint32 // the number of the last writing
	written atomic.Uint64
}

// maskPiece is three pages of slots, the fewest that have no slot in part.
type maskPiece struct {
	memory []byte
	slots  []maskSlot
}

// slotsInPiece is how many slots three pages have.
func slotsInPiece() int { return 3 * os.Getpagesize() / int(unsafe.Sizeof(maskSlot{})) }

func newMaskTable(m *ebpf.Map) *maskTable {
	return &maskTable{kernel: m, pieces: make([]atomic.Pointer[maskPiece], processMasks/slotsInPiece())}
}

// slot is the one of a process.
func (t *maskTable) slot(pid uint32) (*maskSlot, error) {
	i := int(pid % processMasks)
	piece := &t.pieces[i/slotsInPiece()]
	if piece.Load() == nil {
		memory, err := shareAt(t.kernel, i/slotsInPiece()*3*os.Getpagesize(), 3*os.Getpagesize())
		if err != nil {
			return nil, err
		}
		piece.Store(&maskPiece{memory, unsafe.Slice((*maskSlot)(unsafe.Pointer(unsafe.SliceData(memory))), slotsInPiece())})
	}
	return &piece.Load().slots[i%slotsInPiece()], nil
}

// share maps the first bytes of a map that is an array.
func share(m *ebpf.Map, bytes int) ([]byte, error) { return shareAt(m, 0, bytes) }

// shareAt maps those at an offset that is a multiple of the page size.
func shareAt(m *ebpf.Map, offset, bytes int) ([]byte, error) {
	memory, err := unix.Mmap(m.FD(), int64(offset), bytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map the memory of %v: %w", m, err)
	}
	return memory, nil
}

// unshare undoes share; memory may be nil, and is nil afterwards.
func unshare(memory *[]byte) error {
	if *memory == nil {
		return nil
	}
	m := *memory
	*memory = nil
	return unix.Munmap(m)
}

func (t *maskTable) close() error {
	if t == nil {
		return nil
	}
	var errs []error
	for i := range t.pieces {
		if piece := t.pieces[i].Swap(nil); piece != nil {
			errs = append(errs, unshare(&piece.memory))
		}
	}
	return errors.Join(errs...)
}

// words are the high halves of a slot's words.
func (m *ProcessMask) words() [maskWords]uint32 {
	return [maskWords]uint32{
		m.Plan, m.PID, uint32(m.Start), uint32(m.Start >> 32), m.ExecID, m.UID, m.GID, m.LoginUID,
		uint32(m.Rules[0]), uint32(m.Rules[0] >> 32), uint32(m.Rules[1]), uint32(m.Rules[1] >> 32),
	}
}

// put takes the place of the slot's mask, of whatever process that was. The
// kernel reads meanwhile: each word says to which writing it belongs.
func (t *maskTable) put(m *ProcessMask) error {
	slot, err := t.slot(m.PID)
	if err != nil {
		return err
	}
	if t.writing++; t.writing == 0 {
		t.writing = 1 // 0 is that of an empty slot
	}
	for i, w := range m.words() {
		atomic.StoreUint64(&slot.Words[i], uint64(w)<<32|uint64(t.writing))
	}
	t.written.Add(1)
	return nil
}

// SetProcessMask tells the probe which rules can match a process. It is called
// from one goroutine, and not after Close.
func (p *Probe) SetProcessMask(m *ProcessMask) error { return p.processMasks.put(m) }

// MaskCounters count the masks of processes, and what the kernel did by them.
type MaskCounters struct {
	Written  uint64 // since Load
	Held     uint64 // about the rules in force; their process may have ended
	Filtered uint64 // calls that were left out
	Stale    uint64 // calls of processes that had changed since their mask was written
}

// held is how many masks there are about the rules of a plan.
func (t *maskTable) held(plan uint32) (n uint64) {
	for i := range t.pieces {
		piece := t.pieces[i].Load()
		if piece == nil {
			continue
		}
		for j := range piece.slots {
			if w := atomic.LoadUint64(&piece.slots[j].Words[0]); w != 0 && uint32(w>>32) == plan {
				n++
			}
		}
	}
	return n
}
