package probe

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// ARM, of ELF; its EABI, version 5 (compat_elf_check_arch in
// arch/arm64/include/asm/elf.h wants one).
const machine32, flags32 = 40, 0x05000000

// Numbers that 32-bit ABIs do not share.
var nr32 = struct{ openat, preadv int }{322, 361}

// call appends "ldr r7, =nr; ldr r0, ...; svc 0". A literal is in the code, and
// jumped over: the program counter reads as two instructions further on.
func (p *program32) call(nr int, args ...any) {
	const ldr, b, svc = 0xe59f0000, 0xea000000, 0xef000000 // ldr r0, [pc]; b pc; svc 0
	word := func(w uint32) { p.code = binary.LittleEndian.AppendUint32(p.code, w) }
	for i, a := range append([]any{nr}, args...) {
		register := uint32(i) - 1
		if i == 0 {
			register = 7
		}
		word(ldr | register<<12)
		word(b)
		switch a := a.(type) {
		case int:
			word(uint32(a))
		case pointer:
			p.fixups = append(p.fixups, len(p.code))
			word(uint32(a.offset))
		}
	}
	word(svc)
}

// connect makes a socket and connects it to addr. It gives the words of data
// that hold offsets, and the number of calls that cannot be read.
func (p *program32) connect(addr pointer) (patch []int, unreadable uint64) {
	p.call(281, unix.AF_INET, unix.SOCK_STREAM, 0)
	p.call(283, 5, addr, 16)
	return nil, 0
}

// pread64 has a position in an even register and the next.
func (p *program32) pread64(fd int, buf pointer, n int, pos uint64) {
	p.call(180, fd, buf, n, 0, int(uint32(pos)), int(pos>>32))
}
