package ring

import (
	"encoding/binary"
	"os"
	"sync/atomic"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// fake is a ring laid out as the kernel does, written by the test in the
// kernel's place.
type fake struct {
	*buffer
	consumer, producer *atomic.Uint64
	data               []byte // mapped twice
	head               uint64 // producer's position, record in progress included
}

// newFake maps the same memory twice in a row.
func newFake(t testing.TB, size int) *fake {
	t.Helper()
	fd, err := unix.MemfdCreate("ring", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Ftruncate(fd, int64(size)); err != nil {
		t.Fatal(err)
	}
	whole, err := unix.MmapPtr(-1, 0, nil, uintptr(2*size), unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		at := unsafe.Add(whole, i*size)
		if _, err := unix.MmapPtr(fd, 0, at, uintptr(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_FIXED); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		if err := unix.MunmapPtr(whole, uintptr(2*size)); err != nil {
			t.Error(err)
		}
	})
	f := &fake{consumer: new(atomic.Uint64), producer: new(atomic.Uint64), data: unsafe.Slice((*byte)(whole), 2*size)}
	f.buffer = newBuffer(f.consumer, f.producer, f.data[:size])
	return f
}

// reserve makes room for a record of n bytes as bpf_ringbuf_reserve does; false
// if the ring is full.
func (f *fake) reserve(n int) (at uint64, ok bool) {
	size := uint64(len(f.data) / 2)
	total := (uint64(n) + headerSize + 7) &^ 7
	if f.head+total-f.consumer.Load() > size-1 {
		return 0, false
	}
	at = f.head
	f.setHeader(at, uint32(n)|busy)
	f.head += total
	f.producer.Store(f.head)
	return at, true
}

func (f *fake) setHeader(at uint64, h uint32) {
	atomic.StoreUint32((*uint32)(unsafe.Pointer(&f.data[at%uint64(len(f.data)/2)])), h)
}

// commit finishes a record.
func (f *fake) commit(at uint64, payload []byte) {
	i := at % uint64(len(f.data)/2)
	copy(f.data[i+headerSize:], payload)
	f.setHeader(at, uint32(len(payload)))
}

// discard gives a record up.
func (f *fake) discard(at uint64, n int) { f.setHeader(at, uint32(n)|discarded) }

// put writes one event: its time, then text.
func (f *fake) put(time uint64, text string) bool {
	p := event(time, text)
	at, ok := f.reserve(len(p))
	if ok {
		f.commit(at, p)
	}
	return ok
}

func event(time uint64, text string) []byte {
	return append(binary.NativeEndian.AppendUint64(nil, time), text...)
}

// text is the part of an event after the time.
func text(event []byte) string { return string(event[8:]) }

// page is the smallest ring there is.
var page = os.Getpagesize()

func buffers(fakes []*fake) []*buffer {
	var b []*buffer
	for _, f := range fakes {
		b = append(b, f.buffer)
	}
	return b
}
