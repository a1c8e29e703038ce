package capture

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"

	"github.com/klauspost/compress/gzip"
)

// Block types; the second number of some is from before the format was fixed.
const (
	blockSection = 0x0A0D0D0A

	blockMachine     = 0x201
	blockMachineOld  = 0x8002ABCD
	blockProcess1    = 0x202
	blockProcess1Old = 0x8000ABCD
	blockProcess2    = 0x207
	blockProcess2Old = 0x8013ABCD
	blockProcess3    = 0x209
	blockProcess3Old = 0x8014ABCD
	blockProcess4    = 0x210 // to blockProcess9
	blockProcess9    = 0x215
	blockFDs         = 0x203
	blockFDsOld      = 0x8001ABCD
	blockFDs2        = 0x218
	blockInterface2  = 0x219
	blockUsers       = 0x206
	blockUsersOld    = 0x8012ABCD
	blockUsers2      = 0x220

	blockEvent           = 0x204
	blockEventOld        = 0x8010ABCD
	blockEvent2          = 0x216
	blockEvent2Large     = 0x221
	blockEventFlag       = 0x208
	blockEventFlag2      = 0x217
	blockEventFlag2Large = 0x222
)

const (
	sectionMagic   = 0x1A2B3C4D
	newestMajor    = 1
	blockHeaderLen = 8
	blockOverhead  = blockHeaderLen + 4 // the length once more at the end
	maxBlock       = 128 << 20          // the process list of a machine is one block
)

// FormatError is an error in a capture, with its place.
type FormatError struct {
	Offset int64 // in the file's uncompressed bytes
	Err    error
}

func (e *FormatError) Error() string {
	return fmt.Sprintf("capture: at byte %d: %v", e.Offset, e.Err)
}

func (e *FormatError) Unwrap() error { return e.Err }

// blocks splits a file into blocks.
type blocks struct {
	r      io.Reader
	buf    []byte
	at     int   // the next block begins at buf[at]
	offset int64 // in the file, of buf[0]
	bytes  order
}

// order is the byte order of a file: that of the machine that wrote it.
type order struct{ swapped bool }

func newBlocks(r io.Reader) (*blocks, error) {
	b := bufio.NewReader(r)
	if isGzip(b) {
		z, err := newMembers(b)
		if err != nil {
			return nil, err
		}
		return &blocks{r: z}, nil
	}
	return &blocks{r: b}, nil
}

// members reads the members of a gzip file and ignores trailing bytes that do
// not start a member: they are the last write of a recorder that was killed.
type members struct {
	file *bufio.Reader
	zip  *gzip.Reader
}

func newMembers(file *bufio.Reader) (*members, error) {
	zip, err := gzip.NewReader(file)
	if err != nil {
		return nil, fmt.Errorf("capture: %w", err)
	}
	zip.Multistream(false)
	return &members{file, zip}, nil
}

func (m *members) Read(b []byte) (int, error) {
	n, err := m.zip.Read(b)
	if err != io.EOF {
		return n, err
	}
	if !isGzip(m.file) {
		return n, io.EOF
	}
	if err := m.zip.Reset(m.file); err != nil {
		return n, err
	}
	m.zip.Multistream(false)
	return n, nil
}

// isGzip says whether a member begins here.
func isGzip(b *bufio.Reader) bool {
	magic, err := b.Peek(2)
	return err == nil && magic[0] == 0x1f && magic[1] == 0x8b
}

// next returns the next block without header and trailer, borrowed until the
// following call; io.EOF at the end of the file.
func (b *blocks) next() (typ uint32, body []byte, err error) {
	switch err := b.fill(blockHeaderLen); {
	case err == io.EOF && b.at == len(b.buf):
		return 0, nil, io.EOF
	case err != nil:
		return 0, nil, b.truncated(err)
	}
	head := b.buf[b.at:]
	typ, total := b.bytes.u32(head), b.bytes.u32(head[4:])
	if typ == blockSection {
		// Its magic tells the byte order, of its length too.
		if err := b.fill(blockHeaderLen + 4); err != nil {
			return 0, nil, b.truncated(err)
		}
		head = b.buf[b.at:]
		switch binary.LittleEndian.Uint32(head[8:]) {
		case sectionMagic:
			b.bytes.swapped = !hostLittle
		case bits.ReverseBytes32(sectionMagic):
			b.bytes.swapped = hostLittle
		default:
			return 0, nil, b.wrong("no capture file: the section has no magic number")
		}
		total = b.bytes.u32(head[4:])
	}
	if total < blockOverhead || total > maxBlock {
		return 0, nil, b.wrong("block of type %#x has length %d", typ, total)
	}
	if err := b.fill(int(total)); err != nil {
		return 0, nil, b.truncated(err)
	}
	block := b.buf[b.at : b.at+int(total)]
	b.at += int(total)
	return typ, block[blockHeaderLen : total-4], nil
}

// pos is the offset of the block after the one returned last.
func (b *blocks) pos() int64 { return b.offset + int64(b.at) }

// fill buffers at least n bytes from b.at on; io.EOF if fewer are left.
func (b *blocks) fill(n int) error {
	if len(b.buf)-b.at >= n {
		return nil
	}
	const room = 1 << 20
	if b.buf == nil {
		b.buf = make([]byte, 0, room)
	}
	b.offset += int64(b.at)
	b.buf = b.buf[:copy(b.buf, b.buf[b.at:])]
	b.at = 0
	for len(b.buf) < n {
		if len(b.buf) == cap(b.buf) { // grown as data comes, not as a length claims
			b.buf = append(make([]byte, 0, 2*cap(b.buf)), b.buf...)
		}
		m, err := b.r.Read(b.buf[len(b.buf):cap(b.buf)])
		b.buf = b.buf[:len(b.buf)+m]
		if err != nil && len(b.buf) < n {
			return err
		}
	}
	return nil
}

func (b *blocks) wrong(format string, args ...any) error {
	return &FormatError{b.pos(), fmt.Errorf(format, args...)}
}

func (b *blocks) truncated(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return &FormatError{b.pos(), fmt.Errorf("the file ends in the middle of a block: %w", io.ErrUnexpectedEOF)}
	}
	return &FormatError{b.pos(), err}
}

// hostLittle says whether this machine is little-endian.
var hostLittle = binary.NativeEndian.Uint16([]byte{1, 0}) == 1

func (o order) u16(b []byte) uint16 {
	n := binary.NativeEndian.Uint16(b)
	if o.swapped {
		n = bits.ReverseBytes16(n)
	}
	return n
}

func (o order) u32(b []byte) uint32 {
	n := binary.NativeEndian.Uint32(b)
	if o.swapped {
		n = bits.ReverseBytes32(n)
	}
	return n
}

func (o order) u64(b []byte) uint64 {
	n := binary.NativeEndian.Uint64(b)
	if o.swapped {
		n = bits.ReverseBytes64(n)
	}
	return n
}
