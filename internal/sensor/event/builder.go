package event

import (
	"encoding/binary"
	"unsafe"
)

// Builder makes events in the form in which the probe sends them: for capture
// files, for the process table's snapshot and for tests. The zero Builder is
// ready; the buffer is reused from one event to the next.
type Builder struct {
	buf  []byte
	info *Info
}

// Start begins an event of kind k whose header is h; Len, Kind and NumSlots
// are set by the Builder.
func (b *Builder) Start(k Kind, h Header) {
	b.info = &kinds[k]
	n := HeaderSize + 8*b.info.Slots()
	if cap(b.buf) < n {
		b.buf = make([]byte, n, 4096)
	}
	b.buf = b.buf[:n]
	clear(b.buf)
	h.Kind, h.NumSlots = k, uint8(b.info.Slots())
	*(*Header)(unsafe.Pointer(unsafe.SliceData(b.buf))) = h
}

// Uint sets the number in slot i.
func (b *Builder) Uint(i int, n uint64) {
	binary.NativeEndian.PutUint64(b.buf[HeaderSize+8*i:], n)
}

// Int sets the signed number in slot i.
func (b *Builder) Int(i int, n int64) { b.Uint(i, uint64(n)) }

// Bytes sets the variable parameter in slot i.
func (b *Builder) Bytes(i int, p []byte) {
	b.Uint(i, uint64(len(b.buf))|uint64(len(p))<<32)
	b.buf = append(b.buf, p...)
}

// Str sets the variable parameter in slot i.
func (b *Builder) Str(i int, s string) {
	b.Uint(i, uint64(len(b.buf))|uint64(len(s))<<32)
	b.buf = append(b.buf, s...)
}

// File sets the File parameter in slot i; data is as FileInfo describes it.
func (b *Builder) File(i int, f FileInfo, data []byte) {
	var p [FileInfoSize]byte
	p[0], p[1], p[2], p[3] = byte(f.Type), byte(f.Flags), f.L4Proto, f.Family
	binary.NativeEndian.PutUint16(p[4:], f.SPort)
	binary.NativeEndian.PutUint16(p[6:], f.DPort)
	binary.NativeEndian.PutUint64(p[8:], f.Ino)
	binary.NativeEndian.PutUint32(p[16:], f.Dev)
	b.Uint(i, uint64(len(b.buf))|uint64(len(p)+len(data))<<32)
	b.buf = append(append(b.buf, p[:]...), data...)
}

// CWD adds a working directory (View.CWD), behind all parameters.
func (b *Builder) CWD(dir string) {
	b.pad()
	b.buf = append(b.buf, dir...)
	b.pad()
	b.buf = binary.NativeEndian.AppendUint64(b.buf, uint64(len(dir)))
	(*Header)(unsafe.Pointer(unsafe.SliceData(b.buf))).Flags |= hasCWD
}

func (b *Builder) pad() {
	for len(b.buf)%8 != 0 {
		b.buf = append(b.buf, 0)
	}
}

// Finish completes the event and returns it; it is valid until the next Start.
func (b *Builder) Finish() []byte {
	b.pad()
	(*Header)(unsafe.Pointer(unsafe.SliceData(b.buf))).Len = uint32(len(b.buf))
	return b.buf
}
