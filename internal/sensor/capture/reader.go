package capture

import (
	"fmt"
	"io"
	"os"
	"unsafe"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// Reader yields the events of one capture.
type Reader struct {
	closer  io.Closer
	blocks  *blocks
	err     error // returned by Next from now on
	skipped uint64
	// unlinked: the parents of processes from lists are not looked up yet.
	unlinked bool

	machine Machine

	world world
	paths paths

	// The event under way.
	raw, stash rawEvent
	vals       values
	file       *fd  // behind its descriptor; nil if unknown
	given      bool // file's name is the path in the event
	fileBuf    fd
	scratch    []byte
	joined     []byte
	main, fork event.Builder
	first      []byte  // goes before the event
	leaving    *thread // is gone after the event

	// Events that lists have made: they wait for the time of the first event.
	pending pending
	users   int // entries of user lists in this section
	waiting []byte

	// exact: Peregrine recorded the file, so its events are exactly as they were.
	exact bool
	words []uint64 // memory of those of a block
	rest  []byte   // of them, those that follow waiting
}

// Open opens a capture file, gzipped or not, and reads the blocks before its
// first event.
func Open(path string) (*Reader, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	r, err := NewReader(f)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	r.closer = f
	return r, nil
}

// NewReader is Open for a file that is open already.
func NewReader(in io.Reader) (*Reader, error) {
	b, err := newBlocks(in)
	if err != nil {
		return nil, err
	}
	r := &Reader{blocks: b}
	r.world.reset()
	if err := b.fill(4); err == nil && b.bytes.u32(b.buf) != blockSection {
		return nil, fmt.Errorf("capture: expected a .scap file, gzipped or not; this file starts with %q", b.buf[:4])
	}
	switch _, body, err := b.next(); {
	case err == io.EOF:
		return nil, fmt.Errorf("capture: the file is empty")
	case err != nil:
		return nil, err
	default:
		if err := r.list(blockSection, body); err != nil {
			return nil, err
		}
	}
	r.waiting, r.err = r.advance()
	return r, nil
}

// Close closes the file.
func (r *Reader) Close() error {
	if r.closer == nil {
		return nil
	}
	return r.closer.Close()
}

// Machine is the machine that the capture was made on.
func (r *Reader) Machine() Machine { return r.machine }

// Skipped is the number of events that have no counterpart here: of kinds that
// tell nothing of the system (notifications, process statistics, ...), or
// newer than our table.
func (r *Reader) Skipped() uint64 { return r.skipped }

// Next returns the next event, borrowed until the following call; io.EOF at
// the end. Processes, users and groups that the capture begins with come
// first, as task, useradded and groupadded events. A truncated or damaged
// capture yields the events before the damage; then Next returns a
// *FormatError.
func (r *Reader) Next() ([]byte, error) {
	for {
		if ev := r.pending.next(); ev != nil {
			r.stamp(ev)
			return ev, nil
		}
		switch {
		case r.first != nil:
			ev := r.first
			r.first = nil
			return ev, nil
		case r.waiting != nil:
			ev := r.waiting
			r.waiting = nil
			return ev, nil
		case len(r.rest) > 0:
			ev := r.rest[:headerOf(r.rest).Len]
			r.rest = r.rest[len(ev):]
			return ev, nil
		case r.err != nil:
			return nil, r.err
		}
		r.waiting, r.err = r.advance()
	}
}

// stamp gives an event of a list the time of the event that comes after all of
// them.
func (r *Reader) stamp(ev []byte) {
	switch {
	case r.exact: // it has its own
	case r.first != nil:
		headerOf(ev).Time = headerOf(r.first).Time
	case r.waiting != nil:
		headerOf(ev).Time = headerOf(r.waiting).Time
	}
}

func headerOf(ev []byte) *event.Header {
	return (*event.Header)(unsafe.Pointer(unsafe.SliceData(ev)))
}

// advance reads on to the next event.
func (r *Reader) advance() ([]byte, error) {
	if r.leaving != nil {
		r.world.remove(r.leaving)
		r.leaving = nil
	}
	for {
		at := r.blocks.pos()
		typ, body, err := r.blocks.next()
		if err != nil {
			return nil, err
		}
		var ev []byte
		switch typ {
		case blockEvent, blockEventOld, blockEvent2, blockEvent2Large, blockEventFlag, blockEventFlag2, blockEventFlag2Large:
			ev, err = r.event(typ, body)
		default:
			err = r.list(typ, body)
		}
		if err == nil {
			err = r.bound()
		}
		if err != nil {
			return nil, &FormatError{at, err}
		}
		if ev != nil {
			return ev, nil
		}
	}
}

// list reads a block that is no event. Others are passed over: interfaces, which
// change no event, and unknown ones, which are newer than us.
func (r *Reader) list(typ uint32, body []byte) error {
	c := cursor{b: body, bytes: r.blocks.bytes}
	switch typ {
	case blockSection: // captures that were put one after the other
		r.world.reset()
		r.users, r.exact = 0, false
		r.vals.order = r.blocks.bytes
		c.u32()
		if major := c.u16(); major > newestMajor {
			return fmt.Errorf("capture format %d is newer than %d, which is the newest known", major, newestMajor)
		}
	case blockMachine, blockMachineOld:
		r.readMachine(c)
	case blockWire:
		return r.readWire(body)
	case blockUsers, blockUsersOld, blockUsers2:
		return r.readUsers(typ, c)
	case blockProcess1, blockProcess1Old:
		return r.readProcesses(1, c)
	case blockProcess2, blockProcess2Old:
		return r.readProcesses(2, c)
	case blockProcess3, blockProcess3Old:
		return r.readProcesses(3, c)
	case blockFDs, blockFDsOld, blockFDs2:
		return r.readFDs(typ, c)
	default:
		if typ >= blockProcess4 && typ <= blockProcess9 {
			return r.readProcesses(int(typ-blockProcess4)+4, c)
		}
	}
	return nil
}
