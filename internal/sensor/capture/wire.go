package capture

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"sync"
	"unsafe"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// The sensor's recordings (Recorder) contain everything twice. Other readers
// get Falco's events, which name neither resolved paths nor the process of a
// thread: readers derive these from all events since the start. This Reader
// gets the probe's own events, as they were delivered:
//
//   - A block of type blockWire comes before the first event; libscap passes
//     over types that it does not know there (scap_read_init). It holds the
//     fingerprint of the schema (u64), then the events of the lists: processes,
//     users, containers.
//   - A block of an event is longer than its event, whose own length libscap
//     goes by. Behind the event comes wireMagic (u32), then the events of which
//     it is one: those that only tell of state (see silent), then itself.
//
// Files with another fingerprint are read as Falco's.
const (
	blockWire = 0x80505247 // in pcapng, types from 0x80000000 on are for local use
	wireMagic = 0x57475250
)

// schema is the fingerprint of how events are encoded here: wire events mean
// nothing to a binary with other kinds, parameters or numbers of syscalls.
var schema = sync.OnceValue(func() uint64 {
	h := fnv.New64a()
	fmt.Fprintln(h, event.HeaderSize, event.FileInfoSize)
	for k := range event.NumKinds {
		info := event.Kind(k).Info()
		fmt.Fprintln(h, info.Name, info.Params, info.Extras)
	}
	for id := range event.NumSyscalls() {
		fmt.Fprintln(h, event.ID(id))
	}
	return h.Sum64()
})

// readWire takes the events of the lists.
func (r *Reader) readWire(body []byte) error {
	if len(body) < 8 || r.blocks.bytes.swapped || r.blocks.bytes.u64(body) != schema() {
		return nil
	}
	r.exact = true
	for rest := r.keepWire(body[8:]); len(rest) > 0; {
		ev, after, err := cutWire(rest)
		if err != nil {
			return fmt.Errorf("list of events: %w", err)
		}
		if err := r.pending.add(ev); err != nil {
			return err
		}
		rest = after
	}
	return nil
}

// wire returns the first of the events that are behind that of a block, and
// keeps the others for the calls of Next that follow.
func (r *Reader) wire(tail []byte) (first []byte, err error) {
	all := r.keepWire(tail[4:])
	for rest := all; len(rest) > 0; {
		if _, rest, err = cutWire(rest); err != nil {
			return nil, err
		}
	}
	first, r.rest, err = cutWire(all)
	return first, err
}

// keepWire copies events to aligned memory, where a View can read them. A rest
// too short for an event is the block's padding.
func (r *Reader) keepWire(b []byte) []byte {
	words := (len(b) + 7) / 8
	if cap(r.words) < words {
		r.words = make([]uint64, words)
	}
	if words == 0 {
		return nil
	}
	kept := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(r.words[:words]))), len(b))
	copy(kept, b)
	return kept[: len(b)&^7 : len(b)&^7]
}

// cutWire takes the first event off b, after a look at all lengths in it.
func cutWire(b []byte) (ev, rest []byte, err error) {
	const lenAt = 8 // of event.Header
	if len(b) < event.HeaderSize {
		return nil, nil, errEvent
	}
	n := uint64(binary.NativeEndian.Uint32(b[lenAt:]))
	if n > uint64(len(b)) || n%8 != 0 || n < event.HeaderSize {
		return nil, nil, fmt.Errorf("an event of %d bytes in %d", n, len(b))
	}
	var v event.View
	if err := v.Reset(b[:n]); err != nil {
		return nil, nil, err
	}
	if id := v.Header().Syscall; id != event.NoSyscall && int(id) >= event.NumSyscalls() {
		return nil, nil, fmt.Errorf("a %s event of syscall %d", v.Kind(), id)
	}
	return b[:n:n], b[n:], nil
}

// hasWire says whether a wire event is behind the event of a block.
func (r *Reader) hasWire(tail []byte) bool {
	return r.exact && len(tail) >= 4+event.HeaderSize && binary.NativeEndian.Uint32(tail) == wireMagic
}
