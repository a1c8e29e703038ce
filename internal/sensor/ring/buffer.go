package ring

import (
	"sync/atomic"
	"unsafe"
)

// The header of a record (kernel/bpf/ringbuf.c, struct bpf_ringbuf_hdr): its
// length with two bits on top, then 4 bytes for the kernel's own use.
const (
	headerSize = 8
	busy       = 1 << 31 // being written
	discarded  = 1 << 30
)

// buffer is one ring as the kernel maps it: two positions that only grow, and
// the data. The kernel can map the data twice in a row, so that no record is
// ever split; but that counts twice as resident memory, so we map it once, and
// copy the one record in each lap that goes around the end.
//
//	| consumer page | producer page | data |
type buffer struct {
	consumer *atomic.Uint64 // ours: data before it may be overwritten
	producer *atomic.Uint64 // the kernel's
	data     []byte
	mask     uint64
	split    []byte // the record that goes around the end, in one piece

	next      uint64 // position of the first record not parsed yet
	end       uint64 // of the batch: the producer's position when it was read
	published uint64 // the published value of consumer
	most      uint64 // that was ever found in the ring

	// The first record that has not been taken; time is the first number in it.
	head []byte
	time uint64
}

func newBuffer(consumer, producer *atomic.Uint64, data []byte) *buffer {
	b := &buffer{consumer: consumer, producer: producer, data: data, mask: uint64(len(data)) - 1}
	b.next = consumer.Load()
	b.published, b.end = b.next, b.next
	return b
}

// extend lets the batch reach as far as the kernel has written by now.
func (b *buffer) extend() {
	b.end = b.producer.Load()
	b.most = max(b.most, b.end-b.published)
}

// advance makes the next finished record of the batch the head; false without
// one. A record still being written ends the batch for now: those behind
// it are not looked at before it is finished.
func (b *buffer) advance() bool {
	for b.next < b.end {
		at := b.next & b.mask
		h := atomic.LoadUint32((*uint32)(unsafe.Pointer(&b.data[at])))
		if h&busy != 0 {
			break
		}
		n := uint64(h &^ (busy | discarded))
		size := (n + headerSize + 7) &^ 7
		if size > b.end-b.next || size > b.mask { // cannot be, unless the ring is not one
			break
		}
		b.next += size
		if h&discarded != 0 || n < 8 {
			continue
		}
		b.head = b.record((at+headerSize)&b.mask, n)
		b.time = *(*uint64)(unsafe.Pointer(&b.head[0]))
		return true
	}
	b.head = nil
	return false
}

// record is the n bytes at offset at.
func (b *buffer) record(at, n uint64) []byte {
	if at+n <= uint64(len(b.data)) {
		return b.data[at : at+n : at+n]
	}
	if uint64(cap(b.split)) < n {
		words := make([]uint64, (n+7)/8) // records are aligned
		b.split = unsafe.Slice((*byte)(unsafe.Pointer(&words[0])), 8*len(words))
	}
	b.split = b.split[:n]
	copy(b.split[copy(b.split, b.data[at:]):], b.data)
	return b.split
}

// release gives everything before the head back to the kernel.
func (b *buffer) release() {
	done := b.next
	if b.head != nil {
		done -= (uint64(len(b.head)) + headerSize + 7) &^ 7
	}
	if done != b.published {
		b.published = done
		b.consumer.Store(done)
	}
}
