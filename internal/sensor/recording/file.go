package recording

import (
	"bytes"
	"errors"
	"fmt"
	"os"

	"github.com/klauspost/compress/gzip"

	"github.com/peregrine-sec/peregrine/internal/sensor/capture"
	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// file is one recording under way.
type file struct {
	path    string
	f       *os.File // nil before the first write
	size    int64    // written
	room    int64    // bytes that it may have
	events  uint64   // written
	waiting uint64   // events in blocks

	w      *capture.Writer
	blocks bytes.Buffer // of w, complete
	silent []byte       // events that only the next one can carry
	packed bytes.Buffer
	zip    *gzip.Writer
}

// create makes the file, with the blocks before its first event in memory.
func create(o *opening, opt Options) (*file, error) {
	l := o.limits
	kept, err := makeRoom(l.Prefix, l.Files-1, l.Total-minimum)
	if err != nil {
		return nil, err
	}
	r := &file{path: fmt.Sprintf("%s_%d_%d.scap", l.Prefix, o.time, o.number), room: l.Total - kept}
	if l.FileSize > 0 {
		r.room = min(r.room, l.FileSize)
	}
	if r.zip, err = gzip.NewWriterLevel(&r.packed, gzip.BestSpeed); err == nil {
		r.w = capture.NewWriter(&r.blocks, opt.Machine)
		r.w.Interfaces(opt.Interfaces...)
		err = r.w.Lists(lists(o), opened{opt.Proc})
	}
	return r, err
}

// lists are the events that tell the state at the start. Their time is before
// that of all others: those may come out of order by a little.
func lists(o *opening) []byte {
	const before = 1_000_000_000
	var b event.Builder
	all := o.known
	for i := range o.processes {
		all = append(all, o.processes[i].Task(&b, o.time-before, o.offset)...)
	}
	return all
}

// add adds an event. One that only describes state is stored with the next.
func (f *file) add(v *event.View) {
	if capture.Silent(v.Kind()) {
		f.silent = append(f.silent, v.Raw()...)
		return
	}
	// The writer keeps an error for flush.
	_ = f.w.Record(f.silent, v)
	f.silent = f.silent[:0]
	f.waiting++
}

// flush writes all complete blocks, as one gzip member. It returns true,
// without writing, if they do not fit.
func (f *file) flush() (full bool, err error) {
	if err := f.w.Err(); err != nil {
		return false, err
	}
	if f.events+f.waiting == 0 || f.blocks.Len() == 0 { // no reader takes a file without events
		return false, nil
	}
	f.packed.Reset()
	f.zip.Reset(&f.packed)
	if _, err := f.blocks.WriteTo(f.zip); err != nil {
		return false, err
	}
	if err := f.zip.Close(); err != nil {
		return false, err
	}
	n := int64(f.packed.Len())
	switch {
	case f.size+n <= f.room:
	case f.size == 0:
		return false, fmt.Errorf("record: the list of processes takes %d bytes compressed, and a file may have %d", n, f.room)
	default:
		return true, nil
	}
	if err := f.write(f.packed.Bytes()); err != nil {
		return false, fmt.Errorf("record: %w", err)
	}
	f.events, f.waiting = f.events+f.waiting, 0
	return false, nil
}

// write appends a gzip member, whole or not at all: a process that is killed
// can be in the middle of a write. The member's magic number is written last,
// as readers of gzip skip data after a member that does not start with it; and
// the file gets its name with its first member.
func (f *file) write(member []byte) (err error) {
	first := f.f == nil
	if first {
		// Only root may read data of others' processes; a link in a directory
		// that anyone may write to is not followed.
		if f.f, err = os.OpenFile(f.path+partial, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600); err != nil {
			return err
		}
	}
	magic := [2]byte(member)
	clear(member[:len(magic)])
	if _, err := f.f.WriteAt(member, f.size); err != nil {
		return err
	}
	if _, err := f.f.WriteAt(magic[:], f.size); err != nil {
		return err
	}
	if first {
		if err := os.Rename(f.path+partial, f.path); err != nil {
			return err
		}
	}
	f.size += int64(len(member))
	return nil
}

// partial ends the name of a file without a whole member.
const partial = ".part"

func (f *file) close() error {
	if f.f == nil {
		return nil
	}
	if err := f.f.Close(); err != nil {
		return fmt.Errorf("record: %w", err)
	}
	return nil
}

// abandon keeps the whole members of the file, or removes an empty one. It
// drops its errors: one has been reported already.
func (f *file) abandon() {
	switch {
	case f.f == nil:
	case f.size == 0:
		_ = errors.Join(f.f.Close(), os.Remove(f.path+partial))
	default:
		_ = errors.Join(f.f.Truncate(f.size), f.f.Close())
	}
}
