package probe

import (
	"fmt"
	"math/bits"
	"sync/atomic"
	"unsafe"

	"github.com/cilium/ebpf"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// ExecFilter finds the rules' patterns in the texts of execs; plan.ExecTexts has
// the same tables and explains them. It is struct exec_filter of bpf/execfilter.h.
type ExecFilter struct {
	Plan    uint64 // KindFilter.Plan of the rules
	Classes [256]uint8
	Next    [1024 * 64]uint16
	Met     [1024]uint64
}

// execSecret is the probe's constant for the keys of execs.
const execSecret = "exec_secret"

// execTables are those by which the kernel leaves out execs; the programs for
// older kernels have none.
type execTables struct {
	secret   [2]uint64
	filters  *ebpf.Map
	unneeded *ebpf.Map
	memory   []byte // .data.execs
	used     int    // index of the filter in use, of two
}

func (t *execTables) open(coll *ebpf.Collection) (err error) {
	if t.filters = coll.Maps["exec_filters"]; t.filters == nil {
		return nil
	}
	t.unneeded = coll.Maps["unneeded_execs"]
	t.memory, err = share(coll.Maps[".data.execs"], 8)
	return err
}

func (t *execTables) close() error { return unshare(&t.memory) }

// set puts a filter beside the one in use, and returns what the table of interest
// must say for it to take the other's place: 0 for none.
func (t *execTables) set(f *ExecFilter) (slot uint64, err error) {
	if f == nil || t.filters == nil {
		return 0, nil
	}
	t.used ^= 1
	if err := t.filters.Put(uint32(t.used), f); err != nil {
		return 0, fmt.Errorf("tell the probe what rules look for in execs: %w", err)
	}
	return uint64(t.used) + 1, nil
}

// SetExecEpoch makes the probe forget which execs no rule can match: it counts
// only what LeaveOutExec says of this epoch, which must be a new one.
func (p *Probe) SetExecEpoch(epoch uint64) {
	if p.execs.memory != nil {
		(*atomic.Uint64)(unsafe.Pointer(&p.execs.memory[0])).Store(epoch)
	}
}

// LeaveOutExec tells the probe that no rule can match execs with this key.
func (p *Probe) LeaveOutExec(k *event.ExecKey) error {
	return p.execs.unneeded.Put(k.Key, k.Epoch)
}

// HashAncestors is the number that the probe has for ancestors of these names,
// the parent's first (hash_ancestors of bpf/execfilter.h).
func (p *Probe) HashAncestors(names func(yield func(string) bool)) uint64 {
	h := newSip(p.execs.secret)
	for name := range names {
		var words [2]uint64
		copy(unsafe.Slice((*byte)(unsafe.Pointer(&words[0])), 16), name)
		h.add(words[0])
		h.add(words[1])
	}
	return h.sum()
}

// sip is struct sip of bpf/execfilter.h.
type sip struct{ v0, v1, v2, v3 uint64 }

func newSip(secret [2]uint64) sip {
	return sip{
		secret[0] ^ 0x736f6d6570736575, secret[1] ^ 0x646f72616e646f6d,
		secret[0] ^ 0x6c7967656e657261, secret[1] ^ 0x7465646279746573,
	}
}

func (h *sip) round() {
	h.v0 += h.v1
	h.v1 = bits.RotateLeft64(h.v1, 13) ^ h.v0
	h.v0 = bits.RotateLeft64(h.v0, 32)
	h.v2 += h.v3
	h.v3 = bits.RotateLeft64(h.v3, 16) ^ h.v2
	h.v0 += h.v3
	h.v3 = bits.RotateLeft64(h.v3, 21) ^ h.v0
	h.v2 += h.v1
	h.v1 = bits.RotateLeft64(h.v1, 17) ^ h.v2
	h.v2 = bits.RotateLeft64(h.v2, 32)
}

func (h *sip) add(word uint64) {
	h.v3 ^= word
	h.round()
	h.v0 ^= word
}

func (h sip) sum() uint64 {
	h.v2 ^= 0xff
	for range 3 {
		h.round()
	}
	return h.v0 ^ h.v1 ^ h.v2 ^ h.v3
}
