package probe

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// i386, of ELF.
const machine32, flags32 = 3, 0

// Numbers that 32-bit ABIs do not share.
var nr32 = struct{ openat, preadv int }{295, 333}

// call appends "mov eax, nr; mov ebx, ...; int 0x80".
func (p *program32) call(nr int, args ...any) {
	mov := []byte{0xb8, 0xbb, 0xb9, 0xba, 0xbe, 0xbf} // eax ebx ecx edx esi edi
	for i, a := range append([]any{nr}, args...) {
		p.code = append(p.code, mov[i])
		switch a := a.(type) {
		case int:
			p.code = binary.LittleEndian.AppendUint32(p.code, uint32(a))
		case pointer:
			p.fixups = append(p.fixups, len(p.code))
			p.code = binary.LittleEndian.AppendUint32(p.code, uint32(a.offset))
		}
	}
	p.code = append(p.code, 0xcd, 0x80)
}

// connect makes a socket and connects it to addr by way of socketcall, and calls
// that with arguments that are not there. It gives the words of data that hold
// offsets, and the number of calls that cannot be read.
func (p *program32) connect(addr pointer) (patch []int, unreadable uint64) {
	socketArgs := p.words(unix.AF_INET, unix.SOCK_STREAM, 0)
	connectArgs := p.words(5, uint32(addr.offset), 16)
	p.call(102, 1, socketArgs)
	p.call(102, 3, connectArgs)
	p.call(102, 3, 8)
	return []int{connectArgs.offset + 4}, 1
}

func (p *program32) pread64(fd int, buf pointer, n int, pos uint64) {
	p.call(180, fd, buf, n, int(uint32(pos)), int(pos>>32))
}
